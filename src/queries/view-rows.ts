import { type Expression, type Kysely, type RawBuilder, sql } from 'kysely';
import { type DatabaseHandle, SCHEMA_NAME } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import type { Column, ColumnKind, TextRow } from '../files/formats.ts';
import type { DayRange } from '../usage/day.ts';

/** A view that can be written to a file. */
export interface ExportedView {
  /** The column of the day or month, by which rows are sorted first; null for a view without days. */
  readonly date: string | null;
  /** The column of the last day of a row. Without it a row covers one day, or the month in `date`. */
  readonly end?: string;
  /** The columns that identify a row together with the date; rows are sorted by them next. */
  readonly key: readonly string[];
}

/** The views, and the tables that the reader role may read. */
export const EXPORTED_VIEWS: Readonly<Record<string, ExportedView>> = {
  daily_usage: { date: 'usage_date', key: ['org_id'] },
  daily_usage_long: { date: 'usage_date', key: ['org_id', 'metric'] },
  payload_sources: { date: 'usage_date', key: ['org_id', 'payload_type', 'source'] },
  hourly_usage: { date: 'usage_date', key: ['org_id', 'hour'] },
  monthly_usage: { date: 'month', key: ['org_id'] },
  billing_period_usage: { date: 'period_start', end: 'period_end', key: ['org_id', 'metric'] },
  usage_vs_limits: { date: 'month', key: ['org_id', 'limit_name'] },
  months: { date: 'month', key: [] },
  month_blockers: { date: 'month', key: ['org_id', 'cause'] },
  statements: { date: 'month', key: ['number'] },
  statement_lines: { date: 'month', key: ['org_id', 'metric', 'statement_id'] },
  adjustments: { date: 'month', key: ['org_id', 'metric'] },
  cells: { date: 'usage_date', key: ['org_id', 'stream'] },
  coverage_gaps: { date: 'usage_date', key: ['org_id', 'stream'] },
  reconciliation: { date: 'usage_date', key: ['metric', 'compared_with'] },
  restatements: { date: 'usage_date', key: ['revision_id', 'metric', 'payload_type', 'source', 'hour'] },
  organizations: { date: null, key: ['org_id'] },
  organization_tags: { date: null, key: ['org_id', 'key', 'nth'] },
};

export interface ViewRequest {
  readonly name: string;
  readonly view: ExportedView;
  readonly columns: readonly Column[];
  /** Months and billing periods that contain one of the days are included. Null for a view without days. */
  readonly range: DayRange | null;
}

/** Rows in memory at once: a few hundred kilobytes. */
const CHUNK_ROWS = 250;

/** Sorting a large view may take minutes before the first row arrives. */
export const VIEW_STATEMENT_MS = 15 * 60_000;

/** Limits how long a reader of the stream may pause: an open transaction keeps the server from vacuuming. */
const IDLE_TRANSACTION_MS = 15 * 60_000;

const KINDS: Readonly<Record<string, ColumnKind>> = {
  bigint: 'integer',
  integer: 'integer',
  smallint: 'integer',
  numeric: 'decimal',
  'double precision': 'decimal',
  boolean: 'boolean',
  date: 'day',
  'timestamp with time zone': 'instant',
  jsonb: 'json',
  json: 'json',
};

export async function readViewColumns(db: Kysely<Schema>, name: string): Promise<Column[]> {
  const { rows } = await sql<{ name: string; type: string }>`
    select a.attname::text as name, format_type(a.atttypid, null) as type
    from pg_attribute a
    where a.attrelid = ${`${SCHEMA_NAME}.${name}`}::regclass and a.attnum > 0 and not a.attisdropped
    order by a.attnum`.execute(db);
  return rows.map(({ name: column, type }) => ({ name: column, kind: KINDS[type] ?? 'text' }));
}

export async function* streamView(
  handle: Pick<DatabaseHandle, 'db' | 'kind'>,
  request: ViewRequest,
  signal: AbortSignal,
): AsyncGenerator<readonly TextRow[]> {
  for await (const rows of streamRows(handle, selectRows(request), signal)) {
    yield rows.map((row) => request.columns.map(({ name }) => row[name] ?? null));
  }
}

