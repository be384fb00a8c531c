import type { Context } from 'hono';
import { html, raw } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showNumber } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt, eachDay, parseDay, type UsageDay } from '../usage/day.ts';
import { FIRST_DAY } from '../usage/policy.ts';
import { STANDINGS, type Standing, standings } from '../usage/standing.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { detailPage } from './detail.ts';
import { type Html, plain, renderPage, renderStanding, showMonth } from './page.ts';
import { addressOf, optionsOf, renderPages, renderSelect } from './table.ts';

const PATH = '/coverage';
const TITLE = 'Coverage';
const DAYS = ['30', '90'] as const;
const LINES_PER_PAGE = 30;

interface MapQuery {
  readonly instanceIds: readonly string[];
  readonly range: DayRange;
  readonly stream: string;
  readonly search: string;
  readonly page: number;
}

/** The cells of a day, of one organization or of all. */
interface MapDay {
  readonly day: UsageDay;
  readonly standing: Standing;
  /** Cells that are wanted, and those of them that are missing or in doubt (counts). */
  readonly cells: number;
  readonly gaps: number;
}

interface MapLine {
  readonly orgId: string;
  readonly name: string;
  readonly days: readonly MapDay[];
}

/** One map of organizations by days, the worst first, under a line of all of them. */
export const coveragePage = detailPage({
  path: PATH,
  place: PATH,
  noun: 'map',
  read: async (c, { read, instanceIds, now }) => {
    const query = readQuery(c, { instanceIds, nowMs: now() });
    return await read(async (db) => ({
      query,
      all: await readAll(db, query),
      lines: await readLines(db, query),
    }));
  },
  render: renderCoverage,
});

function readQuery(
  c: Context,
  { instanceIds, nowMs }: { instanceIds: readonly string[]; nowMs: number },
): MapQuery {
  const given = c.req.query();
  const yesterday = addDays(dayAt(nowMs), -1);
  const asked = parseDay(given.to ?? '') ?? yesterday;
  const to = asked > yesterday || asked < addDays(FIRST_DAY, 90) ? yesterday : asked;
  const days = given.days === '90' ? 90 : 30;
  return {
    instanceIds,
    range: { from: addDays(to, 1 - days), to },
    stream: streamNames.find((name) => name === given.stream) ?? '',
    search: (given.q ?? '').replaceAll('\0', '').toWellFormed().trim().slice(0, 100).toWellFormed(),
    page: /^[1-9]\d{0,4}$/.test(given.page ?? '') ? Number(given.page) : 1,
  };
}

/** Returns the days of all organizations with what is missing or in doubt; the rest of a day is no gap. */
async function readAll(
  db: Kysely<Schema>,
  { instanceIds, range, stream }: MapQuery,
): Promise<readonly MapDay[]> {
  const { rows } = await sql<MapDay>`
    with tracks as (
      select t.first_day, coalesce(t.to_day, ${range.to}::date) as last_day, count(*) as cells
      from losant_usage.tracks t
      join losant_usage.organizations o on o.org_id = t.org_id and o.instance_id = any (${instanceIds}::text[])
      where ${stream} in ('', t.stream)
      group by 1, 2
    ), wanted as (
      select day::date as day, sum(t.cells)::bigint as cells
      from generate_series(${range.from}::timestamp, ${range.to}::timestamp, interval '1 day') as day
      join tracks t on day::date between t.first_day and t.last_day
      group by day
    ), gaps as (
      select g.usage_date as day, count(*) as gaps, max(g.standing) as standing
      from losant_usage.coverage_gaps g
      where g.instance_id = any (${instanceIds}::text[]) and g.usage_date between ${range.from}::date and
        ${range.to}::date
        and ${stream} in ('', g.stream)
      group by g.usage_date
    )
    select w.day, w.cells, coalesce(g.gaps, 0) as gaps, coalesce(g.standing, 'final') as standing
    from wanted w left join gaps g on g.day = w.day order by w.day`.execute(db);
  return rows;
}

