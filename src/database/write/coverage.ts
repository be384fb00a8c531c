import { type Kysely, sql } from 'kysely';
import { addDays, type DayRange, type UsageDay } from '../../usage/day.ts';
import type { CellState, Instant, Schema } from '../schema.ts';
import type { StoredCell } from '../../usage/settle.ts';

/** A cell of the ledger: organization × stream × usage day. */
export interface CellKey {
  readonly orgId: string;
  readonly stream: string;
  readonly day: UsageDay;
}

/** One organization's stream in the ledger, split by whether anything is to be done. */
export interface LedgerPart {
  readonly orgId: string;
  readonly stream: string;
  /** Days that are held and were read since their newest checkpoint (or are past the horizon). */
  readonly settled: readonly DayRange[];
  /** All other rows. */
  readonly cells: readonly {
    readonly day: UsageDay;
    readonly state: CellState;
    readonly verifiedAtMs: number | null;
    readonly nextAttemptAtMs: number | null;
  }[];
}

/**
 * What the ledger knows of some days of some organizations. Held days come as
 * ranges, so that a page stays small however long the history is.
 *
 * @param days each day with its newest checkpoint: a held cell verified before it is not settled; null when held is enough
 */
export async function readLedger(
  db: Kysely<Schema>,
  {
    orgIds,
    streams,
    days,
  }: {
    orgIds: readonly string[];
    streams: readonly string[];
    days: readonly { readonly day: UsageDay; readonly checkpointMs: number | null }[];
  },
): Promise<LedgerPart[]> {
  const { rows } = await sql<{
    org_id: string;
    stream: string;
    settled: string | null;
    cells: LedgerPart['cells'] | null;
  }>`
    with cells as (
      select c.*, coalesce(c.state in ('loaded', 'final')
        and (d.checkpoint is null or c.verified_at >= d.checkpoint), false) as is_settled
      from unnest(${days.map(({ day }) => day)}::date[],
                  ${days.map(({ checkpointMs }) => instant(checkpointMs))}::timestamptz[]) as d (day, checkpoint)
      cross join unnest(${streams}::text[]) as s (stream)
      join losant_usage.coverage c
        on c.usage_date = d.day and c.stream = s.stream and c.org_id = any (${orgIds}::text[])
    )
    select org_id, stream,
      range_agg(daterange(usage_date, usage_date + 1)) filter (where is_settled)::text as settled,
      json_agg(json_build_object(
        'day', usage_date, 'state', state,
        'verifiedAtMs', (extract(epoch from verified_at) * 1000)::bigint,
        'nextAttemptAtMs', (extract(epoch from next_attempt_at) * 1000)::bigint
      )) filter (where not is_settled) as cells
    from cells group by org_id, stream`.execute(db);
  return rows.map(({ org_id, stream, settled, cells }) => ({
    orgId: org_id,
    stream,
    settled: parseDateRanges(settled ?? '{}'),
    cells: cells ?? [],
  }));
}

/** Makes sure each cell has a row and locks them all, in key order: the order every writer takes. */
export async function lockCells(
  trx: Kysely<Schema>,
  keys: readonly CellKey[],
): Promise<Map<string, StoredCell | null>> {
  const [days, streams, orgIds] = columnsOf(keys);
  await sql`
    insert into losant_usage.coverage (usage_date, stream, org_id, state)
    select * , 'failed' from unnest(${days}::date[], ${streams}::text[], ${orgIds}::text[]) as k (usage_date, stream, org_id)
    order by usage_date, stream, org_id
    on conflict do nothing`.execute(trx);
  const { rows } = await sql<LockedRow>`
    select c.usage_date, c.stream, c.org_id, c.state, c.reported, c.revision, c.verified_at, c.attempted_at,
      c.attempts, c.next_attempt_at, c.error_code, c.error_message, c.response_sha256
    from losant_usage.coverage c
    join unnest(${days}::date[], ${streams}::text[], ${orgIds}::text[]) as k (usage_date, stream, org_id)
      using (usage_date, stream, org_id)
    order by c.usage_date, c.stream, c.org_id
    for update of c`.execute(trx);
  return new Map(
    rows.map((row) => [
      cellId({ orgId: row.org_id, stream: row.stream, day: row.usage_date }),
      wasJustMade(row) ? null : toStoredCell(row),
    ]),
  );
}

