import { type Kysely, type RawBuilder, sql } from 'kysely';
import { instantText } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { readInPages } from '../queries/cursor.ts';

/** A file of a proof pack: the rows that stand behind a statement, every value as text. */
export interface PackTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** Pages of rows, by key. Only inside the transaction that closes the period. */
  readonly readRows: (trx: Kysely<Schema>) => AsyncGenerator<readonly (readonly (string | null)[])[]>;
}

/** Some megabytes of rows at a time. */
const PAGE_ROWS = 5_000;

/** The periods of the statement, for the other files. */
const periodsOf = (statementId: string) => sql`(
  select distinct org_id, period_start, period_end
  from losant_usage.statement_lines where statement_id = ${statementId}::uuid)`;

/** The first and last day of all of them, so that only these days are read. */
const daysOf = (statementId: string) => sql`
  (select min(period_start) from losant_usage.statement_lines where statement_id = ${statementId}::uuid)
  and (select max(period_end) from losant_usage.statement_lines where statement_id = ${statementId}::uuid)`;

/** The files of a statement's pack, in the order in which they are made. */
export async function readPackTables(trx: Kysely<Schema>, statementId: string): Promise<PackTable[]> {
  const { rows } = await sql<{ metric: string }>`
    select metric from losant_usage.metrics order by position`.execute(trx);
  const metrics = rows.map(({ metric }) => metric);
  return [
    linesTable(statementId),
    daysTable(statementId, metrics),
    coverageTable(statementId),
    waiversTable(statementId),
  ];
}

/** The lines of a statement, also once it is closed. */
export function linesTable(statementId: string): PackTable {
  const columns = [
    ...['org_id', 'org_name', 'referral_id', 'plan_id', 'customer_id', 'period_start', 'period_end'],
    ...['metric', 'unit', 'kind', 'quantity', 'total', 'total_max', 'total_avg', 'days_in_period'],
    ...['days_expected', 'days_held', 'days_final', 'days_waived', 'days_unavailable', 'days_unreported'],
    ...['is_billable', 'revision_watermark'],
  ];
  return packTable(
    'lines.csv',
    columns,
    sql`
    select ${texts(columns)} from losant_usage.statement_lines r
    where r.statement_id = ${statementId}::uuid order by r.org_id, r.period_start, r.metric`,
  );
}

function daysTable(statementId: string, metrics: readonly string[]): PackTable {
  const columns = [
    ...['org_id', 'period_start', 'usage_date', 'streams_expected', 'streams_held', 'reported', 'is_final'],
    ...metrics,
  ];
  return packTable(
    'days.csv',
    columns,
    sql`
    select ${texts(columns)} from (
      select p.period_start, d.* from ${periodsOf(statementId)} as p
      join losant_usage.daily_usage d on d.org_id = p.org_id and d.usage_date between p.period_start and p.period_end
      where d.usage_date between ${daysOf(statementId)}
    ) as r order by r.org_id, r.usage_date`,
  );
}

function coverageTable(statementId: string): PackTable {
  const columns = [
    ...['org_id', 'usage_date', 'stream', 'state', 'reported', 'revision', 'verified_at', 'response_sha256'],
    ...['run_id', 'error_code', 'error_message'],
  ];
  const table = packTable(
    'coverage.csv',
    columns,
    sql`
    select ${texts(columns)} from (
      select c.org_id, c.usage_date, c.stream, c.state, c.reported, c.revision,
        ${instantText(sql.ref('c.verified_at'))} as verified_at, encode(c.response_sha256, 'hex') as response_sha256,
        c.run_id, c.error_code, c.error_message
      from ${periodsOf(statementId)} as p
      join losant_usage.coverage c on c.org_id = p.org_id and c.usage_date between p.period_start and p.period_end
      join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream and c.usage_date <@ t.days
      where c.usage_date between ${daysOf(statementId)}
      union all
      select u.org_id, u.usage_date, u.stream, 'never_read', null, null, null, null, null, null, null
      from ${periodsOf(statementId)} as p
      join losant_usage.unread_cells u on u.org_id = p.org_id and u.usage_date between p.period_start and p.period_end
    ) as r order by r.org_id, r.usage_date, r.stream`,
  );
  return { ...table, readRows: (trx) => withoutLoops(trx, table) };
}

