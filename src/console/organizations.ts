import { html } from 'hono/html';
import { type CsvColumn, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { type Overview, sameDaysOfLastMonth } from '../queries/home.ts';
import {
  type LimitShare,
  type LimitState,
  type OrganizationFigures,
  readDailyPayloads,
} from '../queries/organizations.ts';
import { showNumber } from '../terminal/words.ts';
import { addDays, type UsageDay } from '../usage/day.ts';
import {
  addressOf,
  describeOrganizations,
  readChoice,
  readPageNumber,
  readSearch,
  renderPages,
  renderSearch,
  renderSelect,
} from './lists.ts';
import { showMonth } from './month-judge.ts';
import {
  type Column,
  type Html,
  renderAway,
  renderCopy,
  renderDay,
  renderInstant,
  renderPage,
  renderTable,
} from './page.ts';
import { type ConsolePage, instanceNames, READING_WAIT_MS, readOrNull } from './sources.ts';
import { renderSparkline } from './sparkline.ts';

const PATH = '/organizations';
const PER_PAGE = 50;
/** The days of a sparkline, enough for every month to date. */
const DAYS_SHOWN = 31;
/** The number of seconds after which a browser asks again for figures that are being counted. */
export const AGAIN_S = 3;

/** The filters, which the lines of attention on the home page lead to. */
export const SHOWN = {
  over: { text: 'over a limit', has: ({ limit }, to) => isPassed(limit, to) },
  crossing: {
    text: 'that will pass a limit',
    has: ({ limit }, to) => limit !== null && limit.crossesOn !== null && !isPassed(limit, to),
  },
  silent: { text: 'silent for 3 days or more', has: ({ silentSince }) => silentSince !== null },
  moved: { text: 'changed by half or more', has: (figures) => Math.abs(changeOf(figures) ?? 0) >= 0.5 },
  missing: { text: 'with missing numbers', has: ({ missing }) => missing > 0 },
  in_doubt: { text: 'with numbers in doubt', has: ({ inDoubt }) => inDoubt > 0 },
} as const satisfies Readonly<
  Record<
    string,
    { readonly text: string; readonly has: (figures: OrganizationFigures, to: UsageDay) => boolean }
  >
>;
export type Shown = keyof typeof SHOWN;

/** Whether a limit has been passed by the end of the day `to`. */
function isPassed(limit: LimitState | null, to: UsageDay): boolean {
  return limit !== null && limit.crossesOn !== null && limit.crossesOn <= to;
}

/**
 * `changeOf` returns the change against the same days of the last month as a share of these; null if there
 * is nothing to compare with.
 */
export function changeOf({ compared }: OrganizationFigures): number | null {
  return compared === null || compared.before === 0 ? null : compared.now / compared.before - 1;
}

/** The columns by which the list can be sorted, and the order in which each begins. */
const SORTS = {
  name: { first: 'asc', of: () => null },
  devices: { first: 'desc', of: ({ devices }) => devices },
  payloads: { first: 'desc', of: ({ payloads }) => payloads },
  change: { first: 'desc', of: (figures) => differenceOf(figures) },
  share: { first: 'desc', of: ({ limit }) => limit?.share ?? null },
  crosses: { first: 'asc', of: ({ limit }) => limit?.crossesOn ?? null },
  silent: { first: 'asc', of: ({ silentSince }) => silentSince },
  gaps: { first: 'desc', of: ({ missing, inDoubt }) => missing + inDoubt },
} as const satisfies Readonly<
  Record<string, { first: Direction; of: (figures: OrganizationFigures) => number | string | null }>
>;
type Sort = keyof typeof SORTS;
type Direction = 'asc' | 'desc';

function differenceOf({ compared }: OrganizationFigures): number | null {
  return compared === null ? null : compared.now - compared.before;
}

export interface OrganizationQuery {
  /** Part of a name or referral id, or the beginning of an id; empty for all. */
  readonly search: string;
  /** The filter; null for all. */
  readonly show: Shown | null;
  readonly sort: Sort;
  readonly direction: Direction;
  /** The page, from 1. */
  readonly page: number;
}

export const organizationsPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const query = readQuery((name) => c.req.query(name));
    const [view, reading] = await Promise.all([sources.database(READING_WAIT_MS), sources.overview()]);
    if (reading === null) {
      c.header('refresh', String(AGAIN_S));
      const body = view.isUp
        ? html`<p>The organizations are being counted. This page reloads by itself.</p>`
        : renderAway();
      return c.html(renderOrganizations(query, body), view.isUp ? 200 : 503);
    }
    const { value: overview, atMs } = reading;
    const found = selectOrganizations(overview, query);
    if (c.req.query('csv') !== undefined) {
      c.header('content-disposition', `attachment; filename="organizations-${overview.to}.csv"`);
      return c.body(renderCsv(found), 200, { 'content-type': 'text/csv; charset=utf-8' });
    }
    const shown = found.slice((query.page - 1) * PER_PAGE, query.page * PER_PAGE);
    const range = { from: addDays(overview.to, 1 - DAYS_SHOWN), to: overview.to };
    const orgIds = shown.map(({ orgId }) => orgId);
    const payloads = await readOrNull(sources, (db) => readDailyPayloads(db, { orgIds, range }));
    if (payloads === null) return c.html(renderOrganizations(query, renderAway()), 503);
    const facts = { query, to: overview.to, names: instanceNames(view), payloads };
    const readAt = renderInstant(new Date(atMs).toISOString(), sources.now());
    return c.html(renderOrganizations(query, renderList(found, shown, { ...facts, readAt })));
  },
};

