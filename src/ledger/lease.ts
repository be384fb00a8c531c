import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { HeldError } from '../errors.ts';
import type { Shard } from '../usage/shard.ts';

/** How long a lease lasts unless it is renewed; a dead holder is succeeded within this time. */
export const LEASE_MS = 60_000;
/** How often a holder renews. Four tries fit into a lease. */
export const RENEW_MS = 15_000;

/** A lease that was taken. The epoch tells it from every other of the instance and its shards, earlier or later. */
export interface LeaseHold {
  readonly instanceId: string;
  readonly epoch: number;
  /** Where it stands. */
  readonly table: 'instances' | 'shard_leases';
}

export interface LeaseRequest {
  readonly instanceId: string;
  /** None: the whole instance. */
  readonly shard?: Shard | null | undefined;
  readonly runId: string;
  readonly host: string;
}

interface Holder {
  /** `I/N`; null: the whole instance. */
  readonly shard: string | null;
  readonly lease_host: string | null;
  readonly lease_since: Instant | null;
  readonly lease_until: Instant | null;
}

const UNTIL = sql`clock_timestamp() + ${LEASE_MS} * interval '1 ms'`;

/**
 * Takes the lease of an instance or of one of its shards by the database's
 * clock, if nobody holds one that has an organization in common with it. Lapsed
 * ones that have are gone for their holders. Throws HeldError `lease_held`,
 * naming the holder and until when.
 */
export async function takeLease(db: Kysely<Schema>, request: LeaseRequest): Promise<LeaseHold> {
  const { instanceId, shard, runId, host } = request;
  return await db
    .transaction()
    .setIsolationLevel('read committed')
    .execute(async (trx) => {
      const epoch = await claimInstance(trx, request);
      await clearShards(trx, instanceId, shard ?? { index: 0, count: 1 });
      if (!shard) return { instanceId, epoch, table: 'instances' };
      await sql`
        insert into losant_usage.shard_leases (instance_id, shard_count, shard_index,
          lease_run_id, lease_host, lease_since, lease_until, lease_epoch)
        values (${instanceId}, ${shard.count}, ${shard.index},
          ${runId}, ${host}, clock_timestamp(), ${UNTIL}, ${epoch})`.execute(trx);
      return { instanceId, epoch, table: 'shard_leases' };
    });
}

/**
 * The next epoch, unless somebody holds the lease of the whole instance. The row
 * stays locked until the end, so that leases of an instance are taken one by one.
 */
async function claimInstance(
  trx: Kysely<Schema>,
  { instanceId, shard, runId, host }: LeaseRequest,
): Promise<number> {
  const isWhole = !shard;
  const { rows } = await sql<{ lease_epoch: number }>`
    update losant_usage.instances set
      lease_run_id = ${isWhole ? runId : null}, lease_host = ${isWhole ? host : null},
      lease_since = ${isWhole ? sql`clock_timestamp()` : null}, lease_until = ${isWhole ? UNTIL : null},
      lease_epoch = lease_epoch + 1
    where instance_id = ${instanceId} and (lease_until is null or lease_until <= clock_timestamp())
    returning lease_epoch`.execute(trx);
  const taken = rows[0];
  if (taken) return taken.lease_epoch;
  const holder = await trx
    .selectFrom('instances')
    .select([sql<null>`null`.as('shard'), 'lease_host', 'lease_since', 'lease_until'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirstOrThrow();
  throw held(instanceId, holder);
}

/**
 * Removes the lapsed leases of shards that have an organization in common with
 * this one; one that is left is held. I of N and J of M have one in common where
 * I and J leave the same remainder by the greatest common divisor of N and M.
 */
async function clearShards(trx: Kysely<Schema>, instanceId: string, { index, count }: Shard): Promise<void> {
  const overlaps = sql`instance_id = ${instanceId}
    and (shard_index - ${index}::integer) % gcd(shard_count, ${count}::integer) = 0`;
  const { rows } = await sql<Holder>`
    with lapsed as (
      delete from losant_usage.shard_leases where ${overlaps} and lease_until <= clock_timestamp()
      returning lease_epoch
    )
    select concat(shard_index, '/', shard_count) as shard, lease_host, lease_since, lease_until
    from losant_usage.shard_leases
    where ${overlaps} and lease_epoch not in (select lease_epoch from lapsed)
    order by lease_until desc limit 1`.execute(trx);
  if (rows[0]) throw held(instanceId, rows[0]);
}

/** Prolongs the lease. Throws HeldError `lease_lost` if somebody else has taken it meanwhile. */
export async function renewLease(db: Kysely<Schema>, { instanceId, epoch, table }: LeaseHold): Promise<void> {
  const { numAffectedRows } = await sql`
    update ${sql.table(`losant_usage.${table}`)} set lease_until = ${UNTIL}
    where instance_id = ${instanceId} and lease_epoch = ${epoch} and lease_run_id is not null`.execute(db);
  if (numAffectedRows !== 1n) throw leaseLost(instanceId);
}

/** Gives the lease up, if it is still this one. */
export async function releaseLease(
  db: Kysely<Schema>,
  { instanceId, epoch, table }: LeaseHold,
): Promise<void> {
  const isIt = sql`instance_id = ${instanceId} and lease_epoch = ${epoch}`;
  const release =
    table === 'shard_leases'
      ? sql`delete from losant_usage.shard_leases where ${isIt}`
      : sql`update losant_usage.instances set
          lease_run_id = null, lease_host = null, lease_since = null, lease_until = null where ${isIt}`;
  await release.execute(db);
}

function held(instanceId: string, { shard, lease_host, lease_since, lease_until }: Holder): HeldError {
  const what = shard === null ? `Instance ${instanceId}` : `Shard ${shard} of instance ${instanceId}`;
  return new HeldError(
    'lease_held',
    `${what} is being exported by a process on ${lease_host} since ${lease_since}`,
    {
      hint: `wait for it, or pass --wait SECONDS; if it is dead, its lease lapses at ${lease_until}`,
    },
  );
}

export function leaseLost(instanceId: string): HeldError {
  return new HeldError('lease_lost', `Another process has taken over the export of instance ${instanceId}`, {
    hint: 'this process was paused or cut off for longer than its lease; the other one goes on, nothing is lost',
  });
}
