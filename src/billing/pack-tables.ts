/** The rows of a proof pack's files, out of the tables behind a statement. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { instantText } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { type CsvColumn, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { readInPages } from '../queries/view-rows.ts';
import { daysOfMonth } from '../usage/day.ts';
import type { CsvName, StatementDocument } from './manifest.ts';

/** A column of a file, with its value as text in SQL. */
interface PackColumn extends CsvColumn {
  readonly value: RawBuilder<unknown>;
}

/** The rows of a file of a proof pack, ordered. */
interface PackTable {
  readonly columns: readonly PackColumn[];
  /** What follows `from`; the rows are called `t`. */
  readonly from: RawBuilder<unknown>;
  readonly order: RawBuilder<unknown>;
  /** Whether it has a row for each day of an organization, and no text that needs quotes. */
  readonly isLong?: boolean;
}

const PAGE_ROWS = 2_000;
/** Organizations read at a time where the database puts the rows of a day together. */
const PAGE_ORGS = 1_000;

/** Yields a file of a statement's pack as text, in parts. Must be called inside a transaction. */
export async function* renderTable(
  trx: Kysely<Schema>,
  statement: StatementDocument,
  cursor: CsvName,
): AsyncGenerator<string> {
  const metrics = await trx.selectFrom('metrics').select('metric').orderBy('position').execute();
  const names = metrics.map(({ metric }) => metric);
  const table = TABLES[cursor](statement, names);
  const { columns, from, order } = table;
  yield renderCsvHeader(columns);
  if (table.isLong === true) {
    const query = queryDays(statement, table);
    for await (const page of readInPages(trx, query, { cursor, size: PAGE_ORGS }))
      yield page.map(({ rows }) => `${rows}\r\n`).join('');
    return;
  }
  const values = columns.map(({ name, value }) => sql`${value} as ${sql.ref(name)}`);
  const query = sql<Record<string, string | null>>`
    select ${sql.join(values)} from ${from} order by ${order}`;
  for await (const page of readInPages(trx, query, { cursor, size: PAGE_ROWS })) {
    const rows = page.map((row) => columns.map(({ name }) => row[name] ?? null));
    yield renderCsvRows(columns, rows);
  }
}

/**
 * Returns a query of the rows of an organization's day as lines of CSV. The rows of a day lie together and are
 * found by the key, whether of all organizations or of one. The database puts the rows of an organization
 * together, which takes a third of the time of doing it here.
 */
function queryDays({ month }: StatementDocument, { columns, from, order }: PackTable) {
  const days = daysOfMonth(month);
  const cells = sql.join(columns.map(({ value }) => sql`coalesce(${value}, '')`));
  return sql<{ rows: string }>`
    select d.rows from generate_series(${days.from}::timestamp, ${days.to}::timestamp, interval '1 day') as day
    cross join lateral (
      select string_agg(concat_ws(',', ${cells}), E'\\r\\n' order by ${order}) as rows
      from ${from} where t.usage_date = day::date group by t.org_id order by t.org_id collate "C"
    ) as d`;
}

const expression = (name: string, value: RawBuilder<unknown>): PackColumn => ({ name, isText: false, value });
const instant = (name: string): PackColumn => expression(name, instantText(sql`t.${sql.ref(name)}`));
const plain = (...names: readonly string[]): PackColumn[] =>
  names.map((name) => expression(name, sql`t.${sql.ref(name)}::text`));
/** Text from outside, which must form no formula. */
const texts = (...names: readonly string[]): PackColumn[] =>
  plain(...names).map((column) => ({ ...column, isText: true }));

const ofStatement = (table: string, { id }: StatementDocument) =>
  sql`(select * from ${sql.table(`losant_usage.${table}`)} where statement_id = ${id}::uuid) as t`;

/** Rows of the month and of the statement's organizations. */
function ofMonth(view: string, { id, month }: StatementDocument): RawBuilder<unknown> {
  const { from, to } = daysOfMonth(month);
  return sql`(select * from ${sql.table(`losant_usage.${view}`)} v
    where v.usage_date between ${from}::date and ${to}::date and exists (
      select from losant_usage.statement_lines l where l.statement_id = ${id}::uuid and l.org_id = v.org_id)) as t`;
}

