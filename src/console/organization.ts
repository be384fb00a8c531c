import { html } from 'hono/html';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type ChangeList, readChangeList } from '../queries/changes.ts';
import {
  type LimitUse,
  type OpenCells,
  type Organization,
  type OrganizationMonth,
  readLimits,
  readOpenCells,
  readOrganization,
  readOrganizationHours,
  readOrganizationMonths,
  readSources,
  type SourceCount,
} from '../queries/organization.ts';
import { readDailyPayloads, sameDaysOfLastMonth } from '../queries/organizations.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { isGap, sumStandings } from '../usage/standing.ts';
import { type DailyChart, renderDailyChart, renderFills } from './daily-chart.ts';
import { type HoursChoice, hoursCharts, readHoursChoice, renderHoursForm, renderWeek } from './hours.ts';
import { addressOf, chartColumn, column, numberColumn, renderTable, sendCsv, textColumn } from './lists.ts';
import { chartColumns, organizationCharts, renderMonthToDate } from './organization-charts.ts';
import { renderShare } from './organizations.ts';
import {
  describeCounts,
  type Html,
  linkToDay,
  renderAwayPage,
  renderDay,
  renderDayOf,
  renderDistance,
  renderInstant,
  renderLink,
  renderMissing,
  renderPage,
  renderStanding,
  showMonth,
} from './page.ts';
import { sumOf } from './shapes.ts';
import { type ConsolePage, readOrNull } from './sources.ts';
import { renderAuthor } from './story.ts';

const RANGES = [30, 90, 365] as const;
const RANGE_DAYS = 90;

export const organizationPage: ConsolePage = {
  path: '/organizations/:id',
  open: (sources) => async (c) => {
    const orgId = c.req.param('id') ?? '';
    const days = RANGES.find((each) => String(each) === c.req.query('days')) ?? RANGE_DAYS;
    const to = addDays(dayAt(sources.now()), -1);
    const range = { from: addDays(to, 1 - days), to };
    const choice = readHoursChoice(c.req.query());
    if (!isLosantId(orgId)) return c.html(renderUnknown(orgId), 404);
    const found = await readOrNull(sources, (db) => readFacts(db, orgId, { range, ...choice }));
    if (found === null) return c.html(renderAwayPage({ title: orgId, path: PATH }), 503);
    if (found.organization === null) return c.html(renderUnknown(orgId), 404);
    const { organization, hours } = found;
    const charts = organizationCharts(organization);
    const byHour = hours === null ? [] : hoursCharts(hours, { orgId, range });
    const asked = [...charts, ...byHour].find(({ id }) => id === c.req.query('csv'));
    if (asked !== undefined) {
      const file = `${orgId}-${asked.id}-${range.from}-${to}.csv`;
      return sendCsv(c, file, asked.days, chartColumns(organization, asked));
    }
    const facts = { ...found, organization, charts, byHour, choice, range, days };
    return c.html(renderOrganization(facts, sources.now()));
  },
};

async function readFacts(
  db: Kysely<Schema>,
  orgId: string,
  { range, ...choice }: HoursChoice & { readonly range: DayRange },
) {
  const twoMonths = { from: sameDaysOfLastMonth(range.to).from, to: range.to };
  return {
    organization: await readOrganization(db, { orgId, range }),
    limits: await readLimits(db, orgId),
    months: await readOrganizationMonths(db, orgId),
    /** The payloads by hour; null if they were never collected. */
    hours: await readOrganizationHours(db, { orgId, range, ...choice }),
    /** The billable payloads of this month and the one before, by day. */
    payloads: (await readDailyPayloads(db, { orgIds: [orgId], range: twoMonths })).get(orgId) ?? [],
    openCells: await readOpenCells(db, orgId),
    changes: await readChangeList(db, { search: orgId }),
    sources: await readSources(db, { orgId, range }),
  };
}