/**
 * Yields the rows of a query in chunks, all as of one instant. Whoever takes no more of them ends the query. An abort
 * of `signal` cancels the statement on the server, and its reason is thrown.
 */
export async function* streamRows<T>(
  { db, kind }: Pick<DatabaseHandle, 'db' | 'kind'>,
  query: Expression<T>,
  signal: AbortSignal,
): AsyncGenerator<readonly T[]> {
  const transaction = db.startTransaction().setIsolationLevel('repeatable read').setAccessMode('read only');
  const trx = await transaction.execute();
  let pid: number | undefined;
  let cancellation: Promise<unknown> = Promise.resolve();
  const cancel = () => {
    // Kysely would cancel on the connection that is busy. The embedded database has no other connection to cancel from.
    if (kind === 'postgres') cancellation = sql`select pg_cancel_backend(${pid}::integer)`.execute(db);
  };
  try {
    // true: for this transaction only.
    const { rows: session } = await sql<{ pid: number }>`
      select pg_backend_pid() as pid, set_config('statement_timeout', ${`${VIEW_STATEMENT_MS}`}, true),
        set_config('idle_in_transaction_session_timeout', ${`${IDLE_TRANSACTION_MS}`}, true)`.execute(trx);
    pid = session[0]?.pid;
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    for await (const rows of readInChunks(trx, query)) {
      yield rows;
      signal.throwIfAborted();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
    await cancellation;
    // Nothing was written, so nothing is lost if this fails.
    await trx
      .rollback()
      .execute()
      .catch(() => undefined);
  }
}

function selectRows(request: ViewRequest): RawBuilder<Readonly<Record<string, string | null>>> {
  const { name, view, columns, range } = request;
  const dateConditions = range === null || view.date === null ? [] : toDateConditions(view, view.date, range);
  const order = [...(view.date === null ? [] : [view.date]), ...view.key].map((key) => {
    // Text is sorted the same on every server, whatever the collation of the database.
    const isText = columns.some((column) => column.name === key && column.kind === 'text');
    return isText ? sql`v.${sql.ref(key)}::text collate "C"` : sql`v.${sql.ref(key)}`;
  });
  return sql<Readonly<Record<string, string | null>>>`
    select ${sql.join(columns.map(toText))}
    from ${sql.table(`${SCHEMA_NAME}.${name}`)} v
    where ${sql.join([sql`true`, ...dateConditions], sql` and `)}
    order by ${sql.join(order)}`;
}

function toDateConditions({ end }: ExportedView, column: string, { from, to }: DayRange): RawBuilder<unknown>[] {
  const date = sql`v.${sql.ref(column)}`;
  if (end !== undefined) return [sql`${date} <= ${to}::date`, sql`v.${sql.ref(end)} >= ${from}::date`];
  const first = column === 'month' ? sql`date_trunc('month', ${from}::date)::date` : sql`${from}::date`;
  return [sql`${date} <= ${to}::date`, sql`${date} >= ${first}`];
}

function toText({ name, kind }: Column): RawBuilder<unknown> {
  const value = sql`v.${sql.ref(name)}`;
  const instant = sql`to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
  const text = kind === 'instant' ? instant : sql`${value}::text`;
  return sql`${text} as ${sql.ref(name)}`;
}

/** Yields the rows of a query in chunks. */
async function* readInChunks<T>(trx: Kysely<Schema>, query: Expression<T>): AsyncGenerator<readonly T[]> {
  // All rows are read, so the planner must not optimize for the first few.
  await sql`select set_config('cursor_tuple_fraction', '1', true)`.execute(trx);
  await sql`declare view_rows no scroll cursor for ${query}`.execute(trx);
  let hasMore = true;
  while (hasMore) {
    const { rows } = await sql<T>`fetch ${sql.lit(CHUNK_ROWS)} from view_rows`.execute(trx);
    if (rows.length > 0) yield rows;
    hasMore = rows.length === CHUNK_ROWS;
  }
}
