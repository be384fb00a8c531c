/** Rows of `coverage` and the numbers of their days: locked, read and updated, always in key order. */
import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { unnested } from '../database/expressions.ts';
import type { Coverage, Instant, Schema, UsageDays } from '../database/schema.ts';
import { DatabaseError } from '../errors.ts';
import { type Cell, type CellKey, cellId, compareText } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import type { Numbers } from '../usage/numbers.ts';
import { streamNamed } from '../usage/streams/catalog.ts';

/** An organization's day. */
export interface OrgDay {
  readonly day: UsageDay;
  readonly orgId: string;
}

/** The locked rows of cells by {@link cellId}, and their stored numbers; null where none are. */
export interface LockedCells {
  readonly rows: ReadonlyMap<string, Cell>;
  readonly numbersOf: (key: CellKey) => Numbers | null;
}

/** A cell with its new row, and its new numbers; null if they stay. */
export interface ChangedCell extends CellKey {
  readonly cell: Cell;
  readonly numbers: Numbers | null;
}

const KEY_TYPES = { usage_date: 'date', org_id: 'text', stream: 'text' } as const;
const DAY_TYPES = { usage_date: 'date', org_id: 'text' } as const;

/** Returns cells as a table `k` of a statement. */
export function keysOf(keys: readonly CellKey[]) {
  const rows = keys.map(({ day, orgId, stream }) => ({ usage_date: day, org_id: orgId, stream }));
  return unnested('k', rows, KEY_TYPES);
}

/**
 * Sets columns of the cells `c` that match, which it locks in key order; the condition may name their organizations
 * `o`. Returns the number of cells.
 */