interface OrganizationFacts extends Awaited<ReturnType<typeof readFacts>> {
  readonly organization: Organization;
  readonly charts: readonly DailyChart[];
  readonly byHour: readonly DailyChart[];
  readonly choice: HoursChoice;
  readonly range: DayRange;
  readonly days: number;
}

const PATH = '/organizations';

function renderUnknown(orgId: string): Html {
  return renderMissing({
    path: PATH,
    title: 'Unknown organization',
    sentence: `No organization ${orgId} was ever seen here.`,
    hint: html`<a href="/organizations">Search the organizations</a> by name, referral id or id.
A new one is found by the first run of each UTC day, if the token and LOSANT_ORG_IDS include it.`,
  });
}

function renderOrganization(facts: OrganizationFacts, nowMs: number): Html {
  const { organization, limits, openCells, charts, range, days } = facts;
  const limit = limits.find(({ metric }) => metric === 'payload_billable_count');
  const { orgId, name } = organization;
  const counts = describeCounts(
    sumStandings(openCells.map(({ standing, days: cells }) => ({ [standing]: cells }))),
  );
  const address = (query: Readonly<Record<string, string>>) => addressOf(`${PATH}/${orgId}`, query);
  const body = html`<h1>${name}</h1>
<p class="quiet"><span class="whole">${orgId}</span> · ${organization.instanceName ?? organization.instanceId} · <a href="${addressOf('/coverage', { q: orgId })}">Coverage</a> · <a href="${addressOf('/changes', { q: orgId, which: 'all' })}">Changes</a></p>
<p>${counts === '' ? 'Every tracked number is final.' : html`Not final: <a href="${addressOf('/coverage', { q: orgId, days: '90' })}">${counts}</a>.`}</p>
${renderStates(organization, nowMs)}
${renderFills()}
${renderMonthToDate({ orgId, to: range.to, payloads: facts.payloads, limit })}
${renderLimits(limits)}
${renderMonths(facts.months)}
${renderOpenCells(orgId, openCells)}
${renderChanges(orgId, facts.changes, nowMs)}
<h2>Usage by day</h2>
<nav aria-label="Days shown"><p>The last ${RANGES.map((each) => renderLink(address({ days: `${each}` }), `${each}`, each === days))} days, <span class="whole">${range.from}</span> to <span class="whole">${range.to}</span></p></nav>
<div class="charts">${charts.map((chart) => renderDailyChart(chart, address({ days: `${days}`, csv: chart.id })))}</div>
${renderHours(facts)}
${renderSources(facts.sources)}
<h2>Who it is</h2>
<dl class="facts">${renderFacts(organization, nowMs)}</dl>`;
  return renderPage({ title: name, path: PATH, body });
}

function renderHours({ organization, hours, byHour, choice, days }: OrganizationFacts): Html | string {
  if (hours === null) return '';
  const path = `${PATH}/${organization.orgId}`;
  const shown = { days: `${days}`, zone: choice.zone, hours: choice.day ?? '' };
  return html`${renderHoursForm(hours, { path, days: shown.days, asked: choice.zone })}
<div class="charts">${byHour.map((chart) => renderDailyChart(chart, addressOf(path, { ...shown, csv: chart.id })))}</div>
${renderWeek(hours)}`;
}

/** `renderStates` shows what is unusual about an organization, which for most is nothing. */
function renderStates(organization: Organization, nowMs: number): Html {
  const { removedAt, disabledAt, isReadOnly, problem } = organization;
  return html`${removedAt === null ? '' : html`<p><strong>Deleted in Losant</strong>, found ${renderInstant(removedAt, nowMs)}. Its numbers stay.</p>`}
${disabledAt === null ? '' : html`<p><strong>Disabled in Losant</strong> since ${renderInstant(disabledAt, nowMs)}. Its usage is still read.</p>`}
${isReadOnly ? html`<p><strong>Read-only in Losant</strong>. Its usage is still read.</p>` : ''}
${problem === null ? '' : html`<p><strong>Its attributes could not be read</strong> when it was last listed: ${problem}. Those below are older.</p>`}`;
}

