/** Locks, reads and updates rows of `coverage` and the numbers of their days, always in key order. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { CLOCK, recordsOf } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { type CellKey, cellId, compareText, type StoredCell } from '../usage/cell.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import type { Numbers } from '../usage/numbers.ts';
import { getStream } from '../usage/streams/catalog.ts';

type OrgDay = Pick<CellKey, 'day' | 'orgId'>;
type DayRow = Readonly<Record<string, unknown>> & { readonly usage_date: UsageDay; readonly org_id: string };

/** Returns the keys of cells as a table of a statement. */
export function keysOf(keys: readonly CellKey[]): RawBuilder<unknown> {
  const rows = keys.map(({ day, orgId, stream }) => ({ usage_date: day, org_id: orgId, stream }));
  return recordsOf('coverage', rows);
}

/** The condition that a cell `c` is settled; see `isSettled`. */
export const IS_SETTLED = sql<boolean>`c.standing in ('final', 'waived')`;

/** Returns the condition that a cell `c` belongs to one of the organizations and to a day of the range. */
export function isCellOfOrgs(orgIds: readonly string[], { from, to }: DayRange): RawBuilder<boolean> {
  return sql<boolean>`(c.org_id = any (${orgIds}::text[]) and c.usage_date between ${from}::date and ${to}::date)`;
}

/** Returns an expression for the most cells that an organization `o` can have in a range. */
export function countCellsOfOrg({ from, to }: DayRange, streams: readonly string[]): RawBuilder<number> {
  return sql<number>`${streams.length}::integer * (${to}::date + 1 - greatest(o.created_on, ${from}::date))`;
}

/** What to set in cells `c`, and for which of them: the condition may also name their organizations `o`. */
interface CellChange {
  readonly set: RawBuilder<unknown>;
  readonly where: RawBuilder<unknown>;
  /** The most cells to change, the first by key; all by default. */
  readonly limit?: number;
}