/** `readQuery` reads the query of the address and ignores invalid values. */
export function readQuery(given: (name: string) => string | undefined): OrganizationQuery {
  const sort = readChoice(given('sort'), Object.keys(SORTS) as Sort[]) ?? 'name';
  return {
    search: readSearch(given('q')),
    show: readChoice(given('show'), Object.keys(SHOWN) as Shown[]),
    sort,
    direction: readChoice(given('dir'), ['asc', 'desc'] as const) ?? SORTS[sort].first,
    page: readPageNumber(given('page')),
  };
}

/**
 * `selectOrganizations` returns the organizations that match in the order asked for; those without a value
 * come last.
 */
export function selectOrganizations(
  { organizations, to }: Pick<Overview, 'organizations' | 'to'>,
  { search, show, sort, direction }: Omit<OrganizationQuery, 'page'>,
): OrganizationFigures[] {
  const text = search.toLowerCase();
  const matches = ({ name, referralId, orgId }: OrganizationFigures) =>
    name.toLowerCase().includes(text) || referralId?.toLowerCase().includes(text) || orgId.startsWith(text);
  const found = organizations.filter((each) => matches(each) && (show === null || SHOWN[show].has(each, to)));
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

const CSV_COLUMNS: readonly CsvColumn[] = [
  ...['org_id', 'instance_id'].map((name) => ({ name, isText: false })),
  ...['org_name', 'referral_id'].map((name) => ({ name, isText: true })),
  ...['removed_at', 'devices_total', 'payload_billable_count', 'compared', 'compared_last_month'],
  ...[
    'limit_name',
    'limit_share',
    'limit_projected_share',
    'crosses_on',
    'silent_since',
    'missing',
    'in_doubt',
  ],
].map((column) => (typeof column === 'string' ? { name: column, isText: false } : column));

function renderCsv(found: readonly OrganizationFigures[]): string {
  const rows = found.map((each) => [
    ...[each.orgId, each.instanceId, each.name, each.referralId, each.removedAt, each.devices, each.payloads],
    ...[each.compared?.now ?? null, each.compared?.before ?? null, each.limit?.name ?? null],
    ...[each.limit?.share ?? null, each.limit?.projectedShare ?? null, each.limit?.crossesOn ?? null],
    ...[each.silentSince, each.missing, each.inDoubt],
  ]);
  return renderCsvHeader(CSV_COLUMNS) + renderCsvRows(CSV_COLUMNS, rows);
}

function renderOrganizations(query: OrganizationQuery, list: Html): Html {
  const { search, show } = query;
  const body = html`<h1>Organizations</h1>
<form method="get" action="${PATH}" role="search" aria-label="Organizations of this list">
${renderSearch(search)}
${renderSelect({
  name: 'show',
  label: 'Show',
  options: [
    ['', 'all'],
    ...Object.entries(SHOWN).map(([name, { text }]) => [name, `those ${text}`] as const),
  ],
  chosen: show ?? '',
})}
${query.sort === 'name' ? '' : html`<input type="hidden" name="sort" value="${query.sort}">`}
<button type="submit">Show</button></form>
${list}`;
  return renderPage({ title: 'Organizations', path: PATH, body });
}

interface ListFacts {
  readonly query: OrganizationQuery;
  readonly to: UsageDay;
  readonly names: ReadonlyMap<string, string>;
  /** The billable payloads by day of the organizations shown. */
  readonly payloads: ReadonlyMap<string, readonly (number | null)[]>;
  readonly readAt: Html;
}

function renderList(
  found: readonly OrganizationFigures[],
  shown: readonly OrganizationFigures[],
  facts: ListFacts,
): Html {
  const { query, to, names, readAt } = facts;
  const deleted = found.filter(({ removedAt }) => removedAt !== null).length;
  const what = `${describeOrganizations(found.length - deleted, deleted)}${query.show === null ? '' : ` ${SHOWN[query.show].text}`}${query.search === '' ? '' : ` with “${query.search}”`}`;
  if (shown.length === 0) return html`<p>${what}${found.length === 0 ? '' : ', none on this page'}.</p>`;
  const month = showMonth(to.slice(0, 7)).split(' ')[0] ?? '';
  const last = sameDaysOfLastMonth(to);
  return html`<p>${what}. <a href="${addressOf(PATH, { ...choiceOf(query), csv: '1' })}" download>Download as CSV</a></p>
<details><summary>What the columns mean</summary><p class="quiet">Read at ${readAt}. Payloads are the billable ones from the first of ${month} to ${renderDay(to)}; the change is against the same days of the month before, ${renderDay(last.from)} to ${renderDay(last.to)}, where both are stored. A line shows the payloads of each day since ${renderDay(addDays(to, 1 - DAYS_SHOWN))}; a day without one is not stored. Devices are those of the newest day of the month that is stored. The limit is the one that is passed first, or else the nearest; a day with ≈ is a projection at the present rate, one without is the day on which it was passed. Silent since is the last day with payloads, after three or more stored days without any. Gaps are numbers of any day that are missing or in doubt.</p></details>
${renderTable({
  columns: columnsOf(query, { month, hasInstances: names.size > 1 }),
  rows: shown.map((figures) => renderLine(figures, facts)),
})}
${renderPages({ path: PATH, query: choiceOf(query), page: query.page, found: found.length, perPage: PER_PAGE })}`;
}

function columnsOf(
  query: OrganizationQuery,
  { month, hasInstances }: { month: string; hasInstances: boolean },
): Column[] {
  const by = (sort: Sort, column: Column): Column => {
    const { first } = SORTS[sort];
    const other = query.direction === 'asc' ? 'desc' : 'asc';
    const direction = sort === query.sort ? other : first;
    const address = { ...choiceOf({ ...query, sort, direction }) };
    const sorted = query.direction === 'asc' ? 'ascending' : 'descending';
    return {
      ...column,
      sortAddress: addressOf(PATH, address),
      sorted: sort === query.sort ? sorted : undefined,
    };
  };
  return [
    by('name', { name: 'Organization', isText: true }),
    ...(hasInstances ? [{ name: 'Instance', isText: true }] : []),
    by('devices', { name: 'Devices', isNumber: true }),
    by('payloads', { name: `Payloads in ${month}`, isNumber: true }),
    by('change', { name: 'Change', isNumber: true }),
    { name: 'By day' },
    by('share', { name: 'Of limit', isNumber: true }),
    by('crosses', { name: 'Passed on' }),
    by('silent', { name: 'Silent since' }),
    by('gaps', { name: 'Gaps', isNumber: true }),
  ];
}

/** `choiceOf` returns the query of the list without its page, as addresses have it. */
function choiceOf({ search, show, sort, direction }: Omit<OrganizationQuery, 'page'>) {
  return {
    ...{ q: search, show: show ?? '', sort: sort === 'name' ? '' : sort },
    dir: direction === SORTS[sort].first ? '' : direction,
  };
}

function renderLine(figures: OrganizationFigures, { to, names, payloads }: ListFacts): (Html | string)[] {
  const { orgId, name, removedAt, devices, compared, limit, silentSince, missing, inDoubt } = figures;
  const gaps = missing + inDoubt;
  return [
    html`<span class="line"><a href="${PATH}/${orgId}" title="${name}, ${orgId}">${name}</a>${removedAt === null ? '' : html` <span class="quiet">deleted</span>`}${renderCopy(orgId, `Copy the id of ${name}`)}</span>`,
    ...(names.size > 1 ? [names.get(figures.instanceId) ?? figures.instanceId] : []),
    devices === null ? '–' : showNumber(devices),
    figures.payloads === null ? '–' : showNumber(figures.payloads),
    compared === null ? '–' : showChange(compared.now, compared.before),
    renderSparkline(payloads.get(orgId) ?? [], 'Billable payloads'),
    limit === null ? '–' : html`${renderShare(limit.share)} <span class="quiet">${limit.name}</span>`,
    limit === null ? '–' : renderCrossing(limit, to),
    silentSince === null ? '–' : renderDay(silentSince),
    gaps > 0
      ? html`<a class="bad" href="${addressOf('/coverage', { q: orgId, days: '90', only: 'gap' })}">${showNumber(gaps)}</a>`
      : '0',
  ];
}

/** `showChange` shows a change with its sign and as a share of the earlier value. */
export function showChange(now: number, before: number): string {
  const change = `${now > before ? '+' : ''}${showNumber(now - before)}`;
  return before === 0
    ? change
    : `${change} (${now > before ? '+' : ''}${Math.round(((now - before) / before) * 100)} %)`;
}

/** `renderShare` renders a share, rounded down so that 100 % means that the limit is reached. */
export function renderShare(share: number | null): Html | string {
  if (share === null) return '–';
  const shown = `${showNumber(Math.floor(share * 100))} %`;
  return share > 1 ? html`<span class="bad">${shown}</span>` : shown;
}

/** `renderCrossing` renders the day on which a limit was passed, or will be. */
function renderCrossing({ crossesOn }: LimitShare, to: UsageDay): Html {
  if (crossesOn === null) return html`–`;
  return crossesOn <= to
    ? html`<span class="bad">${renderDay(crossesOn)}</span>`
    : html`<span class="warn" title="projected"><span aria-hidden="true">≈ </span><span class="hidden">about </span>${renderDay(crossesOn)}</span>`;
}