function renderFacts(organization: Organization, nowMs: number): Html[] {
  const { referralId, planId, customerId, tags, createdAt, firstSeenAt, lastSeenAt } = organization;
  const facts: readonly (readonly [string, Html | string | null])[] = [
    ['Referral id', referralId],
    ['Plan', planId],
    ['Customer', customerId],
    ['Created', createdAt === null ? null : renderDayOf(createdAt)],
    ['First seen here', renderDayOf(firstSeenAt)],
    ['Last seen', renderDistance(lastSeenAt, nowMs)],
    [
      'Tags',
      tags.length === 0
        ? null
        : html`${tags.map(({ key, value }) => html`<span class="tag">${key}: ${value}</span> `)}`,
    ],
  ];
  return facts.map(
    ([name, value]) =>
      html`<div class="${name === 'Tags' ? 'tags' : ''}"><dt>${name}</dt><dd>${value ?? '–'}</dd></div>\n`,
  );
}

export function renderLimits(uses: readonly LimitUse[]): Html {
  const [first] = uses;
  if (first === undefined) {
    return html`<h2>Limits</h2><p class="quiet">No limits of it are known for a period that is running.</p>`;
  }
  const { from, to, source, daysExpected } = first;
  const period = source === 'calendar' ? showMonth(from.slice(0, 7)) : 'The billing period';
  return html`<h2>Limits</h2>
<p class="quiet">${period} to date, <span class="whole">${from}</span> to <span class="whole">${to}</span>, ${count(daysExpected, 'day')} of it tracked so far. Projected is the result at the rate of the stored days.</p>
${renderTable(uses, [
  column('Limit', ({ limitName, metric }) =>
    metric === null ? limitName : html`${limitName}<br><span class="quiet">${metric}</span>`,
  ),
  numberColumn('To date', ({ metric, quantity, unit }) =>
    metric === null
      ? html`<span class="quiet">not counted here</span>`
      : quantity === null
        ? null
        : `${showNumber(quantity)} ${unit}`,
  ),
  numberColumn('Allowed', ({ limit }) => limit),
  numberColumn('Share', ({ share }) => renderShare(share)),
  chartColumn('Used', ({ share, projectedShare }) =>
    share === null ? null : renderBar(share, projectedShare ?? share),
  ),
  numberColumn('Projected', ({ projected, projectedShare }) =>
    projected === null ? null : html`${showNumber(projected)} (${renderShare(projectedShare)})`,
  ),
  column('Passed on', ({ crossesOn }) => renderDay(crossesOn)),
  numberColumn('Days stored', (use) =>
    use.daysStored === null ? null : `${showNumber(use.daysStored)} of ${showNumber(use.daysExpected)}`,
  ),
])}`;
}

/**
 * `renderBar` draws the used part of a limit with a mark at the projected one; it ends at the greatest
 * of them.
 */
function renderBar(share: number, projected: number): Html {
  const end = Math.max(1, share, projected);
  const at = (value: number) => Math.round((value / end) * 1_000) / 10;
  return html`<svg class="bar" aria-hidden="true" width="140" height="14" viewBox="0 0 100 14" preserveAspectRatio="none">
<rect class="bar-room" width="${at(1)}" y="3" height="8"/><rect class="${share > 1 ? 'bar-over' : 'bar-used'}" width="${at(share)}" y="3" height="8"/>
<rect class="bar-mark" x="${Math.min(at(projected), 99)}" width="1" height="14"/></svg>`;
}

/** `renderMonths` lists the newest months with links to their pages. */
function renderMonths(months: readonly OrganizationMonth[]): Html | string {
  if (months.length === 0) return '';
  return html`<h2>Months</h2>
${renderTable(months, [
  column(
    'Month',
    ({ month }) => html`<a href="/months/${month.slice(0, 7)}">${showMonth(month.slice(0, 7))}</a>`,
  ),
  column('Standing', ({ standing }) => renderStanding(standing)),
  numberColumn('Billable payloads', ({ payloads }) => payloads),
  numberColumn('Notebook minutes', ({ notebookMinutes }) => notebookMinutes),
  numberColumn('Devices', ({ devices }) => devices),
])}`;
}

