/** The tables behind a statement: what the files of its proof pack are made from. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { instantText } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { renderCsvRows } from '../files/csv.ts';
import { readInPages } from '../queries/view-rows.ts';
import type { DayRange } from '../usage/day.ts';
import { columnsOf, keyOf, METRICS, type PackColumn, type PackFileName } from './pack-files.ts';

/** The rows of a file of a proof pack, as a table of a query. */
export interface PackTable {
  readonly name: PackFileName;
  readonly rows: RawBuilder<unknown>;
}

/** The number of rows read at a time, some megabytes. */
const PAGE_ROWS = 5_000;

/** A statement with the days of all its periods, which limit what is read for its pack. */
interface Extent extends DayRange {
  readonly statementId: string;
}

/** `readPackTables` returns the files of a statement's pack in the order in which they are made. */
export async function readPackTables(trx: Kysely<Schema>, statementId: string): Promise<PackTable[]> {
  const { from, to } = await trx
    .selectFrom('statement_lines')
    .select((eb) => [eb.fn.min('period_start').as('from'), eb.fn.max('period_end').as('to')])
    .where('statement_id', '=', statementId)
    .executeTakeFirstOrThrow();
  const extent = { statementId, from, to };
  return [
    statementTable('lines.csv', statementId),
    statementTable('sources.csv', statementId),
    { name: 'days.csv', rows: selectDays(extent) },
    { name: 'coverage.csv', rows: selectOfPeriods('cells', extent) },
    { name: 'revisions.csv', rows: selectOfPeriods('revisions', extent) },
    { name: 'waivers.csv', rows: selectOfPeriods('waivers', extent) },
    statementTable('blockers.csv', statementId),
  ];
}

const STATEMENT_TABLES = {
  'lines.csv': 'statement_lines',
  'sources.csv': 'statement_sources',
  'blockers.csv': 'statement_blockers',
} as const;

/** `statementTable` returns a file that a table has the rows of: also those of a statement that is closed. */
export function statementTable(name: keyof typeof STATEMENT_TABLES, statementId: string): PackTable {
  const table = sql.table(`losant_usage.${STATEMENT_TABLES[name]}`);
  return { name, rows: sql`(select * from ${table} where statement_id = ${statementId}::uuid)` };
}

/** `selectOfPeriods` selects the rows of a table by organization and day that lie in a period of the statement. */
function selectOfPeriods(table: 'cells' | 'revisions' | 'waivers', extent: Extent): RawBuilder<unknown> {
  return sql`(
    select x.* from ${periodsOf(extent)} as p
    join ${sql.table(`losant_usage.${table}`)} x on x.org_id = p.org_id and x.usage_date between p.period_start and p.period_end
    where x.usage_date between ${extent.from}::date and ${extent.to}::date)`;
}

/** As daily_usage has them: here what is not final or not reported is looked up for all days at once. */
function selectDays(extent: Extent): RawBuilder<unknown> {
  const { from, to } = extent;
  const metrics = [...METRICS.keys()];
  const days = sql`between ${from}::date and ${to}::date`;
  const numbers = (table: string) => sql.join(metrics.map((metric) => sql.ref(`${table}.${metric}`)));
  return sql`(
      select p.org_id, p.period_start, d.usage_date, d.streams_expected, d.streams_stored,
        case when d.streams_stored > 0 then o.is_unreported is not true end as is_reported,
        coalesce(o.standing, 'final') as standing, ${numbers('d')}
      from ${periodsOf(extent)} as p
      join (
        select r.org_id, r.usage_date, r.streams_expected, r.streams_stored, ${numbers('r')}
        from losant_usage.org_rows r where r.is_tracked and r.usage_date ${days}
        union all
        select r.org_id, r.usage_date, r.streams_expected, 0, ${sql.join(metrics.map(() => sql`null`))}
        from losant_usage.rowless_days r where r.usage_date ${days}
      ) as d on d.org_id = p.org_id and d.usage_date between p.period_start and p.period_end
      left join (
        select c.org_id, c.usage_date, max(c.standing) as standing, bool_or(c.is_stored and not c.is_reported) as is_unreported
        from (
          select org_id, usage_date, standing, is_stored, is_reported from losant_usage.read_cells
          where usage_date ${days} and (standing <> 'final' or not is_reported)
          union all
          select org_id, usage_date, standing, false, false from losant_usage.unread_cells where usage_date ${days}
        ) as c group by c.org_id, c.usage_date
      ) as o on o.org_id = d.org_id and o.usage_date = d.usage_date)`;
}

