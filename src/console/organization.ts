import type { Context } from 'hono';
import { html } from 'hono/html';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, daysFrom, parseDay, type UsageDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { FIRST_DAY } from '../usage/policy.ts';
import { type Chart, renderChart } from './chart.ts';
import { detailPage } from './detail.ts';
import { type Hours, readHours, renderHours } from './hours.ts';
import {
  CHARTED,
  type ChartedMetric,
  COMPARISONS,
  type Comparison,
  type LimitUse,
  type OrganizationMonth,
  type OrganizationPage,
  type OrganizationQuery,
  readOrganizationPage,
  type SourceSum,
} from './organization-facts.ts';
import { renderBar } from './organizations.ts';
import { type Html, plain, renderCopy, renderLink, renderPage, renderStanding, showMonth } from './page.ts';
import { showBytes } from './shapes.ts';
import { addressOf, type Column, renderSelect, renderTable, showChange, showDifference } from './table.ts';

const PLACE = '/organizations';
const DAYS_MAX = 732;

export const organizationPage = detailPage({
  path: '/organizations/:id',
  place: PLACE,
  noun: 'organization',
  read: async (c, { read, instanceIds, now }) => {
    const query = readQuery(c, now());
    const facts = isLosantId(query.orgId) ? await read((db) => readOrganizationPage(db, query)) : null;
    if (facts === null || !instanceIds.includes(facts.organization.instanceId)) return null;
    const isHours = c.req.query('tab') === 'hours' && facts.hasHours;
    return { query, facts, hours: isHours ? await read((db) => readHours(db, query)) : null };
  },
  render: renderOrganization,
});

/** Reads what is asked for; by default the month of yesterday beside the same weekdays before. */
function readQuery(c: Context, nowMs: number): OrganizationQuery {
  const given = c.req.query();
  const yesterday = addDays(dayAt(nowMs), -1);
  const [from, to] = [parseDay(given.from ?? ''), parseDay(given.to ?? '')];
  const last = to === null || to > yesterday || to < FIRST_DAY ? yesterday : to;
  const isRange = from !== null && from >= FIRST_DAY && from <= last && daysFrom(from, last) < DAYS_MAX;
  const asked = given.vs ?? 'weekdays';
  return {
    orgId: c.req.param('id') ?? '',
    metric: metricNames.find((name) => name === given.metric) ?? 'payload_billable_count',
    range: { from: isRange ? from : `${last.slice(0, 7)}-01`, to: last },
    comparison: comparisonNames.find((name) => name === asked) ?? '',
    zone: given.zone ?? 'UTC',
  };
}

const metricNames = Object.keys(CHARTED) as readonly ChartedMetric[];
const comparisonNames = Object.keys(COMPARISONS) as readonly Comparison[];

interface Shown {
  readonly query: OrganizationQuery;
  readonly facts: OrganizationPage;
  /** The tab of hours; null for that of days. */
  readonly hours: Hours | null;
}

function renderOrganization({ query, facts, hours }: Shown, nowMs: number): Html {
  const { organization, hasHours } = facts;
  const { orgId, name, removedOn } = organization;
  const address = (change: Readonly<Record<string, string>>) => addressOfQuery(query, change);
  const tabs = hasHours
    ? html`<nav aria-label="Tabs">${renderLink(address({}), 'Days', hours === null)}${renderLink(
        address({ tab: 'hours' }),
        'Hours',
        hours !== null,
      )}</nav>`
    : '';
  const days = html`${renderChart(chartOf(query, facts))}
<div class="halves"><div>${renderSources(query, facts, nowMs)}</div><div>${renderLimits(
    facts.limits,
    nowMs,
  )}</div></div>
${renderMonths(query, facts.months, nowMs)}`;
  const body = html`<h1>${plain(name)}${
    removedOn === null
      ? ''
      : html` <span class="quiet">deleted, found on
    ${removedOn}</span>`
  }</h1>
${renderFacts(facts)}
${renderOpen(facts, orgId, nowMs)}
${tabs}
${renderForm(query, hours !== null)}
${hours === null ? days : renderHours(query, hours)}`;
  return renderPage({ title: name, path: PLACE, body });
}

function addressOfQuery(
  { orgId, metric, range, comparison }: OrganizationQuery,
  change: Readonly<Record<string, string>>,
): string {
  const vs = comparison === 'weekdays' ? '' : comparison === '' ? 'none' : comparison;
  const shown = metric === 'payload_billable_count' ? '' : metric;
  return addressOf(`${PLACE}/${orgId}`, { metric: shown, vs, ...range, ...change });
}

