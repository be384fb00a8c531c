/**
 * Leases: one process at a time exports an instance or a shard of it. Only the database's clock counts. A transaction
 * in which the program writes begins by them.
 */
import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instant, Leases, Schema } from '../database/schema.ts';
import { ClockError, HeldError } from '../errors.ts';
import type { Shard } from '../usage/organization.ts';

/** The time that a lease lasts without renewal; a dead holder is succeeded within it. */
export const LEASE_MS = 60_000;
/** The interval of renewals. Four attempts fit into a lease. */
export const RENEW_MS = 15_000;

/** A lease that was taken. The epoch distinguishes it from every earlier or later one. */
export interface LeaseHold {
  readonly instanceId: string;
  readonly epoch: number;
}

/**
 * A lease with the runs that had it, or parts of it, and let it lapse: their processes are dead, or will
 * load nothing more.
 */
export interface TakenLease extends LeaseHold {
  readonly lapsedRunIds: readonly string[];
}

export interface LeaseRequest {
  readonly instanceId: string;
  /** The shard; without one the complete instance, which is shard 0 of 1. */
  readonly shard?: Shard | null | undefined;
  readonly runId: string;
  readonly host: string;
}

const UNTIL = sql<Instant>`clock_timestamp() + ${LEASE_MS} * interval '1 ms'`;
const WHOLE: Shard = { index: 0, count: 1 };

/**
 * `takeLease` takes the lease of an instance or of one of its shards, unless somebody holds one that shares
 * organizations with it. Lapsed leases that do are ended for their holders. Throws HeldError
 * `lease_held` with the holder and the time of expiry.
 */
export async function takeLease(db: Kysely<Schema>, request: LeaseRequest): Promise<TakenLease> {
  const { instanceId, runId, host } = request;
  const { index, count } = request.shard ?? WHOLE;
  // I of N and J of M share organizations if both leave the same remainder by the greatest common divisor.
  const overlaps = sql<boolean>`(shard_index - ${index}::integer) % gcd(shard_count, ${count}::integer) = 0`;
  return await db
    .transaction()
    .setIsolationLevel('read committed')
    .execute(async (trx) => {
      // The instance's row is locked so that its leases are taken one by one.
      await trx
        .selectFrom('instances')
        .select('instance_id')
        .where('instance_id', '=', instanceId)
        .forUpdate()
        .executeTakeFirst();
      const lapsed = await trx
        .deleteFrom('leases')
        .where('instance_id', '=', instanceId)
        .where(overlaps)
        .where('until', '<=', CLOCK)
        .returning('run_id')
        .execute();
      const holder = await trx
        .selectFrom('leases')
        .select(['shard_index', 'shard_count', 'host', 'since', 'until'])
        .where('instance_id', '=', instanceId)
        .where(overlaps)
        .orderBy('until', 'desc')
        .limit(1)
        .executeTakeFirst();
      if (holder) throw held(instanceId, holder);
      const { epoch } = await trx
        .insertInto('leases')
        .values({
          instance_id: instanceId,
          shard_index: index,
          shard_count: count,
          run_id: runId,
          host,
          since: CLOCK,
          until: UNTIL,
        })
        .returning('epoch')
        .executeTakeFirstOrThrow();
      return { instanceId, epoch, lapsedRunIds: lapsed.map((each) => each.run_id) };
    });
}

/** Extends the lease. Throws HeldError `lease_lost` if another process has taken it over. */
export async function renewLease(db: Kysely<Schema>, { instanceId, epoch }: LeaseHold): Promise<void> {
  const { numUpdatedRows } = await db
    .updateTable('leases')
    .set({ until: UNTIL })
    .where('instance_id', '=', instanceId)
    .where('epoch', '=', epoch)
    .executeTakeFirstOrThrow();
  if (numUpdatedRows !== 1n) throw leaseLost(instanceId);
}

/** Releases the lease if it is still this one. */
export async function releaseLease(db: Kysely<Schema>, { instanceId, epoch }: LeaseHold): Promise<void> {
  await db.deleteFrom('leases').where('instance_id', '=', instanceId).where('epoch', '=', epoch).execute();
}

type Holder = Pick<Selectable<Leases>, 'shard_index' | 'shard_count' | 'host' | 'since' | 'until'>;

function held(instanceId: string, { shard_index, shard_count, host, since, until }: Holder): HeldError {
  const what =
    shard_count === 1
      ? `Instance ${instanceId}`
      : `Shard ${shard_index}/${shard_count} of instance ${instanceId}`;
  return new HeldError('lease_held', `${what} is being exported by a process on ${host} since ${since}`, {
    hint: `wait for it, or pass --wait SECONDS; if it is dead, its lease lapses at ${until}`,
  });
}

function leaseLost(instanceId: string): HeldError {
  return new HeldError('lease_lost', `Another process has taken over the export of instance ${instanceId}`, {
    hint: 'this process was paused or cut off for longer than its lease; the other one goes on, nothing is lost',
  });
}

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
 * triggers, commits synchronously whatever the server's default, and locks the lease's row until the end, so that
 * nobody takes over meanwhile. Without options, it is no run that writes. Returns the time in ms by the database's
 * clock. Throws HeldError `lease_lost`, or ClockError if the clocks have moved apart.
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

/** SQL columns that name the exporting hosts; null for a role that may not see them, such as the reader's. */
export interface HostColumns {
  /** The column for the row `l` of `leases`. */
  readonly lease: RawBuilder<string | null>;
  /** The column for the row `r` of `runs`. */
  readonly run: RawBuilder<string | null>;
}

export async function readHostColumns(db: Kysely<Schema>): Promise<HostColumns> {
  const { rows } = await sql<{ isSeen: boolean }>`
    select has_column_privilege('losant_usage.leases', 'host', 'select')
      and has_column_privilege('losant_usage.runs', 'host', 'select') as "isSeen"`.execute(db);
  if (rows[0]?.isSeen === true) return { lease: sql`l.host`, run: sql`r.host` };
  return { lease: sql`null::text`, run: sql`null::text` };
}
