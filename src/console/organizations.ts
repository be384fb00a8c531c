import { html } from 'hono/html';
import {
  type LimitState,
  type OrganizationFigures,
  type Overview,
  readDailyPayloads,
  sameDaysOfLastMonth,
} from '../queries/organizations.ts';
import { showNumber } from '../terminal/words.ts';
import { addDays, type UsageDay } from '../usage/day.ts';
import { renderSparkline } from './daily-chart.ts';
import {
  addressOf,
  type Column,
  chartColumn,
  column,
  describeOrganizations,
  type FileColumn,
  instanceColumn,
  matchesSearch,
  numberColumn,
  type Query,
  readChoice,
  readPageNumber,
  readSearch,
  renderHidden,
  renderPages,
  renderSearch,
  renderSelect,
  renderTable,
  sendCsv,
  showDifference,
  textColumn,
} from './lists.ts';
import {
  AGAIN_S,
  type Html,
  nameOfMonth,
  renderAway,
  renderCopy,
  renderDay,
  renderInstant,
  renderPage,
} from './page.ts';
import { type ConsolePage, instanceNames, type Names, READING_WAIT_MS, readOrNull } from './sources.ts';

const PATH = '/organizations';
const PER_PAGE = 50;
/** The days of a sparkline, enough for every month to date. */
const DAYS_SHOWN = 31;

type HasFigures = (figures: OrganizationFigures, to: UsageDay) => boolean;

/** The filters, which the lines of attention on the home page lead to. */
export const SHOWN = {
  // A limit has been passed by the end of the day `to`.
  over: { text: 'over a limit', has: ({ limit }, to) => limit?.crossesOn != null && limit.crossesOn <= to },
  crossing: { text: 'that will pass a limit', has: ({ nextLimit }) => nextLimit !== null },
  silent: { text: 'silent for 3 days or more', has: ({ silentSince }) => silentSince !== null },
  moved: { text: 'changed by half or more', has: (figures) => Math.abs(changeOf(figures) ?? 0) >= 0.5 },
  missing: { text: 'with missing numbers', has: ({ missing }) => missing > 0 },
  in_doubt: { text: 'with numbers in doubt', has: ({ inDoubt }) => inDoubt > 0 },
} as const satisfies Readonly<Record<string, { readonly text: string; readonly has: HasFigures }>>;
export type Shown = keyof typeof SHOWN;

/**
 * `changeOf` returns the change against the same days of the last month as a share of these; null if there
 * is nothing to compare with.
 */
export function changeOf({ compared }: OrganizationFigures): number | null {
  return compared === null || compared.before === 0 ? null : compared.now / compared.before - 1;
}

type Direction = 'asc' | 'desc';
type SortValue = (figures: OrganizationFigures) => number | string | null;

/** The columns by which the list can be sorted, and the order in which each begins. */
const SORTS = {
  name: { first: 'asc', of: () => null },
  devices: { first: 'desc', of: ({ devices }) => devices },
  payloads: { first: 'desc', of: ({ payloads }) => payloads },
  change: { first: 'desc', of: ({ compared }) => compared && compared.now - compared.before },
  share: { first: 'desc', of: ({ limit }) => limit?.share ?? null },
  crosses: { first: 'asc', of: ({ limit }) => limit?.crossesOn ?? null },
  silent: { first: 'asc', of: ({ silentSince }) => silentSince },
  gaps: { first: 'desc', of: ({ missing, inDoubt }) => missing + inDoubt },
} as const satisfies Readonly<Record<string, { readonly first: Direction; readonly of: SortValue }>>;
type Sort = keyof typeof SORTS;

export const organizationsPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const filters = readFilters(c.req.query());
    const [view, reading] = await Promise.all([sources.database(READING_WAIT_MS), sources.overview()]);
    if (reading === null) {
      c.header('refresh', String(AGAIN_S));
      const body = view.isUp
        ? html`<p>The organizations are being counted. This page reloads by itself.</p>`
        : renderAway();
      return c.html(renderOrganizations(filters, body), view.isUp ? 200 : 503);
    }
    const { value: overview, atMs } = reading;
    const { to } = overview;
    const found = selectOrganizations(overview, filters);
    if (c.req.query('csv') !== undefined) return sendCsv(c, `organizations-${to}.csv`, found, CSV_COLUMNS);
    const page = readPageNumber(c.req.query('page'));
    const shown = found.slice((page - 1) * PER_PAGE, page * PER_PAGE);
    const range = { from: addDays(to, 1 - DAYS_SHOWN), to };
    const orgIds = shown.map(({ orgId }) => orgId);
    const payloads = await readOrNull(sources, (db) => readDailyPayloads(db, { orgIds, range }));
    if (payloads === null) return c.html(renderOrganizations(filters, renderAway()), 503);
    const readAt = renderInstant(new Date(atMs).toISOString(), sources.now());
    const facts = { filters, page, to, names: instanceNames(view), payloads, readAt };
    return c.html(renderOrganizations(filters, renderList(found, shown, facts)));
  },
};

