import { type Kysely, sql } from 'kysely';
import { HeldError } from '../../errors.ts';
import type { Instant, Schema } from '../schema.ts';

/** How long a lease lasts unless it is renewed; a dead holder is succeeded within this time. */
export const LEASE_MS = 60_000;
/** How often a holder renews. Four tries fit into a lease. */
export const RENEW_MS = 15_000;

/** A lease that was taken. The epoch tells it from every earlier and later one. */
export interface LeaseHold {
  readonly instanceId: string;
  readonly epoch: number;
}

export interface LeaseRequest {
  readonly instanceId: string;
  readonly runId: string;
  readonly host: string;
}

/**
 * Takes the instance's lease by the database's clock, if nobody holds it.
 * Throws HeldError `lease_held`, naming the holder and until when.
 */
export async function takeLease(
  db: Kysely<Schema>,
  { instanceId, runId, host }: LeaseRequest,
): Promise<LeaseHold> {
  const { rows } = await sql<{ lease_epoch: number }>`
    update losant_usage.instances set
      lease_run_id = ${runId}, lease_host = ${host}, lease_since = clock_timestamp(),
      lease_until = clock_timestamp() + ${LEASE_MS} * interval '1 ms', lease_epoch = lease_epoch + 1
    where instance_id = ${instanceId} and (lease_until is null or lease_until <= clock_timestamp())
    returning lease_epoch`.execute(db);
  const taken = rows[0];
  if (taken) return { instanceId, epoch: taken.lease_epoch };
  const holder = await db
    .selectFrom('instances')
    .select(['lease_host', 'lease_since', 'lease_until'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirstOrThrow();
  throw held(instanceId, holder);
}

/** Prolongs the lease. Throws HeldError `lease_lost` if somebody else has taken it meanwhile. */
export async function renewLease(db: Kysely<Schema>, { instanceId, epoch }: LeaseHold): Promise<void> {
  const { numAffectedRows } = await sql`
    update losant_usage.instances set lease_until = clock_timestamp() + ${LEASE_MS} * interval '1 ms'
    where instance_id = ${instanceId} and lease_epoch = ${epoch} and lease_run_id is not null`.execute(db);
  if (numAffectedRows !== 1n) throw leaseLost(instanceId);
}

/** Gives the lease up, if it is still this one. */
export async function releaseLease(db: Kysely<Schema>, { instanceId, epoch }: LeaseHold): Promise<void> {
  await sql`
    update losant_usage.instances set lease_run_id = null, lease_host = null, lease_since = null, lease_until = null
    where instance_id = ${instanceId} and lease_epoch = ${epoch}`.execute(db);
}

function held(
  instanceId: string,
  holder: { lease_host: string | null; lease_since: Instant | null; lease_until: Instant | null },
): HeldError {
  return new HeldError(
    'lease_held',
    `Instance ${instanceId} is being exported by a process on ${holder.lease_host} since ${holder.lease_since}`,
    {
      hint: `wait for it, or pass --wait SECONDS; if it is dead, its lease lapses at ${holder.lease_until}`,
    },
  );
}

export function leaseLost(instanceId: string): HeldError {
  return new HeldError('lease_lost', `Another process has taken over the export of instance ${instanceId}`, {
    hint: 'this process was paused or cut off for longer than its lease; the other one goes on, nothing is lost',
  });
}