/** Returns a page of organizations, those with the most missing and in doubt in the range first, then by name. */
async function readLines(
  db: Kysely<Schema>,
  { instanceIds, range, stream, search, page }: MapQuery,
): Promise<readonly MapLine[]> {
  const text = search.replaceAll(/[\\%_]/g, String.raw`\$&`);
  const { rows: shown } = await sql<Omit<MapLine, 'days'>>`
    select o.org_id as "orgId", o.name
    from losant_usage.organizations o
    left join (
      select g.org_id, max(g.standing) as standing, count(*) as gaps
      from losant_usage.coverage_gaps g
      where g.instance_id = any (${instanceIds}::text[]) and g.usage_date between ${range.from}::date and
        ${range.to}::date
        and ${stream} in ('', g.stream)
      group by g.org_id
    ) as g on g.org_id = o.org_id
    where o.instance_id = any (${instanceIds}::text[])
      and (${text} = '' or o.name ilike ${`%${text}%`} or o.referral_id ilike ${`%${text}%`} or o.org_id like
        ${`${text.toLowerCase()}%`})
    order by g.standing desc nulls last, g.gaps desc nulls last, o.name, o.org_id
    limit ${LINES_PER_PAGE + 1} offset ${(page - 1) * LINES_PER_PAGE}`.execute(db);
  // Days and organizations are given one by one, so that each row of the ledger is looked up by its key.
  const { rows: days } = await sql<MapDay & { readonly orgId: string }>`
    select c.org_id as "orgId", c.usage_date as day, max(c.standing) as standing, count(*) as cells,
      count(*) filter (where c.standing in ('in_doubt', 'missing')) as gaps
    from losant_usage.cells c
    where c.usage_date = any (${eachDay(range)}::date[]) and c.org_id = any (${shown.map(({ orgId }) => orgId)}::text[])
      and ${stream} in ('', c.stream)
    group by c.org_id, c.usage_date`.execute(db);
  const byOrg = Map.groupBy(days, ({ orgId }) => orgId);
  return shown.map((line) => ({ ...line, days: byOrg.get(line.orgId) ?? [] }));
}

interface CoverageMap {
  readonly query: MapQuery;
  readonly all: readonly MapDay[];
  readonly lines: readonly MapLine[];
}

function renderCoverage({ query, all, lines }: CoverageMap, nowMs: number): Html {
  const yesterday = addDays(dayAt(nowMs), -1);
  const { range, stream, search, page } = query;
  const days = eachDay(range);
  const values = { stream, q: search, days: days.length === 30 ? '' : '90' };
  const address = (change: Readonly<Record<string, string>>) =>
    addressOf(PATH, { ...values, to: range.to === yesterday ? '' : range.to, ...change });
  const later = addDays(range.to, days.length);
  const gaps = all.reduce((sum, day) => sum + day.gaps, 0);
  const cells = all.reduce((sum, day) => sum + day.cells, 0);
  const body = html`<h1>${TITLE}</h1>
<p>${showNumber(gaps)} of ${showNumber(cells)} numbers of ${range.from} to ${range.to} are missing or in doubt. The
  map is shaded by their share of a day; the worst organizations come first.
<a href="/gaps">All gaps</a> · <a href="/quarantine">Quarantine</a></p>
<form method="get" action="${PATH}"><label class="wide">Name, referral id or id<input name="q" type="search"
  value="${search}"></label>
${renderSelect('stream', 'Stream', optionsOf(streamNames), stream)}
${renderSelect(
  'days',
  'Days',
  DAYS.map((each) => [each, each] as const),
  `${days.length}`,
)}
<label>up to<input name="to" type="date" value="${range.to}"></label><button type="submit">Show</button></form>
<p><a href="${address({ to: addDays(range.from, -1) })}">Earlier</a>${
    range.to === yesterday
      ? ''
      : html` <a
  href="${address({ to: later >= yesterday ? '' : later })}">Later</a>`
  }</p>
${renderKeys()}
${renderGrid(all, lines.slice(0, LINES_PER_PAGE), days)}
${renderPages(page, lines.length > LINES_PER_PAGE ? page + 1 : page, (to) => address({ page: `${to}` }))}
<details><summary>What the words mean</summary><dl class="facts">${standings.map(
    (standing) =>
      html`<div><dt>${renderStanding(standing)}</dt><dd>${STANDINGS[standing].sentence}</dd></div>\n`,
  )}</dl></details>`;
  return renderPage({ title: TITLE, path: PATH, body });
}

