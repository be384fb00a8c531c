import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { type CellKey, type CellState, cellId } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';
import type { StoredCell } from '../usage/settlement.ts';

/** A row of coverage as it was before the transaction. */
export interface LockedCell extends StoredCell {
  /** The run that wrote it last. */
  readonly runId: string | null;
}

/** The rows that exist of these cells, locked in the order of `keys`: sorted by {@link cellId}, as every writer does. */
export async function lockCells(
  trx: Kysely<Schema>,
  keys: readonly CellKey[],
): Promise<Map<string, LockedCell>> {
  const [days, streams, orgIds] = columnsOf(keys);
  // Row by row through the index: a join would be planned by statistics, which a table just filled does not have.
  const { rows } = await sql<LockedRow>`
    select c.* from unnest(${days}::date[], ${streams}::text[], ${orgIds}::text[]) as k (usage_date, stream, org_id)
    cross join lateral (
      select c.usage_date, c.stream, c.org_id, c.state, c.reported, c.revision, c.verified_at, c.attempted_at,
        c.attempts, c.next_read_at, c.error_code, c.error_message, encode(c.response_sha256, 'hex') as sha256, c.run_id
      from losant_usage.coverage c
      where c.usage_date = k.usage_date and c.stream = k.stream and c.org_id = k.org_id
      for update of c
    ) as c`.execute(trx);
  return new Map(
    rows.map((row) => [
      cellId({ orgId: row.org_id, stream: row.stream, day: row.usage_date }),
      toLockedCell(row),
    ]),
  );
}

export type WrittenCell = CellKey & { readonly cell: StoredCell };

/** Adds cells that have no row yet. Returns how many it added: for the others another transaction was first. */
export async function insertCells(
  trx: Kysely<Schema>,
  cells: readonly WrittenCell[],
  runId: string | null,
): Promise<number> {
  if (cells.length === 0) return 0;
  const { numAffectedRows } = await sql`
    insert into losant_usage.coverage (usage_date, stream, org_id, state, reported, revision, verified_at,
      attempted_at, attempts, next_read_at, error_code, error_message, response_sha256, run_id,
      first_loaded_at, finalized_at)
    select u.usage_date, u.stream, u.org_id, u.state, u.reported, u.revision, u.verified_at, u.attempted_at, u.attempts,
      u.next_read_at, u.error_code, u.error_message, decode(u.sha256, 'hex'), ${runId}::uuid,
      case when u.state in ('loaded', 'final') then now() end, case when u.state = 'final' then now() end
    from ${arraysOf(cells)}
    order by u.usage_date, u.stream, u.org_id
    on conflict do nothing`.execute(trx);
  return Number(numAffectedRows);
}

/** Changes rows that {@link lockCells} locked. */
export async function updateCells(
  trx: Kysely<Schema>,
  cells: readonly WrittenCell[],
  runId: string | null,
): Promise<void> {
  if (cells.length === 0) return;
  await sql`
    update losant_usage.coverage c set
      state = u.state, reported = u.reported, revision = u.revision,
      verified_at = u.verified_at, attempted_at = u.attempted_at, attempts = u.attempts,
      next_read_at = u.next_read_at, error_code = u.error_code, error_message = u.error_message,
      response_sha256 = decode(u.sha256, 'hex'), run_id = ${runId}::uuid,
      first_loaded_at = coalesce(c.first_loaded_at, case when u.state in ('loaded', 'final') then now() end),
      finalized_at = coalesce(c.finalized_at, case when u.state = 'final' then now() end)
    from ${arraysOf(cells)}
    where c.usage_date = u.usage_date and c.stream = u.stream and c.org_id = u.org_id`.execute(trx);
}

function arraysOf(cells: readonly WrittenCell[]) {
  const [days, streams, orgIds] = columnsOf(cells);
  const of = <T>(pick: (cell: StoredCell) => T) => cells.map(({ cell }) => pick(cell));
  return sql`unnest(
    ${days}::date[], ${streams}::text[], ${orgIds}::text[],
    ${of((cell) => cell.state)}::text[], ${of((cell) => cell.reported)}::boolean[],
    ${of((cell) => cell.revision)}::integer[], ${of((cell) => instant(cell.verifiedAtMs))}::timestamptz[],
    ${of((cell) => instant(cell.attemptedAtMs))}::timestamptz[], ${of((cell) => cell.attempts)}::integer[],
    ${of((cell) => instant(cell.nextReadAtMs))}::timestamptz[],
    ${of((cell) => cell.error?.code ?? null)}::text[], ${of((cell) => cell.error?.message ?? null)}::text[],
    ${of((cell) => cell.sha256)}::text[]
  ) as u (usage_date, stream, org_id, state, reported, revision, verified_at, attempted_at, attempts,
          next_read_at, error_code, error_message, sha256)`;
}

interface LockedRow {
  usage_date: UsageDay;
  stream: string;
  org_id: string;
  state: CellState;
  reported: boolean;
  revision: number;
  verified_at: Instant | null;
  attempted_at: Instant | null;
  attempts: number;
  next_read_at: Instant | null;
  error_code: string | null;
  error_message: string | null;
  sha256: string | null;
  run_id: string | null;
}

function toLockedCell(row: LockedRow): LockedCell {
  return {
    state: row.state,
    reported: row.reported,
    revision: row.revision,
    verifiedAtMs: epochMs(row.verified_at),
    attemptedAtMs: epochMs(row.attempted_at),
    attempts: row.attempts,
    nextReadAtMs: epochMs(row.next_read_at),
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
    sha256: row.sha256,
    runId: row.run_id,
  };
}

export function columnsOf(keys: readonly CellKey[]): [UsageDay[], string[], string[]] {
  return [keys.map(({ day }) => day), keys.map(({ stream }) => stream), keys.map(({ orgId }) => orgId)];
}

function epochMs(value: Instant | null): number | null {
  return value === null ? null : Date.parse(value);
}

function instant(ms: number | null): Instant | null {
  return ms === null ? null : new Date(ms).toISOString();
}
