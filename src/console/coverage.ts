/** Data quality: the map of organizations by day. */
import { html, raw } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showCode, showName, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, eachDay, FIRST_DAY, type UsageDay } from '../usage/day.ts';
import { STANDINGS, type Standing, standings } from '../usage/standing.ts';
import { addressOf, type Html, showMonth } from './elements.ts';
import { matchesText, readValues, renderForm, SEARCH, STREAM } from './filters.ts';
import type { ConsolePage, PageRequest } from './page.ts';
import { readPage, renderPages } from './table.ts';

const PATH = '/coverage';
const LINES_PER_PAGE = 50;
const DAYS = 30;

/** The expected cells of a day, of one organization or of all. */
interface MapDay {
  readonly day: UsageDay;
  readonly standing: Standing;
  readonly cells: number;
  readonly gaps: number;
}

type MapLine = Awaited<ReturnType<typeof readLines>>[number];

/** A map of organizations by day, the worst first, below a line for all of them. */
export const coveragePage: ConsolePage = {
  path: PATH,
  show: async (request) => {
    const query = readQuery(request);
    const [all, lines] = await request.read((db) => Promise.all([readAllDays(db, query), readLines(db, query)]));
    return { title: 'Data quality', body: renderCoverage(query, all, lines) };
  },
};

const FILTERS = { q: SEARCH, stream: STREAM, to: { label: 'Last day', options: 'day' } } as const;

type MapQuery = ReturnType<typeof readQuery>;

function readQuery({ query, nowMs }: PageRequest) {
  const yesterday = addDays(dayAt(nowMs), -1);
  const { q, stream, to: lastDay } = readValues(FILTERS, query);
  const to = lastDay > yesterday || lastDay < addDays(FIRST_DAY, DAYS) ? yesterday : lastDay;
  const range = { from: addDays(to, 1 - DAYS), to };
  return { values: { q, stream, to }, range, isLatest: to === yesterday, page: readPage(query) };
}

function selectGaps({ range, values }: MapQuery) {
  return sql`
    select g.org_id, g.usage_date as day, g.standing from losant_usage.coverage_gaps g
    where ${values.stream} in ('', g.stream) and g.usage_date between ${range.from}::date and ${range.to}::date`;
}

/** Returns the days of all organizations. Of a day without gaps, the standing of its cells is not looked up. */
async function readAllDays(db: Kysely<Schema>, query: MapQuery): Promise<readonly MapDay[]> {
  const { range, values } = query;
  const { rows } = await sql<MapDay>`
    with tracks as (
      select t.first_day, coalesce(t.last_day, ${range.to}::date) as last_day, count(*) as cells
      from losant_usage.tracks t
      where ${values.stream} in ('', t.stream)
      group by 1, 2
    ), gaps as (
      select g.day, count(*) as gaps, max(g.standing) as standing from (${selectGaps(query)}) as g group by g.day
    )
    select day, sum(t.cells)::bigint as cells, coalesce(g.gaps, 0) as gaps, coalesce(g.standing, 'final') as standing
    from unnest(${eachDay(range)}::date[]) as day
    join tracks t on day between t.first_day and t.last_day
    left join gaps g using (day)
    group by day, g.gaps, g.standing order by day`.execute(db);
  return rows;
}

async function readLines(db: Kysely<Schema>, query: MapQuery) {
  const { range, values, page } = query;
  const { rows } = await sql<{ org_id: string; name: string }>`
    select o.org_id, o.name
    from losant_usage.organizations o
    left join (
      select g.org_id, max(g.standing) as standing, count(*) as gaps from (${selectGaps(query)}) as g group by g.org_id
    ) as g on g.org_id = o.org_id
    where ${matchesText(values.q)}
    order by g.standing desc nulls last, g.gaps desc nulls last, o.name, o.org_id
    limit ${LINES_PER_PAGE + 1} offset ${(page - 1) * LINES_PER_PAGE}`.execute(db);
  const ids = rows.map(({ org_id: id }) => id);
  // Arrays of days and organizations, because Postgres then looks up each cell by its key.
  const { rows: days } = await sql<MapDay & { readonly org_id: string }>`
    select c.org_id, c.usage_date as day, max(c.standing) as standing, count(*) as cells,
      count(*) filter (where c.standing in ('in_doubt', 'missing')) as gaps
    from losant_usage.cells c
    where c.usage_date = any (${eachDay(range)}::date[]) and c.org_id = any (${ids}::text[])
      and ${values.stream} in ('', c.stream)
    group by c.org_id, c.usage_date`.execute(db);
  const daysByOrg = Map.groupBy(days, ({ org_id: id }) => id);
  return rows.map((line) => ({ ...line, days: daysByOrg.get(line.org_id) ?? [] }));
}