const GAPS_MAX = 20;

function renderOpenCells(orgId: string, open: readonly OpenCells[]): Html {
  const cells = open.filter(({ standing }) => isGap(standing) || standing === 'unavailable');
  if (cells.length === 0) return html`<h2>Gaps</h2><p>None.</p>`;
  return html`<h2>Gaps</h2>
${renderTable(cells.slice(0, GAPS_MAX), [
  column('Standing', ({ standing }) => renderStanding(standing)),
  column('Stream', ({ stream }) => stream),
  column('Days', ({ stream, days, first, last }) =>
    days === 1
      ? linkToDay(orgId, first, stream)
      : html`${showNumber(days)}, ${linkToDay(orgId, first, stream)} to ${linkToDay(orgId, last, stream)}`,
  ),
  textColumn('Why, and what to do', ({ standing, stream, first, last, reason, message }) => {
    const why = html`<strong>${reason ?? ''}</strong>: ${message}.`;
    return standing === 'missing'
      ? html`${why} Read again by itself; at once: <code>losant-usage backfill --org ${orgId} --stream ${stream} --from ${first} --to ${last}</code>`
      : html`${why} To accept: <code>losant-usage waive --org ${orgId} --day ${first}..${last} --stream ${stream} --reason TEXT</code>`;
  }),
])}${cells.length > GAPS_MAX ? html`<p class="quiet">The first ${GAPS_MAX} of ${showNumber(cells.length)} causes; <code>losant-usage gaps --all</code> lists all.</p>` : ''}`;
}

const CHANGES_MAX = 8;

function renderChanges(orgId: string, { changes, numbers, byHand }: ChangeList, nowMs: number): Html {
  const all = html`<a href="${addressOf('/changes', { q: orgId, which: 'all' })}">All changes</a>`;
  if (numbers === 0) return html`<h2>Changes</h2><p>No number has changed after its first load.</p>`;
  return html`<h2>Changes</h2>
<p>${count(numbers, 'number')} changed after the first load${byHand === 0 ? '' : html`, <span class="bad">${showNumber(byHand)} by hand</span>`}. ${all}</p>
${renderTable(changes.slice(0, CHANGES_MAX), [
  column('Changed', (change) => renderDistance(change.changed_at, nowMs)),
  column('Day', ({ usage_date, stream }) => linkToDay(orgId, usage_date, stream)),
  textColumn(
    'Number',
    ({ metric, payload_type, source }) =>
      html`${metric}${source === null ? '' : html`<span class="quiet">, ${payload_type} from ${source}</span>`}`,
  ),
  numberColumn('Old', (change) => change.old_quantity ?? 'none'),
  numberColumn('New', (change) => change.new_quantity ?? 'none'),
  column('Was final', ({ was_final }) => (was_final ? html`<strong>final</strong>` : 'not final')),
  textColumn('By', ({ run_id, changed_by }) => renderAuthor(run_id, changed_by)),
])}`;
}

const SOURCES_MAX = 20;

function renderSources(sources: readonly SourceCount[]): Html | string {
  if (sources.length === 0) return '';
  const all = sumOf(sources.map((source) => source.count));
  return html`<h2>Types and sources</h2>
${renderTable(
  sources.slice(0, SOURCES_MAX),
  [
    textColumn('Type', ({ type }) => type),
    textColumn('Source', ({ source }) => source),
    numberColumn('Payloads', ({ count: payloads }) => payloads),
    numberColumn('Share', ({ count: payloads }) =>
      all === 0 ? null : `${Math.round((payloads / all) * 100)} %`,
    ),
  ],
  'All payloads of the days shown, billable or not.',
)}${sources.length > SOURCES_MAX ? html`<p class="quiet">The largest ${SOURCES_MAX} of ${showNumber(sources.length)}.</p>` : ''}`;
}