/** Writes rows that {@link lockCells} locked. */
export async function writeCells(
  trx: Kysely<Schema>,
  cells: readonly (CellKey & { readonly cell: StoredCell })[],
  runId: string,
): Promise<void> {
  if (cells.length === 0) return;
  const [days, streams, orgIds] = columnsOf(cells);
  const of = <T>(pick: (cell: StoredCell) => T) => cells.map(({ cell }) => pick(cell));
  await sql`
    update losant_usage.coverage c set
      state = u.state, reported = u.reported, revision = u.revision,
      verified_at = u.verified_at, attempted_at = u.attempted_at, attempts = u.attempts,
      next_attempt_at = u.next_attempt_at, error_code = u.error_code, error_message = u.error_message,
      response_sha256 = u.response_sha256, run_id = ${runId},
      first_loaded_at = coalesce(c.first_loaded_at, case when u.state in ('loaded', 'final') then now() end),
      finalized_at = coalesce(c.finalized_at, case when u.state = 'final' then now() end)
    from unnest(
      ${days}::date[], ${streams}::text[], ${orgIds}::text[],
      ${of((cell) => cell.state)}::text[], ${of((cell) => cell.reported)}::boolean[],
      ${of((cell) => cell.revision)}::integer[], ${of((cell) => instant(cell.verifiedAtMs))}::timestamptz[],
      ${of((cell) => instant(cell.attemptedAtMs))}::timestamptz[], ${of((cell) => cell.attempts)}::integer[],
      ${of((cell) => instant(cell.nextAttemptAtMs))}::timestamptz[],
      ${of((cell) => cell.error?.code ?? null)}::text[], ${of((cell) => cell.error?.message ?? null)}::text[],
      ${of((cell) => cell.sha256)}::text[]
    ) as u (usage_date, stream, org_id, state, reported, revision, verified_at, attempted_at, attempts,
            next_attempt_at, error_code, error_message, response_sha256)
    where c.usage_date = u.usage_date and c.stream = u.stream and c.org_id = u.org_id`.execute(trx);
}

/** One text per cell, for maps. */
export function cellId({ orgId, stream, day }: CellKey): string {
  return `${day} ${stream} ${orgId}`;
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
  next_attempt_at: Instant | null;
  error_code: string | null;
  error_message: string | null;
  response_sha256: string | null;
}

/** A row that this or another load has only put down to lock it. */
function wasJustMade(row: LockedRow): boolean {
  return row.state === 'failed' && row.error_code === null;
}

function toStoredCell(row: LockedRow): StoredCell {
  return {
    state: row.state,
    reported: row.reported,
    revision: row.revision,
    verifiedAtMs: epochMs(row.verified_at),
    attemptedAtMs: epochMs(row.attempted_at),
    attempts: row.attempts,
    nextAttemptAtMs: epochMs(row.next_attempt_at),
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
    sha256: row.response_sha256,
  };
}

function columnsOf(keys: readonly CellKey[]): [UsageDay[], string[], string[]] {
  return [keys.map(({ day }) => day), keys.map(({ stream }) => stream), keys.map(({ orgId }) => orgId)];
}

function epochMs(value: Instant | null): number | null {
  return value === null ? null : Date.parse(value);
}

function instant(ms: number | null): Instant | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** `{[2026-08-26,2026-11-20),…}` as inclusive ranges. */
function parseDateRanges(multirange: string): DayRange[] {
  return [...multirange.matchAll(/\[([\d-]+),([\d-]+)\)/g)].map(([, from, until]) => ({
    from: from as string,
    to: addDays(until as string, -1),
  }));
}