function renderFacts({ organization }: OrganizationPage): Html {
  const { orgId, referralId, planId, customerId, tags, createdOn, instanceName, instanceId, problem } =
    organization;
  const facts: readonly (readonly [string, string | Html | null])[] = [
    ['Id', html`${orgId}${renderCopy(orgId, 'Copy the id')}`],
    ['Referral id', referralId === null ? null : plain(referralId)],
    ['Plan', planId === null ? 'none' : plain(planId)],
    ['Customer', customerId === null ? null : plain(customerId)],
    ['Created', createdOn],
    ['Instance', plain(instanceName ?? instanceId)],
    [
      'Tags',
      tags.length === 0
        ? null
        : html`${tags.map(({ key, value }) => html`<span class="tag">${plain(`${key ?? ''}=${value ?? ''}`)}</span>`)}`,
    ],
    ['Trouble', problem === null ? null : html`<span class="bad">${plain(problem)}</span>`],
  ];
  return html`<dl class="facts">${facts.map(([label, value]) =>
    value === null ? '' : html`<div><dt>${label}</dt><dd>${value}</dd></div>`,
  )}</dl>`;
}

type OpenCells = OrganizationPage['open'][number];

const OPEN: (orgId: string) => readonly Column<OpenCells>[] = (orgId) => [
  { name: 'standing', label: 'Standing', kind: 'standing' },
  { name: 'stream', label: 'Stream', kind: 'value' },
  { name: 'days', label: 'Days', kind: 'number' },
  {
    name: 'last',
    label: 'Newest',
    kind: 'value',
    cell: ({ last }) => html`<a href="/coverage/${orgId}/${last}">${last}</a>`,
  },
  {
    name: 'first',
    label: 'Oldest',
    kind: 'value',
    cell: ({ first }) => html`<a href="/coverage/${orgId}/${first}">${first}</a>`,
  },
  { name: 'reason', label: 'Reason', kind: 'value' },
  { name: 'message', label: 'What was wrong', kind: 'text' },
];

/** Renders what is not right, the worst first; what is only still to be read again needs nobody. */
function renderOpen({ open }: OrganizationPage, orgId: string, nowMs: number): Html | string {
  const bad = open.filter(({ standing }) =>
    ['missing', 'in_doubt', 'unavailable', 'accepted'].includes(standing),
  );
  if (bad.length === 0) return '';
  return html`<h2>What is not all right</h2>${renderTable(bad, OPEN(orgId), { nowMs })}`;
}

function renderForm({ orgId, metric, range, comparison, zone }: OrganizationQuery, isHours: boolean): Html {
  const dates = html`<label>from<input name="from" type="date" value="${range.from}"></label>
<label>to<input name="to" type="date" value="${range.to}"></label>`;
  const fields = isHours
    ? html`<input type="hidden" name="tab" value="hours">${dates}<label>Time zone<input name="zone"
      value="${zone}"></label>`
    : html`${renderSelect(
        'metric',
        'Number',
        metricNames.map((name) => [name, CHARTED[name].label] as const),
        metric,
      )}${dates}
${renderSelect(
  'vs',
  'Beside',
  [...comparisonNames.map((name) => [name, COMPARISONS[name]] as const), ['none', 'nothing']],
  comparison === '' ? 'none' : comparison,
)}`;
  const others = isHours ? { tab: 'hours', zone } : {};
  const link = (text: string, from: UsageDay, to: UsageDay) =>
    html`<a href="${addressOf(`${PLACE}/${orgId}`, {
      ...others,
      metric,
      vs: comparison || 'none',
      from,
      to,
    })}">${text}</a> `;
  const month = `${range.to.slice(0, 7)}-01`;
  const lastOfMonthBefore = addDays(month, -1);
  return html`<form method="get" action="${PLACE}/${orgId}">${fields}<button type="submit">Show</button></form>
<p>${link(showMonth(lastOfMonthBefore), `${lastOfMonthBefore.slice(0, 7)}-01`, lastOfMonthBefore)}· ${link(
    '90 days',
    addDays(range.to, -89),
    range.to,
  )}· ${link('a year', addDays(range.to, -364), range.to)}· <a
    href="${addressOf(`${PLACE}/${orgId}`, others)}">this month</a></p>`;
}

function chartOf({ orgId, metric, range, comparison }: OrganizationQuery, { days }: OrganizationPage): Chart {
  const { label, unit } = CHARTED[metric];
  const show = unit === 'bytes' ? showBytes : showNumber;
  return {
    id: 'days',
    title: `${label}, ${range.from} to ${range.to}`,
    summary: describeDays({ metric, comparison, show }, days),
    days,
    comparison: comparison === '' ? null : COMPARISONS[comparison],
    addressOfDay: (day) => `/coverage/${orgId}/${day}`,
    show,
  };
}

interface Described {
  readonly metric: ChartedMetric;
  readonly comparison: Comparison | '';
  readonly show: (value: number) => string;
}

