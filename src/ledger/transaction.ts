import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { ClockError } from '../errors.ts';
import { type LeaseHold, leaseLost } from './lease.ts';

/** A host clock that has moved this far against the database's makes it unclear which day is over. */
export const DATABASE_SKEW_MAX_MS = 30_000;

export interface BeginOptions {
  /** The run that writes; null outside a run. */
  readonly runId: string | null;
  /** The lease the transaction depends on; null for what runs beside others. */
  readonly lease: LeaseHold | null;
  /** ms by the database's clock as the run sees it, held against the database; not checked if undefined. */
  readonly now?: (() => number) | undefined;
}

/**
 * Begins what the program writes in a transaction: tells the triggers that it is not a change by hand, commits
 * synchronously whatever the server's default, and locks the lease's row until the end, so that nobody takes over in
 * the middle. Returns the time, ms by the database's clock. Throws HeldError `lease_lost`, or ClockError if the clocks
 * have moved apart.
 */
export async function beginWriting(
  trx: Kysely<Schema>,
  { runId, lease, now }: BeginOptions,
): Promise<number> {
  const { rows } = await sql<{ at: Instant; leases: number }>`
    with lease as materialized (
      select from losant_usage.leases
      where instance_id = ${lease?.instanceId ?? null} and epoch = ${lease?.epoch ?? null}::bigint
      for share
    )
    select clock_timestamp() as at, (select count(*) from lease)::integer as leases,
      set_config('losant_usage.program', 'first', true),
      set_config('losant_usage.run_id', ${runId ?? ''}, true),
      set_config('synchronous_commit', case current_setting('synchronous_commit')
        when 'off' then 'on' else current_setting('synchronous_commit') end, true)`.execute(trx);
  const { at, leases } = rows[0] as { at: Instant; leases: number };
  if (lease && leases === 0) throw leaseLost(lease.instanceId);
  const atMs = Date.parse(at);
  if (now) requireDatabaseClock(now() - atMs);
  return atMs;
}

/** Notes that the cells which change are locked: only what was final before was final when its numbers changed. */
export async function markLocked(trx: Kysely<Schema>): Promise<void> {
  await sql`select set_config('losant_usage.locked_at', clock_timestamp()::text, true)`.execute(trx);
}

/** Throws ClockError if the clock of the run is `aheadMs` before the database's, or behind it, by more than 30 s. */
export function requireDatabaseClock(aheadMs: number): void {
  if (Math.abs(aheadMs) <= DATABASE_SKEW_MAX_MS) return;
  throw new ClockError(
    `This host's clock has moved by ${Math.round(Math.abs(aheadMs) / 1_000)} s against the database's since the run began`,
    { hint: 'set the clocks (NTP); nothing more was loaded, because it is unclear which day is over' },
  );
}