/** The filters as addresses have them; '' for one that is not set, not valid or the default. */
export type Filters = ReturnType<typeof readFilters>;

export function readFilters(given: Query) {
  const sort = readChoice(given['sort'], Object.keys(SORTS) as Sort[]);
  const dir = readChoice(given['dir'], ['asc', 'desc']);
  return {
    q: readSearch(given['q']),
    show: readChoice(given['show'], Object.keys(SHOWN) as Shown[]),
    sort: sort === 'name' ? '' : sort,
    dir: dir === SORTS[sort || 'name'].first ? '' : dir,
  } as const;
}

function orderOf({ sort, dir }: Filters): { readonly sort: Sort; readonly direction: Direction } {
  const by = sort || 'name';
  return { sort: by, direction: dir || SORTS[by].first };
}

/**
 * `selectOrganizations` returns the organizations that match in the order asked for; those without a value
 * come last.
 */
export function selectOrganizations(
  { organizations, to }: Pick<Overview, 'organizations' | 'to'>,
  filters: Filters,
): OrganizationFigures[] {
  const { q, show } = filters;
  const { sort, direction } = orderOf(filters);
  let found = organizations.filter(
    (each) => matchesSearch(each, q) && (show === '' || SHOWN[show].has(each, to)),
  );
  // One that is over a limit may be about to pass another, which is the one that is asked for.
  if (show === 'crossing') found = found.map((each) => ({ ...each, limit: each.nextLimit }));
  if (sort === 'name') return direction === 'asc' ? found : found.toReversed();
  const sign = direction === 'asc' ? 1 : -1;
  const valued = found.map((each) => ({ each, value: SORTS[sort].of(each) }));
  valued.sort(({ value: a }, { value: b }) => {
    if (a === b) return 0;
    if (a === null || b === null) return a === null ? 1 : -1;
    return a < b ? -sign : sign;
  });
  return valued.map(({ each }) => each);
}

const CSV_COLUMNS: readonly FileColumn<OrganizationFigures>[] = [
  ['org_id', ({ orgId }) => orgId],
  ['instance_id', ({ instanceId }) => instanceId],
  ['org_name', ({ name }) => name, true],
  ['referral_id', ({ referralId }) => referralId, true],
  ['removed_at', ({ removedAt }) => removedAt],
  ['devices_total', ({ devices }) => devices],
  ['payload_billable_count', ({ payloads }) => payloads],
  ['compared', ({ compared }) => compared?.now ?? null],
  ['compared_last_month', ({ compared }) => compared?.before ?? null],
  ['limit_name', ({ limit }) => limit?.name ?? null],
  ['limit_share', ({ limit }) => limit?.share ?? null],
  ['limit_projected_share', ({ limit }) => limit?.projectedShare ?? null],
  ['crosses_on', ({ limit }) => limit?.crossesOn ?? null],
  ['silent_since', ({ silentSince }) => silentSince],
  ['missing', ({ missing }) => missing],
  ['in_doubt', ({ inDoubt }) => inDoubt],
];

function renderOrganizations(filters: Filters, list: Html): Html {
  const shown = Object.entries(SHOWN).map(([name, { text }]) => [name, `those ${text}`] as const);
  const body = html`<h1>Organizations</h1>
<form method="get" action="${PATH}" role="search" aria-label="Organizations of this list">
${renderSearch(filters.q)}
${renderSelect('show', 'Show', [['', 'all'], ...shown], filters.show)}
${renderHidden('sort', filters.sort)}
<button type="submit">Show</button></form>
${list}`;
  return renderPage({ title: 'Organizations', path: PATH, body });
}

interface ListFacts {
  readonly filters: Filters;
  readonly page: number;
  readonly to: UsageDay;
  readonly names: Names;
  /** The billable payloads by day of the organizations shown. */
  readonly payloads: ReadonlyMap<string, readonly (number | null)[]>;
  readonly readAt: Html;
}

