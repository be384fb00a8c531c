import { html } from 'hono/html';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, daysFrom, parseDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { FIRST_DAY } from '../usage/policy.ts';
import { type ChartDay, renderChart } from './chart.ts';
import { readHours, renderHours } from './hours.ts';
import { renderInvoiced } from './months.ts';
import {
  CHARTED,
  type ChartedMetric,
  COMPARISONS,
  type Organization,
  type OrganizationDays,
  type OrganizationMonth,
  type OrganizationQuery,
  readOrganization,
  readOrganizationDays,
  type Share,
} from './organization-facts.ts';
import { renderBar } from './organizations.ts';
import {
  type ConsolePage,
  type Html,
  type PageRequest,
  plain,
  renderCopy,
  renderFacts,
  renderLink,
  showMonth,
} from './page.ts';
import { addressOf, type Columns, renderSelect, renderTable, showChange, showDifference } from './table.ts';

const PLACE = '/organizations';
const DAYS_MAX = 732;

export const organizationPage: ConsolePage = {
  path: '/organizations/:id',
  place: PLACE,
  show: async (request) => {
    const query = readQuery(request);
    const { read, instanceIds } = request;
    if (!isLosantId(query.orgId)) return null;
    const organization = await read((db) => readOrganization(db, query.orgId));
    if (organization === undefined || !instanceIds.includes(organization.instanceId)) return null;
    const { name, removedOn, hasHours } = organization;
    const isHours = request.query['tab'] === 'hours' && hasHours;
    const content = isHours
      ? renderHours(query, await read((db) => readHours(db, query)))
      : renderDays(query, await read((db) => readOrganizationDays(db, query)));
    const tabs = html`<nav aria-label="Tabs">${renderLink(addressOfQuery(query, {}), 'Days', !isHours)}${renderLink(
      addressOfQuery(query, { tab: 'hours' }),
      'Hours',
      isHours,
    )}</nav>`;
    const deleted =
      removedOn === null ? '' : html` <span class="quiet">deleted, found on ${removedOn}</span>`;
    const body = html`<h1>${plain(name)}${deleted}</h1>
${renderOrganization(organization)}
${hasHours && tabs}${renderForm(query, isHours)}
${content}`;
    return { title: name, body };
  },
};

/** Reads what is asked for; by default the month of yesterday beside the same weekdays before. */
function readQuery({ params, query, nowMs }: PageRequest): OrganizationQuery {
  const yesterday = addDays(dayAt(nowMs), -1);
  const [from, to] = [parseDay(query['from'] ?? ''), parseDay(query['to'] ?? '')];
  const last = to === null || to > yesterday || to < FIRST_DAY ? yesterday : to;
  const isRange = from !== null && from >= FIRST_DAY && from <= last && daysFrom(from, last) < DAYS_MAX;
  const asked = query['vs'] ?? 'weekdays';
  return {
    orgId: params['id'] ?? '',
    metric: metricNames.find((name) => name === query['metric']) ?? 'payload_billable_count',
    range: { from: isRange ? from : `${last.slice(0, 7)}-01`, to: last },
    comparison: comparisonNames.find((name) => name === asked) ?? 'none',
    zone: query['zone'] ?? 'UTC',
  };
}

const metricNames = Object.keys(CHARTED) as readonly ChartedMetric[];
const comparisonNames = Object.keys(COMPARISONS) as readonly (keyof typeof COMPARISONS)[];

function addressOfQuery(
  { orgId, metric, range, comparison }: OrganizationQuery,
  change: Readonly<Record<string, string>>,
): string {
  return addressOf(`${PLACE}/${orgId}`, { metric, vs: comparison, ...range, ...change });
}

function renderOrganization(organization: Organization): Html {
  const { orgId, referralId, planId, customerId, tags, createdOn, instanceName, instanceId, problem } =
    organization;
  return renderFacts({
    Id: html`${orgId} ${renderCopy(orgId)}`,
    'Referral id': plain(referralId ?? ''),
    Plan: plain(planId ?? 'none'),
    Customer: plain(customerId ?? ''),
    Created: createdOn,
    Instance: plain(instanceName ?? instanceId),
    Tags: plain(tags.map(({ key = '', value = '' }) => `${key}=${value}`).join(', ')),
    Trouble: plain(problem ?? ''),
  });
}

