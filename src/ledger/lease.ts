/** Leases: one process at a time exports an instance or a shard of it. Only the database's clock counts. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { HeldError } from '../errors.ts';
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

interface Holder {
  readonly shard_index: number;
  readonly shard_count: number;
  readonly host: string;
  readonly since: Instant;
  readonly until: Instant;
}

function held(instanceId: string, { shard_index, shard_count, host, since, until }: Holder): HeldError {
  const what =
    shard_count === 1
      ? `Instance ${instanceId}`
      : `Shard ${shard_index}/${shard_count} of instance ${instanceId}`;
  return new HeldError('lease_held', `${what} is being exported by a process on ${host} since ${since}`, {
    hint: `wait for it, or pass --wait SECONDS; if it is dead, its lease lapses at ${until}`,
  });
}

export function leaseLost(instanceId: string): HeldError {
  return new HeldError('lease_lost', `Another process has taken over the export of instance ${instanceId}`, {
    hint: 'this process was paused or cut off for longer than its lease; the other one goes on, nothing is lost',
  });
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