/** Updates the cells that match, which it locks in key order, and returns their number. */
export async function setCells(trx: Kysely<Schema>, { set, where, limit }: CellChange): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    update losant_usage.coverage c set ${set}
    from (
      select c.usage_date, c.org_id, c.stream
      from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
      where ${where} order by c.usage_date, c.org_id, c.stream limit ${limit ?? null}::integer for update of c
    ) as k
    where c.usage_date = k.usage_date and c.org_id = k.org_id and c.stream = k.stream`.execute(trx);
  return Number(numAffectedRows);
}

/**
 * Returns a statement that lifts the waivers of a table of cells, also if the database's clock was set back since.
 * `runId` is null if another waiver ends them.
 */
export function liftWaivers(cells: RawBuilder<unknown>, runId: string | null): RawBuilder<unknown> {
  return sql`
    update losant_usage.waivers w set lifted_at = greatest(${CLOCK}, w.waived_at), lifted_by_run = ${runId}::uuid
    from ${cells} as k
    where w.usage_date = k.usage_date and w.org_id = k.org_id and w.stream = k.stream and w.lifted_at is null`;
}

const msOf = (column: string) => sql`(extract(epoch from ${sql.ref(column)}) * 1000)::bigint`;

/** The columns of `coverage` as those of a {@link StoredCell}; {@link columnsOf} is the inverse. */
const CELL = sql`usage_date as day, org_id as "orgId", stream, standing, is_stored as "isStored",
  is_reported as "isReported", revision, ${msOf('last_read_at')} as "lastReadAtMs",
  ${msOf('last_attempt_at')} as "lastAttemptAtMs", failed_reads as "failedReads",
  ${msOf('next_read_at')} as "nextReadAtMs",
  finalized_at is not null as "wasFinal", reason, detail, encode(response_sha256, 'hex') as sha256`;

/** Locks the cells of these days and streams, and their numbers, in key order. Returns them by {@link cellId}. */
export async function lockCells(
  trx: Kysely<Schema>,
  days: readonly OrgDay[],
  streams: readonly string[],
): Promise<ReadonlyMap<string, StoredCell>> {
  const keys = [...new Map(days.map((each) => [dayId(each), each])).entries()]
    .sort(([a], [b]) => compareText(a, b))
    .map(([, day]) => day);
  const [orgIds, usageDays] = [keys.map(({ orgId }) => orgId), keys.map(({ day }) => day)];
  const keyRows = sql`unnest(${usageDays}::date[], ${orgIds}::text[]) as k (usage_date, org_id)`;
  // Looked up by the index one by one: a join would be planned by statistics, which a freshly filled table lacks.
  const { rows: cells } = await sql<Omit<StoredCell, 'numbers'>>`
    select c.* from ${keyRows} cross join lateral (
      select ${CELL} from losant_usage.coverage c
      where c.usage_date = k.usage_date and c.org_id = k.org_id and c.stream = any (${streams}::text[])
      order by c.stream for update
    ) as c`.execute(trx);
  const { rows: numbers } = await sql<DayRow>`
    select d.* from ${keyRows} cross join lateral (
      select * from losant_usage.usage_days d
      where d.usage_date = k.usage_date and d.org_id = k.org_id for update
    ) as d`.execute(trx);
  const byDay = new Map(numbers.map((row) => [dayId({ day: row.usage_date, orgId: row.org_id }), row]));
  return new Map(
    cells.map((cell) => [cellId(cell), { ...cell, numbers: toNumbers(byDay.get(dayId(cell)), cell.stream) }]),
  );
}

function dayId({ day, orgId }: OrgDay): string {
  return `${day} ${orgId}`;
}

function toNumbers(row: DayRow | undefined, stream: string): Numbers | null {
  const { columns } = getStream(stream);
  if (row === undefined || columns.some((column) => row[column] === null)) return null;
  return Object.fromEntries(columns.map((column) => [column, row[column]])) as Numbers;
}

/** Updates the rows of locked cells. */
export async function writeCells(trx: Kysely<Schema>, cells: readonly StoredCell[], runId: string): Promise<void> {
  const [first] = cells;
  if (first === undefined) return;
  const columns = Object.keys(columnsOf(first)).map((column) => sql.ref(column));
  const sets = columns.map((column) => sql`${column} = n.${column}`);
  // Taken after the lock: a close that this transaction waited for must count as earlier. Evaluated once, because
  // equal times take a quarter of the space in the index of late loads.
  await sql`
    update losant_usage.coverage c set ${sql.join(sets)}, run_id = ${runId},
      first_loaded_at = coalesce(c.first_loaded_at, case when n.is_stored then (select clock_timestamp()) end),
      finalized_at = coalesce(c.finalized_at, case when n.finalized_at is not null then (select clock_timestamp()) end)
    from ${recordsOf('coverage', cells.map(toRow))} as n
    where c.usage_date = n.usage_date and c.org_id = n.org_id and c.stream = n.stream`.execute(trx);
}

function toRow(cell: StoredCell) {
  const { day, orgId, stream, wasFinal, lastAttemptAtMs } = cell;
  const finalized_at = wasFinal ? instantOf(lastAttemptAtMs) : null;
  return { usage_date: day, org_id: orgId, stream, finalized_at, ...columnsOf(cell) };
}

/** Returns the columns that hold a cell unchanged; `finalized_at` is the exception. */
function columnsOf(cell: StoredCell) {
  return {
    standing: cell.standing,
    is_stored: cell.isStored,
    is_reported: cell.isReported,
    revision: cell.revision,
    failed_reads: cell.failedReads,
    last_read_at: instantOf(cell.lastReadAtMs),
    next_read_at: instantOf(cell.nextReadAtMs),
    last_attempt_at: instantOf(cell.lastAttemptAtMs),
    reason: cell.reason,
    detail: cell.detail,
    response_sha256: cell.sha256 === null ? null : `\\x${cell.sha256}`,
  };
}

/** Writes the numbers of cells, one update per day. */
export async function writeNumbers(trx: Kysely<Schema>, cells: readonly StoredCell[]): Promise<void> {
  if (cells.length === 0) return;
  const days = new Map<string, object>();
  for (const { day, orgId, numbers } of cells) {
    const id = dayId({ day, orgId });
    days.set(id, { usage_date: day, org_id: orgId, ...days.get(id), ...numbers });
  }
  const names = new Set(cells.flatMap(({ stream }) => getStream(stream).columns));
  const columns = [...names].sort(compareText).map((name) => sql.ref(name));
  const sets = columns.map((column) => sql`${column} = coalesce(n.${column}, d.${column})`);
  await sql`
    update losant_usage.usage_days as d set ${sql.join(sets)}
    from ${recordsOf('usage_days', [...days.values()])} as n
    where d.usage_date = n.usage_date and d.org_id = n.org_id`.execute(trx);
}

function instantOf(ms: number | null): Instant | null {
  return ms === null ? null : new Date(ms).toISOString();
}