/**
 * The lines were written a moment ago, so no statistics know of them: a plan that expects a few organizations
 * would read the month of the ledger anew for each.
 */
async function* withoutLoops(trx: Kysely<Schema>, table: PackTable): ReturnType<PackTable['readRows']> {
  await sql`set local enable_nestloop = off`.execute(trx);
  yield* table.readRows(trx);
  await sql`set local enable_nestloop = on`.execute(trx);
}

function waiversTable(statementId: string): PackTable {
  const columns = ['org_id', 'usage_date', 'stream', 'reason', 'waived_by', 'waived_at', 'lifted_at'];
  return packTable(
    'waivers.csv',
    columns,
    sql`
    select ${texts(columns)} from (
      select w.id, w.org_id, w.usage_date, w.stream, w.reason, w.waived_by,
        ${instantText(sql.ref('w.waived_at'))} as waived_at, ${instantText(sql.ref('w.lifted_at'))} as lifted_at
      from ${periodsOf(statementId)} as p
      join losant_usage.waivers w on w.org_id = p.org_id and w.usage_date between p.period_start and p.period_end
    ) as r order by r.org_id, r.usage_date, r.stream, r.id`,
  );
}

function packTable(name: string, columns: readonly string[], query: RawBuilder<unknown>): PackTable {
  const asArrays = sql<{ cells: (string | null)[] }>`select array[${sql.join(
    columns.map((column) => sql.ref(`t.${column}`)),
  )}] as cells from (${query}) as t`;
  return {
    name,
    columns,
    readRows: async function* readRows(trx) {
      for await (const rows of readInPages(trx, asArrays, { cursor: name, size: PAGE_ROWS }))
        yield rows.map(({ cells }) => cells);
    },
  };
}

/** Columns of r, each as its text, which is the same in every session. */
function texts(columns: readonly string[]): RawBuilder<unknown> {
  return sql.join(columns.map((column) => sql`${sql.ref(`r.${column}`)}::text as ${sql.ref(column)}`));
}

/** A part of a kept file. */
export interface FilePart {
  readonly name: string;
  readonly gzip: Buffer;
}

/** The files of a statement as they were made, part by part, file by file. */
export async function* readFileParts(db: Kysely<Schema>, statementId: string): AsyncGenerator<FilePart> {
  const { rows } = await sql<{ name: string; part: number }>`
    select name, part from losant_usage.statement_files
    where statement_id = ${statementId}::uuid order by name, part`.execute(db);
  for (const { name, part } of rows) {
    const { rows: found } = await sql<{ gzip: Buffer }>`
      select content_gzip as gzip from losant_usage.statement_files
      where statement_id = ${statementId}::uuid and name = ${name} and part = ${part}`.execute(db);
    yield { name, gzip: (found[0] as { gzip: Buffer }).gzip };
  }
}

/** The numbers of a day that were known at a moment, in the order of the metrics that were asked for. */
export interface KnownDay {
  /** `org_id usage_date`, ascending. */
  readonly key: string;
  readonly numbers: readonly (string | null)[];
}

/** What `usage_as_of` says was known when a statement was closed, for the days of its periods, by key. */
export async function* readKnownAt(
  trx: Kysely<Schema>,
  { statementId, metrics }: { statementId: string; metrics: readonly string[] },
): AsyncGenerator<KnownDay> {
  const { rows } = await sql<{ at: string; from: string; to: string }>`
    select closed_at::text as at,
      (select min(period_start) from losant_usage.statement_lines l where l.statement_id = s.statement_id) as "from",
      (select max(period_end) from losant_usage.statement_lines l where l.statement_id = s.statement_id) as "to"
    from losant_usage.statements s where s.statement_id = ${statementId}::uuid`.execute(trx);
  const [moment] = rows;
  if (moment === undefined) return;
  const query = sql<KnownDay>`
    select u.org_id || ' ' || u.usage_date as key,
      array[${sql.join(metrics.map((metric) => sql`${sql.ref(`u.${metric}`)}::text`))}] as numbers
    from losant_usage.usage_as_of(${moment.at}::timestamptz) u
    where u.usage_date between ${moment.from}::date and ${moment.to}::date
    order by u.org_id collate "C", u.usage_date`;
  for await (const page of readInPages(trx, query, { cursor: 'known', size: PAGE_ROWS })) yield* page;
}