/** Says the sum of the days, and the change over the days that have both numbers; of a level the newest one. */
export function describeDays({ metric, comparison, show }: Described, days: Chart['days']): string {
  const stored = days.filter(({ standing, quantity }) => standing !== null && quantity !== null);
  const absent = days.filter(({ standing, quantity }) => standing !== null && quantity === null).length;
  const missing =
    absent === 0
      ? ''
      : ` ${showNumber(absent)} ${absent === 1 ? 'day is' : 'days are'} not stored and in no sum.`;
  if (stored.length === 0) return `Nothing is stored.${missing}`;
  const pairs = days.filter(({ quantity, before }) => quantity !== null && before !== null);
  const isLevel = CHARTED[metric].isLevel;
  const total = (values: readonly (number | null)[]) =>
    isLevel ? (values.at(-1) ?? 0) : values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  const now = total(stored.map(({ quantity }) => quantity));
  const head = isLevel
    ? `${show(now)} on ${stored.at(-1)?.day}.`
    : `${show(now)} on ${showNumber(stored.length)} stored days.`;
  if (comparison === '' || pairs.length === 0) return `${head}${missing}`;
  const [ours, theirs] = [
    total(pairs.map(({ quantity }) => quantity)),
    total(pairs.map(({ before }) => before)),
  ];
  const change = theirs === 0 ? showDifference(ours - theirs) : showChange(ours / theirs - 1);
  const both = `${show(ours)} and ${show(theirs)} on the ${showNumber(pairs.length)} days that have both`;
  return `${head} ${change} beside ${COMPARISONS[comparison]}: ${both}.${missing}`;
}

const SOURCES: readonly Column<SourceSum>[] = [
  { name: 'type', label: 'Type', kind: 'text' },
  { name: 'source', label: 'Source', kind: 'text' },
  { name: 'count', label: 'Payloads', kind: 'number' },
  { name: 'share', label: 'Share', kind: 'number', cell: ({ share }) => renderBar(share) },
];

function renderSources(
  { range }: OrganizationQuery,
  { sources, sourceDaysMissing }: OrganizationPage,
  nowMs: number,
): Html {
  const missing =
    sourceDaysMissing === 0
      ? ''
      : html` <span class="bad">${showNumber(sourceDaysMissing)} wanted days are missing.</span>`;
  return html`<h2>By type and source</h2><p class="quiet">${range.from} to ${range.to}, the largest first.${missing}</p>
${sources.length === 0 ? html`<p>None is stored.</p>` : renderTable(sources, SOURCES, { nowMs })}`;
}

const LIMITS: readonly Column<LimitUse>[] = [
  { name: 'limitName', label: 'Limit', kind: 'value' },
  { name: 'limit', label: 'Of', kind: 'number' },
  { name: 'quantity', label: 'To date', kind: 'number' },
  {
    name: 'share',
    label: 'Share',
    kind: 'number',
    cell: ({ share }) => (share === null ? null : renderBar(share)),
  },
  { name: 'projected', label: 'At the end', kind: 'number' },
  {
    name: 'crossesOn',
    label: 'Passes it',
    kind: 'value',
    cell: ({ crossesOn, share }) =>
      crossesOn ?? (share !== null && share > 1 ? html`<span class="bad">passed</span>` : null),
  },
];

function renderLimits(limits: readonly LimitUse[], nowMs: number): Html {
  if (limits.length === 0) return html`<h2>Limits</h2><p>It has none.</p>`;
  const missing = Math.max(...limits.map(({ daysExpected, daysStored }) => daysExpected - daysStored));
  return html`<h2>Limits</h2><p class="quiet">This month; it goes on like the same weekdays of the last 28
    days.${
      missing === 0
        ? ''
        : html` <span class="bad">${count(missing, 'day lacks', 'days lack')} a
      number.</span>`
    }</p>
${renderTable(limits, LIMITS, { nowMs })}`;
}

function renderMonths(query: OrganizationQuery, months: readonly OrganizationMonth[], nowMs: number): Html {
  const columns: readonly Column<OrganizationMonth>[] = [
    {
      name: 'month',
      label: 'Month',
      kind: 'value',
      cell: ({ month, lastDay }) =>
        html`<a href="${addressOfQuery(query, { from: month, to: lastDay })}">${showMonth(month)}</a>`,
    },
    { name: 'payloads', label: 'Payloads', kind: 'number' },
    {
      name: 'payloadsInvoiced',
      label: 'Invoiced',
      kind: 'number',
      cell: ({ payloads, payloadsInvoiced }) => renderInvoiced(payloads, payloadsInvoiced),
    },
    { name: 'minutes', label: 'Minutes', kind: 'number' },
    {
      name: 'minutesInvoiced',
      label: 'Invoiced',
      kind: 'number',
      cell: ({ minutes, minutesInvoiced }) => renderInvoiced(minutes, minutesInvoiced),
    },
    { name: 'devices', label: 'Devices', kind: 'number' },
    {
      name: 'standing',
      label: 'Standing',
      kind: 'standing',
      cell: ({ standing }) => renderStanding(standing),
    },
  ];
  return html`<h2>Months</h2>${renderTable(months, columns, { nowMs })}`;
}

/** Renders the number that was invoiced, marked where it is not that of today. */
export function renderInvoiced(now: number | null, invoiced: number | null): Html | string | null {
  if (invoiced === null) return null;
  if (now === invoiced) return showNumber(invoiced);
  return html`<span class="bad" title="today's number differs">${showNumber(invoiced)} ≠</span>`;
}