type TableOf = (statement: StatementDocument, metrics: readonly string[]) => PackTable;

const TABLES: Readonly<Record<CsvName, TableOf>> = {
  'statement.csv': (statement) => ({
    columns: [
      ...plain('statement_id', 'instance_id'),
      expression('month', sql`to_char(t.month, 'YYYY-MM')`),
      ...plain('number', 'kind'),
      ...texts('reason'),
      ...plain('orgs'),
      instant('closed_at'),
      ...texts('closed_by'),
    ],
    from: ofStatement('statements', statement),
    order: sql`t.number`,
  }),
  'totals.csv': ({ id }) => ({
    columns: plain('metric', 'unit', 'kind', 'orgs', 'quantity'),
    from: sql`(
      select l.metric, l.unit, l.kind, m.position, count(*) as orgs, sum(l.quantity) as quantity
      from losant_usage.statement_lines l join losant_usage.metrics m on m.metric = l.metric
      where l.statement_id = ${id}::uuid group by l.metric, l.unit, l.kind, m.position) as t`,
    order: sql`t.position`,
  }),
  'lines.csv': (statement) => ({
    columns: [
      ...plain('org_id'),
      ...texts('org_name', 'referral_id', 'plan_id', 'customer_id'),
      ...plain('is_customer_changed', 'metric', 'unit', 'kind', 'quantity', 'billed_before', 'total'),
      ...plain('maximum', 'average', 'days_expected', 'days_stored', 'days_final', 'days_accepted'),
      ...plain('days_open', 'days_unavailable', 'days_in_doubt', 'days_missing', 'days_unreported'),
    ],
    from: ofStatement('statement_lines', statement),
    order: sql`t.org_id collate "C", t.metric collate "C"`,
  }),
  'sources.csv': ({ id }) => ({
    columns: [...plain('org_id'), ...texts('payload_type', 'source'), ...plain('total')],
    from: sql`(
      select l.org_id, y.key as payload_type, s.key as source, s.value as total
      from losant_usage.statement_lines l cross join lateral jsonb_each(l.sources) as y
      cross join lateral jsonb_each_text(y.value) as s where l.statement_id = ${id}::uuid) as t`,
    order: sql`t.org_id collate "C", t.payload_type collate "C", t.source collate "C"`,
  }),
  'days.csv': (statement, metrics) => ({
    columns: plain('org_id', 'usage_date', 'standing', 'is_reported', ...metrics),
    from: ofMonth('daily_usage', statement),
    order: sql`t.org_id`,
    isLong: true,
  }),
  'cells.csv': (statement) => ({
    columns: [
      ...plain('org_id', 'usage_date', 'stream', 'standing', 'is_stored', 'is_reported', 'revision'),
      instant('verified_at'),
      expression('response_sha256', sql`encode(t.response_sha256, 'hex')`),
      ...plain('reason'),
    ],
    from: ofMonth('cells', statement),
    order: sql`t.stream collate "C"`,
    isLong: true,
  }),
  'revisions.csv': (statement) => ({
    columns: [
      ...plain('org_id', 'usage_date', 'stream', 'revision', 'old', 'new', 'was_final'),
      instant('changed_at'),
      ...plain('run_id'),
    ],
    from: ofMonth('revisions', statement),
    order: sql`t.org_id collate "C", t.usage_date, t.stream collate "C", t.id`,
  }),
  'waivers.csv': (statement) => ({
    columns: [
      ...plain('org_id', 'usage_date', 'stream', 'id'),
      ...texts('reason', 'waived_by'),
      instant('waived_at'),
      instant('lifted_at'),
    ],
    from: ofMonth('waivers', statement),
    order: sql`t.org_id collate "C", t.usage_date, t.stream collate "C", t.id`,
  }),
  'blockers.csv': (statement) => ({
    columns: [
      ...plain('position', 'org_id'),
      ...texts('org_name'),
      ...plain('cause', 'days', 'first_day', 'last_day'),
      expression('streams', sql`array_to_string(t.streams, ' ')`),
      ...texts('message'),
      ...plain('what_to_do'),
    ],
    from: ofStatement('statement_blockers', statement),
    order: sql`t.position`,
  }),
};