function renderKeys(): Html {
  return html`<p class="quiet keys">${standings.map((standing) => {
    const { tone, symbol, label } = STANDINGS[standing];
    return html`<span class="whole"><span class="key m-${tone} s-3" aria-hidden="true">${symbol}</span>
      ${label}</span> `;
  })}<span class="whole">blank: not wanted</span></p>`;
}

function renderGrid(all: readonly MapDay[], lines: readonly MapLine[], days: readonly UsageDay[]): Html {
  const heads = days.map((day, place) => {
    const isFirst = place === 0 || day.endsWith('-01');
    const isShown = days.length <= 31 || new Date(`${day}T00:00:00Z`).getUTCDay() === 1;
    const shown = isFirst ? showMonth(day).slice(0, 3) : day.slice(8);
    return html`<th scope="col"><span aria-hidden="true" title="${day}">${isShown || isFirst ? shown : ''}</span><span
      class="hidden">${day}</span></th>`;
  });
  const allLine = renderDays(days, all, {
    addressOfDay: (day) => addressOf('/gaps', { day }),
    calm: 'nothing is missing',
  });
  return html`<div class="map" role="region" tabindex="0"
    aria-label="Organizations by days; scrolls sideways where it is wider than the screen">
<table class="grid grid-${days.length}"><caption class="hidden">How each day of each organization stands</caption>
<colgroup><col class="names"><col span="${days.length}"></colgroup>
<thead><tr><th class="name" scope="col">Organization</th>${heads}</tr></thead>
<tbody><tr class="all"><th class="name" scope="row">All</th>${allLine}</tr>
${lines.map(
  ({ orgId, name, days: own }) =>
    html`<tr><th class="name" scope="row"><a href="/organizations/${orgId}"
      title="${plain(name)}">${plain(name)}</a></th>${renderDays(days, own, {
        addressOfDay: (day) => `${PATH}/${orgId}/${day}`,
      })}</tr>\n`,
)}</tbody></table></div>`;
}

/** Renders the cells of a line. Their parts, days, counts and addresses of this server, need no escaping. */
function renderDays(
  days: readonly UsageDay[],
  own: readonly MapDay[],
  { addressOfDay, calm }: { readonly addressOfDay: (day: UsageDay) => string; readonly calm?: string },
): Html[] {
  const known = new Map(own.map((day) => [day.day, day]));
  return days.map((day) => {
    const cell = known.get(day);
    if (cell === undefined) return html`<td></td>`;
    const { tone, symbol, label } = STANDINGS[cell.standing];
    const said =
      cell.gaps === 0
        ? `${day}: ${calm ?? label}`
        : `${day}: ${showNumber(cell.gaps)} of ${showNumber(cell.cells)} missing or in doubt`;
    const sign = tone === 'good' ? '' : symbol;
    const shade = tone === 'bad' ? ` s-${shadeOf(cell)}` : '';
    // Hundreds of stops for a keyboard: the list of gaps has the same links.
    const link = `<a href="${addressOfDay(day)}" tabindex="-1" title="${said}">${sign}</a>`;
    return html`${raw(`<td class="m-${tone}${shade}">${link}</td>`)}`;
  });
}

/** Returns the shade of a share, from 1 for up to 1 % to 4 for more than half. */
function shadeOf({ gaps, cells }: MapDay): number {
  const share = gaps / cells;
  if (share > 0.5) return 4;
  if (share > 0.1) return 3;
  return share > 0.01 ? 2 : 1;
}