function renderForm(query: OrganizationQuery, isHours: boolean): Html {
  const { orgId, metric, range, comparison, zone } = query;
  const metrics = Object.fromEntries(metricNames.map((name) => [name, CHARTED[name].label]));
  const fields = isHours
    ? html`<input type="hidden" name="tab" value="hours"><label>Time zone<input name="zone" value="${zone}"></label>`
    : html`${renderSelect('metric', 'Number', metrics, metric)}${renderSelect(
        'vs',
        'Beside',
        { ...COMPARISONS, none: 'nothing' },
        comparison,
      )}`;
  const last = (days: number) =>
    addressOfQuery(query, { ...(isHours ? { tab: 'hours', zone } : {}), from: addDays(range.to, 1 - days) });
  return html`<form method="get" action="${PLACE}/${orgId}">${fields}
<label>from<input name="from" type="date" value="${range.from}"></label>
<label>to<input name="to" type="date" value="${range.to}"></label><button type="submit">Show</button></form>
<p><a href="${last(90)}">90 days</a> · <a href="${last(365)}">a year</a> · <a
  href="${PLACE}/${orgId}">this month</a></p>`;
}

const LIMITS: Columns<Share> = {
  limit_name: 'Limit',
  limit_quantity: 'Of',
  quantity: 'To date',
  share: ['Share', ({ share }) => renderBar(share ?? 0)],
  projected_quantity: 'At the end',
  crosses_on: 'Passes it',
  days_missing: 'Days missing',
};

const SOURCES: Columns<Share> = {
  payload_type: 'Type',
  source: 'Source',
  count: 'Payloads',
  share: ['Share', ({ share }) => renderBar(share ?? 0)],
};

function renderDays(query: OrganizationQuery, facts: OrganizationDays): Html {
  const { orgId, metric, range, comparison } = query;
  const { days, sources, limits, months, open } = facts;
  const rows = open.map((cells) => ({
    ...cells,
    org_id: orgId,
    first_day: cells.first,
    last_day: cells.last,
  }));
  const columns = {
    standing: 'Standing',
    stream: 'Stream',
    days: 'Days',
    last_day: 'Newest',
    first_day: 'Oldest',
    reason: 'Reason',
    message: 'What was wrong',
  };
  return html`${renderChart({
    orgId,
    title: `${CHARTED[metric].label}, ${range.from} to ${range.to}`,
    summary: describeDays(query, days),
    days,
    comparison: comparison === 'none' ? null : COMPARISONS[comparison],
  })}
${rows.length > 0 && html`<h2>What is not all right</h2>${renderTable(rows, columns)}`}
<div class="halves"><div><h2>By type and source</h2>${
    sources.length === 0 ? html`<p>None is stored.</p>` : renderTable(sources, SOURCES)
  }</div><div><h2>Limits of this month</h2>${
    limits.length === 0 ? html`<p>It has none.</p>` : renderTable(limits, LIMITS)
  }</div></div>
<h2>Months</h2>${renderTable(months, monthColumns(query))}`;
}

function monthColumns(query: OrganizationQuery): Columns<OrganizationMonth> {
  return {
    month: [
      'Month',
      ({ month, last_day: to }) =>
        html`<a href="${addressOfQuery(query, { from: month, to })}">${showMonth(month)}</a>`,
    ],
    payloads: 'Payloads',
    payloads_invoiced: ['Invoiced', ({ payloads, payloads_invoiced: sum }) => renderInvoiced(payloads, sum)],
    minutes: 'Minutes',
    minutes_invoiced: ['Invoiced', ({ minutes, minutes_invoiced: sum }) => renderInvoiced(minutes, sum)],
    devices: 'Devices',
    standing: 'Standing',
  };
}

/** Says the sum of the days, and the change over the days that have both numbers; of a level the newest one. */
export function describeDays(
  { metric, comparison }: Pick<OrganizationQuery, 'metric' | 'comparison'>,
  days: readonly ChartDay[],
): string {
  const stored = days.filter(({ standing, quantity }) => standing !== null && quantity !== null);
  const absent = days.filter(({ standing, quantity }) => standing !== null && quantity === null).length;
  const missing = absent === 0 ? '' : ` ${count(absent, 'day is', 'days are')} not stored and in no sum.`;
  if (stored.length === 0) return `Nothing is stored.${missing}`;
  const { isLevel } = CHARTED[metric];
  const total = (values: readonly (number | null)[]) =>
    isLevel ? (values.at(-1) ?? 0) : values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  const now = showNumber(total(stored.map(({ quantity }) => quantity)));
  const head = isLevel
    ? `${now} on ${stored.at(-1)?.day}.`
    : `${now} on ${count(stored.length, 'stored day')}.`;
  const pairs = days.filter(({ quantity, before }) => quantity !== null && before !== null);
  if (comparison === 'none' || pairs.length === 0) return `${head}${missing}`;
  const ours = total(pairs.map(({ quantity }) => quantity));
  const theirs = total(pairs.map(({ before }) => before));
  const change = theirs === 0 ? showDifference(ours - theirs) : showChange(ours / theirs - 1);
  const both = `${showNumber(ours)} and ${showNumber(theirs)} on the ${count(pairs.length, 'day')} that have both`;
  return `${head} ${change} beside ${COMPARISONS[comparison]}: ${both}.${missing}`;
}