function periodsOf({ statementId }: Extent): RawBuilder<unknown> {
  return sql`(select distinct org_id, period_start, period_end from losant_usage.statement_lines
    where statement_id = ${statementId}::uuid)`;
}

/**
 * `readRows` yields the rows of a table by key, every value as text, which is the same in every session. Must be
 * called inside a transaction.
 */
export async function* readRows(
  trx: Kysely<Schema>,
  { name, rows }: PackTable,
): AsyncGenerator<Readonly<Record<string, string | null>>> {
  const texts = sql.join(columnsOf(name).map((column) => sql`${textOf(column)} as ${sql.ref(column.name)}`));
  const query = sql<Record<string, string | null>>`
    select ${texts} from ${rows} as t order by ${orderOf(name)}`;
  for await (const page of readInPages(trx, query, { cursor: name, size: PAGE_ROWS })) yield* page;
}

/**
 * `readLines` yields the rows of a table by key as lines of CSV, in pages. The database puts together all but text
 * that has to be quoted, which takes a third of the time and memory of doing it here.
 */
export async function* readLines(
  trx: Kysely<Schema>,
  { name, rows }: PackTable,
): AsyncGenerator<readonly string[]> {
  const parts = partsOf(columnsOf(name));
  const texts = parts.map((part, index) => {
    const values = part.map(textOf);
    const text =
      values.length === 1
        ? values[0]
        : sql`concat_ws(',', ${sql.join(values.map((each) => sql`coalesce(${each}, '')`))})`;
    return sql`${text} as ${sql.ref(`part_${index}`)}`;
  });
  const query = sql<Record<string, string | null>>`
    select ${sql.join(texts)} from ${rows} as t order by ${orderOf(name)}`;
  const cells = new Map<string, string>();
  const render = (row: Record<string, string | null>) => {
    const values = parts.map(([column], index) => {
      const value = row[`part_${index}`] ?? null;
      return value === null || column?.isText !== true ? (value ?? '') : renderCell(cells, column, value);
    });
    return `${values.join(',')}\r\n`;
  };
  // The lines were written a moment ago, and statistics know nothing of them or of what they were: a plan
  // that expects one organization would read the month of all of them again for each.
  await sql`set local enable_nestloop = off`.execute(trx);
  for await (const page of readInPages(trx, query, { cursor: name, size: PAGE_ROWS })) yield page.map(render);
  await sql`set local enable_nestloop = on`.execute(trx);
}

/** `textOf` returns the one text of a value, whatever the session. */
function textOf({ name, type }: PackColumn): RawBuilder<unknown> {
  const value = sql.ref(`t.${name}`);
  if (type === 'instant') return instantText(value);
  if (type === 'sha256') return sql`encode(${value}, 'hex')`;
  return type === 'list' ? sql`array_to_string(${value}, ' ')` : sql`${value}::text`;
}

function orderOf(name: PackFileName): RawBuilder<unknown> {
  return sql.join(keyOf(name).map((column) => sql.ref(`t.${column}`)));
}

/** `partsOf` returns the columns that the database puts together, and each one whose text may need quotes by itself. */
function partsOf(columns: readonly PackColumn[]): (readonly PackColumn[])[] {
  const parts: PackColumn[][] = [];
  for (const column of columns) {
    const last = parts.at(-1);
    if (last === undefined || column.isText || last[0]?.isText === true) parts.push([column]);
    else last.push(column);
  }
  return parts;
}

/** The most texts that are kept with how they are written: they repeat from row to row. */
const CELLS_MAX = 10_000;

function renderCell(cells: Map<string, string>, column: PackColumn, value: string): string {
  const key = `${column.name} ${value}`;
  const known = cells.get(key);
  if (known !== undefined) return known;
  const rendered = renderCsvRows([column], [[value]]).slice(0, -2);
  if (cells.size >= CELLS_MAX) cells.clear();
  cells.set(key, rendered);
  return rendered;
}
