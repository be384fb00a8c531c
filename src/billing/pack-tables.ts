/** Renders the files of a proof pack from the tables behind a statement. */
import { DatabaseSync } from 'node:sqlite';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { toInstantText } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { readInPages } from '../queries/view-rows.ts';
import { daysOfMonth } from '../usage/day.ts';
import type { CsvName, StatementDocument } from './manifest.ts';

interface PackTable {
  /** Returns the SQL after `from`: a table `t` with the columns that the checks import. */
  readonly from: (statement: StatementDocument) => RawBuilder<unknown>;
  readonly order: RawBuilder<unknown>;
  /** Whether it has a row per organization and day, and no text to quote: Postgres renders it three times as fast. */
  readonly hasRowPerDay?: boolean;
}

/** Rows per page: so few that V8 collects a page before it promotes its strings to old objects. */
const PAGE_ROWS = 250;
/** Organizations per page where the database joins the rows of a day. */
const PAGE_ORGS = 500;

/** Columns with untrusted text, which must not become a formula in a spreadsheet. */
const UNTRUSTED_COLUMNS = [
  'org_name',
  'referral_id',
  'plan_id',
  'customer_id',
  'payload_type',
  'source',
  'reason',
  'waived_by',
  'detail',
];

/** Splits the checks at the line above which they are for the sqlite3 shell, whose commands begin with a dot. */
export function splitChecks(checksSql: string) {
  const [shell = '', queries = ''] = checksSql.split(/^-- -{20,}.*$/m);
  const imports = shell.matchAll(/^\.import --csv (\S+) (\S+)$/gm);
  return {
    createTables: shell.replaceAll(/^\..*$/gm, ''),
    tables: new Map(Array.from(imports, ([, file = '', table = '']) => [file, table])),
    queries: queries.split(/;\n/),
  };
}

function readColumns(checks: string, table: string): string[] {
  using db = new DatabaseSync(':memory:');
  // The checks read the manifest with a function of the shell.
  db.function('readfile', (_name) => '{}');
  db.exec(splitChecks(checks).createTables);
  const columns = db.prepare(`select * from ${table}`).columns();
  return columns.map(({ name }) => name);
}

/** Yields a file of a pack in parts, with the columns that `checks` import. Must be called inside a transaction. */
export async function* streamPackFile(
  trx: Kysely<Schema>,
  statement: StatementDocument,
  { name, checks }: { name: CsvName; checks: string },
): AsyncGenerator<string> {
  const table = name.replace('.csv', '_csv');
  const names = readColumns(checks, table);
  const columns = names.map((column) => ({ name: column, isText: UNTRUSTED_COLUMNS.includes(column) }));
  yield renderCsvHeader(columns);
  const { from, order, hasRowPerDay = false } = TABLES[name];
  if (hasRowPerDay) {
    const query = queryDays(statement, { names, from, order });
    for await (const page of readInPages(trx, query, { cursor: table, size: PAGE_ORGS }))
      yield page.map(({ rows }) => `${rows}\r\n`).join('');
    return;
  }
  const query = sql<{ fields: (string | null)[] }>`
    select json_build_array(${sql.join(names.map(selectText))}) as fields from ${from(statement)} order by ${order}`;
  for await (const page of readInPages(trx, query, { cursor: table, size: PAGE_ROWS })) {
    const rows = page.map(({ fields }) => fields);
    yield renderCsvRows(columns, rows);
  }
}

/**
 * Returns a query of the rows of an organization's day as lines of CSV. The rows of a day lie together and are found by
 * the key, whether of all organizations or of one. The database joins the lines of an organization in the order of the
 * subquery, in a third of the time that this process would take.
 */
function queryDays(
  statement: StatementDocument,
  { names, from, order }: PackTable & { readonly names: readonly string[] },
) {
  const days = daysOfMonth(statement.month);
  // A final cell has the reason of a later read that failed, which says nothing about its number.
  const selectField = (name: string) =>
    name === 'reason' ? sql`case when t.standing <> 'final' then t.reason end` : selectText(name);
  const fields = sql.join(names.map((name) => sql`coalesce(${selectField(name)}, '')`));
  return sql<{ rows: string }>`
    select d.rows from generate_series(${days.from}::timestamp, ${days.to}::timestamp, interval '1 day') as day
    cross join lateral (
      select string_agg(l.line, E'\\r\\n') as rows
      from (
        select t.org_id, concat_ws(',', ${fields}) as line from ${from(statement)} where t.usage_date = day::date
        order by t.org_id collate "C", ${order}
      ) as l
      group by l.org_id order by l.org_id collate "C"
    ) as d`;
}

function selectText(name: string): RawBuilder<string> {
  const column = sql`t.${sql.ref(name)}`;
  if (name.endsWith('_at')) return toInstantText(column);
  if (name.endsWith('_sha256')) return sql`encode(${column}, 'hex')`;
  return name === 'streams' ? sql`array_to_string(${column}, ' ')` : sql`${column}::text`;
}

const ofStatement = (table: string) => (statement: StatementDocument) =>
  sql`(select * from ${sql.table(`losant_usage.${table}`)} where statement_id = ${statement.id}::uuid) as t`;

const ofMonth = (view: string) => (statement: StatementDocument) => {
  const { from, to } = daysOfMonth(statement.month);
  const orgs = sql`select l.org_id from losant_usage.statement_lines l where l.statement_id = ${statement.id}::uuid`;
  // An adjustment has few organizations, whose rows are found by the key; a closing nearly all, so that it takes less
  // to read the month, and to look them up in a hash. `is true` keeps the planner from a lookup of each row's lines.
  const isBilled = statement.kind === 'closing' ? sql`(v.org_id in (${orgs})) is true` : sql`v.org_id in (${orgs})`;
  return sql`(select * from ${sql.table(`losant_usage.${view}`)} v
    where v.usage_date between ${from}::date and ${to}::date and ${isBilled}) as t`;
};

const CELL_ORDER = sql`t.org_id collate "C", t.usage_date, t.stream collate "C", t.id`;

const TABLES: Readonly<Record<CsvName, PackTable>> = {
  'totals.csv': {
    from: ({ id }) => sql`(
      select l.metric, l.unit, l.kind, m.position, count(*) as orgs, sum(l.quantity) as quantity
      from losant_usage.statement_lines l join losant_usage.metrics m on m.metric = l.metric
      where l.statement_id = ${id}::uuid group by l.metric, l.unit, l.kind, m.position) as t`,
    order: sql`t.position`,
  },
  'lines.csv': { from: ofStatement('statement_lines'), order: sql`t.org_id collate "C", t.metric collate "C"` },
  'sources.csv': {
    from: ({ id }) => sql`(
      select l.org_id, types.key as payload_type, sources.key as source, sources.value as total
      from losant_usage.statement_lines l cross join lateral jsonb_each(l.sources) as types
      cross join lateral jsonb_each_text(types.value) as sources where l.statement_id = ${id}::uuid) as t`,
    order: sql`t.org_id collate "C", t.payload_type collate "C", t.source collate "C"`,
  },
  'days.csv': { from: ofMonth('daily_usage'), order: sql`t.org_id`, hasRowPerDay: true },
  'cells.csv': { from: ofMonth('cells'), order: sql`t.stream collate "C"`, hasRowPerDay: true },
  'revisions.csv': { from: ofMonth('revisions'), order: CELL_ORDER },
  'waivers.csv': { from: ofMonth('waivers'), order: CELL_ORDER },
  'blockers.csv': { from: ofStatement('statement_blockers'), order: sql`t.position` },
};