export async function setCells(
  trx: Kysely<Schema>,
  { set, where }: { readonly set: RawBuilder<unknown>; readonly where: RawBuilder<unknown> },
): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    update losant_usage.coverage c set ${set}
    from (
      select c.usage_date, c.org_id, c.stream
      from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
      where ${where} order by c.usage_date, c.org_id, c.stream for update of c
    ) as k
    where c.usage_date = k.usage_date and c.org_id = k.org_id and c.stream = k.stream`.execute(trx);
  return Number(numAffectedRows);
}

/** Locks the cells of these days and streams, and their numbers, in key order. */
export async function lockCells(
  trx: Kysely<Schema>,
  days: readonly OrgDay[],
  streams: readonly string[],
): Promise<LockedCells> {
  const keys = [...new Map(days.map((each) => [dayId(each), each])).entries()]
    .sort(([a], [b]) => compareText(a, b))
    .map(([, { day, orgId }]) => ({ usage_date: day, org_id: orgId }));
  // Rows are looked up one by one through the index: a join would be planned by statistics, which a table just filled
  // does not have.
  const cells = await trx
    .selectFrom(unnested('k', keys, DAY_TYPES))
    .innerJoinLateral(
      (eb) =>
        eb
          .selectFrom('coverage as row')
          .selectAll()
          .whereRef('row.usage_date', '=', 'k.usage_date')
          .whereRef('row.org_id', '=', 'k.org_id')
          .where(sql<boolean>`row.stream = any (${streams}::text[])`)
          .orderBy('row.stream')
          .forUpdate()
          .as('c'),
      (join) => join.onTrue(),
    )
    .selectAll('c')
    .execute();
  const columns = streams.flatMap((stream) => streamNamed(stream).columns) as (keyof UsageDays)[];
  const numbers = await trx
    .selectFrom(unnested('k', keys, DAY_TYPES))
    .innerJoinLateral(
      (eb) =>
        eb
          .selectFrom('usage_days as row')
          .select(['row.usage_date', 'row.org_id', ...columns.map((column) => `row.${column}` as const)])
          .whereRef('row.usage_date', '=', 'k.usage_date')
          .whereRef('row.org_id', '=', 'k.org_id')
          .forUpdate()
          .as('d'),
      (join) => join.onTrue(),
    )
    .selectAll('d')
    .execute();
  const rows = new Map(cells.map((row) => [cellId(toKey(row)), toCell(row)]));
  const byDay = new Map(
    numbers.map((row) => [
      dayId({ day: row.usage_date, orgId: row.org_id }),
      row as Readonly<Record<string, unknown>>,
    ]),
  );
  return { rows, numbersOf: (key) => toNumbers(byDay.get(dayId(key)), streamNamed(key.stream).columns) };
}

function dayId({ day, orgId }: OrgDay): string {
  return `${day} ${orgId}`;
}

function toKey(row: Pick<Selectable<Coverage>, 'usage_date' | 'org_id' | 'stream'>): CellKey {
  return { day: row.usage_date, orgId: row.org_id, stream: row.stream };
}

function toNumbers(
  row: Readonly<Record<string, unknown>> | undefined,
  columns: readonly string[],
): Numbers | null {
  if (row === undefined || columns.some((column) => row[column] === null)) return null;
  return Object.fromEntries(columns.map((column) => [column, row[column]])) as Numbers;
}

/** The Postgres types of the columns that a cell is written to as they are. */
const TYPES = {
  standing: 'losant_usage.standing',
  is_stored: 'boolean',
  is_reported: 'boolean',
  silences: 'smallint',
  revision: 'integer',
  attempts: 'integer',
  verified_at: 'timestamptz',
  next_read_at: 'timestamptz',
  attempted_at: 'timestamptz',
  reason: 'text',
  message: 'text',
} as const;
const CHANGED = Object.keys(TYPES) as (keyof typeof TYPES)[];

/**
 * Writes the new rows of locked cells and their new numbers. What the database took is compared with what was sent:
 * throws DatabaseError if it swallowed or changed a write.
 */
export async function writeCells(
  trx: Kysely<Schema>,
  cells: readonly ChangedCell[],
  runId: string,
): Promise<void> {
  if (cells.length === 0) return;
  const rows = cells.map(toRow);
  const isAsSent = sql.join(
    CHANGED.map((column) => sql`c.${sql.ref(column)} is not distinct from n.${sql.ref(column)}`),
    sql` and `,
  );
  const written = await trx
    .updateTable('coverage as c')
    .from(unnested('n', rows, { ...KEY_TYPES, ...TYPES, sha256: 'text', was_final: 'boolean' }))
    .set((eb) => ({
      ...Object.fromEntries(CHANGED.map((column) => [column, eb.ref(`n.${column}`)])),
      response_sha256: sql<Buffer | null>`decode(n.sha256, 'hex')`,
      run_id: runId,
      // The time is taken under the lock: a closing that this transaction waited for did not know the row.
      first_loaded_at: sql<Instant | null>`
        coalesce(c.first_loaded_at, case when n.is_stored then clock_timestamp() end)`,
      finalized_at: sql<Instant | null>`coalesce(c.finalized_at, case when n.was_final then clock_timestamp() end)`,
    }))
    .whereRef('c.usage_date', '=', 'n.usage_date')
    .whereRef('c.org_id', '=', 'n.org_id')
    .whereRef('c.stream', '=', 'n.stream')
    .returning(sql<boolean>`${isAsSent}`.as('isAsSent'))
    .execute();
  requireAll('coverage', cells.length, written.filter((row) => row.isAsSent).length);
  await writeNumbers(
    trx,
    cells.filter((cell): cell is StoredCell => cell.numbers !== null),
  );
}

type StoredCell = ChangedCell & { readonly numbers: Numbers };

function toRow({ day, orgId, stream, cell }: ChangedCell) {
  return {
    usage_date: day,
    org_id: orgId,
    stream,
    standing: cell.standing,
    is_stored: cell.isStored,
    is_reported: cell.isReported,
    silences: cell.silences,
    revision: cell.revision,
    attempts: cell.attempts,
    verified_at: instantOf(cell.verifiedAtMs),
    next_read_at: instantOf(cell.nextReadAtMs),
    attempted_at: instantOf(cell.attemptedAtMs),
    reason: cell.reason,
    message: cell.message,
    sha256: cell.sha256,
    was_final: cell.wasFinal,
  };
}

/** Updates each day once, with the numbers of all its changed cells; a column without a new number stays as it is. */
async function writeNumbers(trx: Kysely<Schema>, cells: readonly StoredCell[]): Promise<void> {
  if (cells.length === 0) return;
  const streams = [...new Set(cells.map(({ stream }) => stream))].sort(compareText);
  const columns = streams.flatMap((stream) => streamNamed(stream).columns);
  const days = new Map<string, Record<string, unknown>>();
  for (const { day, orgId, numbers } of cells) {
    const row = days.get(dayId({ day, orgId })) ?? { usage_date: day, org_id: orgId };
    for (const [column, value] of Object.entries(numbers)) row[column] = asSent(value);
    days.set(dayId({ day, orgId }), row);
  }
  const rows = [...days.values()].map((row) => {
    return { ...Object.fromEntries(columns.map((column) => [column, row[column] ?? null])), ...row };
  });
  // Lists and maps are sent as text: unnest would take lists apart.
  const types = Object.fromEntries(
    columns.map((column) => [column, typeOf(column) === 'bigint' ? 'bigint' : 'text']),
  );
  const valueOf = (column: string) => sql`n.${sql.raw(column)}::${sql.raw(typeOf(column))}`;
  const sets = columns.map(
    (column) => sql`${sql.raw(column)} = coalesce(${valueOf(column)}, d.${sql.raw(column)})`,
  );
  const isAsSent = sql.join(
    columns.map(
      (column) => sql`(n.${sql.raw(column)} is null or d.${sql.raw(column)} = ${valueOf(column)}) is true`,
    ),
    sql` and `,
  );
  const { rows: written } = await sql<{ isAsSent: boolean }>`
    update losant_usage.usage_days as d set ${sql.join(sets)}
    from ${unnested('n', rows as Record<string, unknown>[], { ...DAY_TYPES, ...types })}
    where d.usage_date = n.usage_date and d.org_id = n.org_id
    returning ${isAsSent} as "isAsSent"`.execute(trx);
  requireAll('usage_days', rows.length, written.filter((row) => row.isAsSent).length);
}

function typeOf(column: string): string {
  if (column === 'payload_sources') return 'jsonb';
  return column.startsWith('hours_') ? 'bigint[]' : 'bigint';
}

function asSent(value: Numbers[string]): number | string {
  if (typeof value === 'number') return value;
  return Array.isArray(value) ? `{${value.join(',')}}` : JSON.stringify(value);
}

/** Throws DatabaseError if fewer rows were written as they were sent. */
export function requireAll(table: string, sent: number, written: number): void {
  if (written === sent) return;
  throw new DatabaseError(
    'database_mismatch',
    `The database took ${written} of ${sent} rows of losant_usage.${table} as they were sent`,
    {
      hint: 'a trigger, rule or policy of somebody else changes or swallows writes: \\d losant_usage.* shows it',
    },
  );
}

function toCell(row: Selectable<Coverage>): Cell {
  return {
    standing: row.standing,
    isStored: row.is_stored,
    isReported: row.is_reported,
    silences: row.silences,
    revision: row.revision,
    verifiedAtMs: msOf(row.verified_at),
    attemptedAtMs: msOf(row.attempted_at),
    attempts: row.attempts,
    nextReadAtMs: msOf(row.next_read_at),
    wasFinal: row.finalized_at !== null,
    reason: row.reason,
    message: row.message,
    sha256: row.response_sha256?.toString('hex') ?? null,
  };
}

function msOf(value: Instant | null): number | null {
  return value === null ? null : Date.parse(value);
}

function instantOf(ms: number | null): Instant | null {
  return ms === null ? null : new Date(ms).toISOString();
}
