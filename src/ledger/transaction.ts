import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { ClockError } from '../errors.ts';
import { type LeaseHold, leaseLost } from './lease.ts';

/** The difference between host and database clock beyond which it is unclear which day is over. */
export const DATABASE_SKEW_MAX_MS = 30_000;

export interface BeginOptions {
  /** The run that writes; null outside a run. */
  readonly runId: string | null;
  /** The lease that the transaction depends on; null for work that runs beside others. */
  readonly lease: LeaseHold | null;
  /**
   * Returns the time in ms by the database's clock as the run sees it, to be compared with the database;
   * undefined to skip the check.
   */
  readonly now?: (() => number) | undefined;
}

/**
 * `beginWriting` begins a transaction in which the program writes: marks its changes as not made by hand for the
 * triggers, commits synchronously whatever the server's default, and locks the lease's row until the
 * end, so that nobody takes over meanwhile. Without options, it is no run that writes. Returns the time in ms by the database's clock. Throws
 * HeldError `lease_lost`, or ClockError if the clocks have moved apart.
 */
export async function beginWriting(
  trx: Kysely<Schema>,
  { runId, lease, now }: BeginOptions = { runId: null, lease: null },
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

/**
 * `requireDatabaseClock` throws ClockError if the clock of the run, ahead of the database's by `aheadMs`,
 * differs from it by more than 30 s.
 */
export function requireDatabaseClock(aheadMs: number): void {
  if (Math.abs(aheadMs) <= DATABASE_SKEW_MAX_MS) return;
  throw new ClockError(
    `This host's clock has moved by ${Math.round(Math.abs(aheadMs) / 1_000)} s against the database's since the run began`,
    { hint: 'set the clocks (NTP); nothing more was loaded, because it is unclear which day is over' },
  );
}