function renderCoverage(query: MapQuery, all: readonly MapDay[], lines: readonly MapLine[]): Html {
  const { range, isLatest, values, page } = query;
  const address = (change: Readonly<Record<string, string>>) => addressOf(PATH, { ...values, ...change });
  const gaps = all.reduce((sum, day) => sum + day.gaps, 0);
  const cells = all.reduce((sum, day) => sum + day.cells, 0);
  return html`<h1>Data quality</h1>
<p class="quiet">${showNumber(gaps)} of ${showNumber(cells)} cells from ${range.from} to ${range.to}
  ${gaps === 1 ? 'is' : 'are'} missing or in doubt. The stronger the color, the larger the share of gaps. The worst
  organizations come first, below a line with all gaps.</p>
<p><a href="/gaps">Gaps</a> · <a href="/reconciliation">Comparison with Losant</a></p>
${renderForm(PATH, FILTERS, values)}
<p><a href="${address({ to: addDays(range.from, -1) })}">Earlier</a>${
    !isLatest && html` · <a href="${address({ to: addDays(range.to, DAYS) })}">Later</a>`
  }</p>
<p class="quiet keys">${standings.map(renderKey)}<span class="whole">blank: not expected</span></p>
${renderGrid(all, lines.slice(0, LINES_PER_PAGE), query)}${
  lines.length === 0 &&
  page === 1 &&
  html`<p>${values.q === '' ? 'Nothing has been loaded yet.' : 'No organization has this name or ID.'}</p>`
}
${renderPages(page, lines.length > LINES_PER_PAGE, (to) => address({ page: `${to}` }))}`;
}

function renderKey(standing: Standing): Html {
  const { tone, symbol, sentence } = STANDINGS[standing];
  return html`<span class="whole" title="${sentence}"><span class="key m-${tone} s-3"
  aria-hidden="true">${symbol}</span> ${showCode(standing)}</span> `;
}

function renderGrid(all: readonly MapDay[], lines: readonly MapLine[], { range, values }: MapQuery): Html {
  const days = eachDay(range);
  const headCells = days.map((day, index) => {
    const isFirst = index === 0 || day.endsWith('-01');
    return html`<th scope="col">${isFirst ? showMonth(day).slice(0, 3) : day.slice(8)}</th>`;
  });
  return html`<div class="map" role="region" tabindex="0"
    aria-label="Organizations by day; scrolls horizontally">
<table class="grid"><caption class="hidden">Standing of each organization on each day</caption>
<colgroup><col class="names"><col span="${days.length}"></colgroup>
<thead><tr><th class="name" scope="col">Organization</th>${headCells}</tr></thead>
<tbody><tr><th class="name" scope="row">All gaps</th>${renderDays(
    days,
    all.filter(({ gaps }) => gaps > 0),
    (day) => addressOf('/gaps', { usage_date: day, stream: values.stream }).replace('&', '&amp;'),
  )}</tr>
${lines.map(
  ({ org_id: orgId, name, days: orgDays }) =>
    html`<tr><th class="name" scope="row"><a
  href="/organizations/${orgId}">${showName(name, orgId)}</a></th>${renderDays(
    days,
    orgDays,
    (day) => `${PATH}/${orgId}/${day}`,
  )}</tr>\n`,
)}</tbody></table></div>`;
}

/**
 * Renders the squares of a line; one with a gap links to an address of its day. They consist of days, counts and
 * addresses of this server, which need no escaping.
 */
function renderDays(days: readonly UsageDay[], mapDays: readonly MapDay[], addressOfDay: (day: UsageDay) => string) {
  const cellByDay = new Map(mapDays.map((day) => [day.day, day]));
  const cells = days.map((day) => {
    const cell = cellByDay.get(day);
    if (cell === undefined) return '<td></td>';
    const { tone, symbol } = STANDINGS[cell.standing];
    if (cell.gaps === 0) return `<td class=m-${tone}>${tone === 'lost' ? symbol : ''}</td>`;
    const title = `${day}: ${showNumber(cell.gaps)} of ${showNumber(cell.cells)} missing or in doubt`;
    // Not a tab stop: there may be hundreds, and the list of gaps has the same links.
    const link = `<a href="${addressOfDay(day)}" tabindex=-1 title="${title}">${symbol}</a>`;
    return `<td class="m-${tone} s-${getShade(cell)}">${link}</td>`;
  });
  return html`${raw(cells.join(''))}`;
}

/** Returns the shade of the share of gaps: from 1, up to 1%, to 4, above 50%. */
function getShade({ gaps, cells }: MapDay): number {
  return [0.01, 0.1, 0.5].filter((bound) => gaps / cells > bound).length + 1;
}