function renderList(
  found: readonly OrganizationFigures[],
  shown: readonly OrganizationFigures[],
  facts: ListFacts,
): Html {
  const { filters, page, to, readAt } = facts;
  const deleted = found.filter(({ removedAt }) => removedAt !== null).length;
  const what = `${describeOrganizations(found.length - deleted, deleted)}${filters.show === '' ? '' : ` ${SHOWN[filters.show].text}`}${filters.q === '' ? '' : ` with “${filters.q}”`}`;
  if (shown.length === 0) return html`<p>${what}${found.length === 0 ? '' : ', none on this page'}.</p>`;
  const last = sameDaysOfLastMonth(to);
  return html`<p>${what}. <a href="${addressOf(PATH, { ...filters, csv: '1' })}" download>Download as CSV</a></p>
<details><summary>What the columns mean</summary><p class="quiet">Read at ${readAt}. Payloads are the billable ones from the first of ${nameOfMonth(to)} to ${renderDay(to)}; the change is against the same days of the month before, ${renderDay(last.from)} to ${renderDay(last.to)}, where both are stored. A line shows the payloads of each day since ${renderDay(addDays(to, 1 - DAYS_SHOWN))}; a day without one is not stored. Devices are those of the newest day of the month that is stored. The limit is the one that is passed first, or else the nearest; a day with ≈ is a projection at the present rate, one without is the day on which it was passed. Silent since is the last day with payloads, after three or more stored days without any. Gaps are numbers of any day that are missing or in doubt.</p></details>
${renderTable(shown, columnsOf(facts))}
${renderPages({ path: PATH, query: filters, page, found: found.length, perPage: PER_PAGE })}`;
}

function columnsOf({ filters, to, names, payloads }: ListFacts): Column<OrganizationFigures>[] {
  const { sort: sorted, direction } = orderOf(filters);
  const by = (sort: Sort) => {
    const dir = sort !== sorted ? '' : direction === 'asc' ? 'desc' : 'asc';
    const sortAddress = addressOf(PATH, readFilters({ ...filters, sort, dir }));
    return sort === sorted ? { sortAddress, sorted: direction } : { sortAddress };
  };
  const month = nameOfMonth(to);
  return [
    { ...by('name'), ...textColumn('Organization', renderName) },
    ...instanceColumn<OrganizationFigures>(names),
    { ...by('devices'), ...numberColumn('Devices', ({ devices }) => devices) },
    { ...by('payloads'), ...numberColumn(`Payloads in ${month}`, (figures) => figures.payloads) },
    {
      ...by('change'),
      ...numberColumn('Change', ({ compared }) => compared && showChange(compared.now, compared.before)),
    },
    chartColumn('By day', ({ orgId }) => renderSparkline(payloads.get(orgId) ?? [], 'Billable payloads')),
    { ...by('share'), ...numberColumn('Of limit', ({ limit }) => limit && renderLimit(limit)) },
    { ...by('crosses'), ...column('Passed on', ({ limit }) => limit && renderCrossing(limit, to)) },
    { ...by('silent'), ...column('Silent since', ({ silentSince }) => renderDay(silentSince)) },
    { ...by('gaps'), ...numberColumn('Gaps', renderGaps) },
  ];
}

function renderLimit({ share, name }: LimitState): Html {
  return html`${renderShare(share)} <span class="quiet">${name}</span>`;
}

function renderName({ orgId, name, removedAt }: OrganizationFigures): Html {
  return html`<span class="line"><a href="${PATH}/${orgId}" title="${name}, ${orgId}">${name}</a>${removedAt === null ? '' : html` <span class="quiet">deleted</span>`}${renderCopy(orgId, `Copy the id of ${name}`)}</span>`;
}

function renderGaps({ orgId, missing, inDoubt }: OrganizationFigures): Html | number {
  const gaps = missing + inDoubt;
  if (gaps === 0) return 0;
  return html`<a class="bad" href="${addressOf('/coverage', { q: orgId, days: '90', only: 'gap' })}">${showNumber(gaps)}</a>`;
}

export function showChange(now: number, before: number): string {
  const change = showDifference(now - before);
  if (before === 0) return change;
  return `${change} (${now > before ? '+' : ''}${Math.round(((now - before) / before) * 100)} %)`;
}

/** `renderShare` renders a share, rounded down so that 100 % means that the limit is reached. */
export function renderShare(share: number | null): Html | string {
  if (share === null) return '–';
  const shown = `${showNumber(Math.floor(share * 100))} %`;
  return share > 1 ? html`<span class="bad">${shown}</span>` : shown;
}

function renderCrossing({ crossesOn }: LimitState, to: UsageDay): Html {
  if (crossesOn === null) return html`–`;
  return crossesOn <= to
    ? html`<span class="bad">${renderDay(crossesOn)}</span>`
    : html`<span class="warn" title="projected"><span aria-hidden="true">≈ </span><span class="hidden">about </span>${renderDay(crossesOn)}</span>`;
}
