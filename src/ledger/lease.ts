/**
 * Leases: one process at a time exports an instance. Only the database's clock counts. A transaction in which the
 * program writes begins by them.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { AppError, BusyError } from '../errors.ts';
import type { Policy } from '../usage/policy.ts';

/** The time that a lease lasts without renewal; a dead holder is succeeded within it. */
export const LEASE_MS = 60_000;
/** The interval of renewals. Four attempts fit into a lease. */
export const RENEW_MS = 15_000;

/** A lease that was taken. The epoch distinguishes it from every earlier or later one. */
export interface Lease {
  readonly instanceId: string;
  readonly epoch: number;
}

const EXPIRY = sql<Instant>`clock_timestamp() + ${LEASE_MS} * interval '1 ms'`;

/**
 * Takes the lease of an instance unless somebody holds it; one that has lapsed is taken over. Throws BusyError
 * `lease_busy` with the holder and the time of expiry.
 */
export async function takeLease(
  db: Kysely<Schema>,
  { instanceId, runId, host }: Readonly<Record<'instanceId' | 'runId' | 'host', string>>,
): Promise<Lease> {
  const lease = await db
    .insertInto('leases')
    .values({ instance_id: instanceId, run_id: runId, host, acquired_at: CLOCK, expires_at: EXPIRY })
    .onConflict((conflict) =>
      conflict
        .column('instance_id')
        .doUpdateSet((eb) => ({
          run_id: eb.ref('excluded.run_id'),
          host: eb.ref('excluded.host'),
          acquired_at: eb.ref('excluded.acquired_at'),
          expires_at: eb.ref('excluded.expires_at'),
          epoch: sql`default`,
        }))
        .where('leases.expires_at', '<=', CLOCK),
    )
    .returning('epoch')
    .executeTakeFirst();
  if (lease) return { instanceId, epoch: lease.epoch };
  const holder = await db
    .selectFrom('leases')
    .select(['host', 'acquired_at as acquiredAt', 'expires_at as expiresAt'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  // Without a row the holder has just ended; whoever waits tries again.
  const who = holder
    ? `by a process on ${holder.host} since ${holder.acquiredAt}`
    : 'by a process that is just finishing';
  throw new BusyError('lease_busy', `Instance ${instanceId} is being exported ${who}`, {
    hint: `wait for it, or pass --wait SECONDS${holder ? `; if it has died, its lease expires at ${holder.expiresAt}` : ''}`,
  });
}

/** Extends the lease. Throws BusyError `lease_lost` if another process has taken it over. */
export async function renewLease(db: Kysely<Schema>, { instanceId, epoch }: Lease): Promise<void> {
  const { numUpdatedRows } = await db
    .updateTable('leases')
    .set({ expires_at: EXPIRY })
    .where('instance_id', '=', instanceId)
    .where('epoch', '=', epoch)
    .executeTakeFirstOrThrow();
  if (numUpdatedRows !== 1n) throw leaseLost(instanceId);
}

/** Releases the lease if it is still this one. */
export async function releaseLease(db: Kysely<Schema>, { instanceId, epoch }: Lease): Promise<void> {
  await db.deleteFrom('leases').where('instance_id', '=', instanceId).where('epoch', '=', epoch).execute();
}

function leaseLost(instanceId: string): BusyError {
  return new BusyError('lease_lost', `Another process has taken over the export of instance ${instanceId}`, {
    hint: 'this process was paused or cut off for longer than its lease; the other one continues, and nothing is lost',
  });
}

/** The difference between host and database clock beyond which it is unclear which day is over. */
export const DATABASE_SKEW_MAX_MS = 30_000;

/** The conditions of a transaction in which the program writes. */
export interface BeginOptions {
  /** The lease that the transaction depends on; null for what needs none. */
  readonly lease: Lease | null;
  /**
   * Returns the time in ms by the database's clock as the run sees it, to be compared with the database;
   * undefined to skip the check.
   */
  readonly now?: (() => number) | undefined;
}

/** An instance in a database. */
export interface InstanceLedger {
  readonly db: Kysely<Schema>;
  readonly instanceId: string;
  readonly policy: Policy;
  /** Returns the time in ms by the database's clock. */
  readonly now: () => number;
}

/** The ledger of an instance as one process writes it. */
export interface LedgerWriter extends InstanceLedger, Pick<BeginOptions, 'lease'> {}

/** Calls `work` in a transaction that begins by {@link beginWriting}, with the time by the database's clock. */
export async function inTransaction<T>(
  { db, ...options }: BeginOptions & Pick<InstanceLedger, 'db'>,
  work: (trx: Kysely<Schema>, atMs: number) => Promise<T>,
): Promise<T> {
  return await db.transaction().execute(async (trx) => work(trx, await beginWriting(trx, options)));
}

/**
 * Begins a transaction that writes. Marks it for the triggers, forces synchronous commit, and locks the lease row
 * to the end, so that no takeover can happen meanwhile. Returns the database's time. Throws BusyError
 * `lease_lost`, or AppError if the clocks have drifted apart.
 */
export async function beginWriting(
  trx: Kysely<Schema>,
  { lease, now }: BeginOptions = { lease: null },
): Promise<number> {
  const { rows } = await sql<{ at: Instant; leases: number }>`
    with lease as (
      select from losant_usage.leases
      where instance_id = ${lease?.instanceId ?? null} and epoch = ${lease?.epoch ?? null}::bigint
      for share
    )
    select clock_timestamp() as at, (select count(*) from lease)::integer as leases,
      set_config('losant_usage.program', 'yes', true),
      set_config('synchronous_commit', case current_setting('synchronous_commit')
        when 'off' then 'on' else current_setting('synchronous_commit') end, true)`.execute(trx);
  const { at, leases } = rows[0] as { at: Instant; leases: number };
  if (lease && leases === 0) throw leaseLost(lease.instanceId);
  const atMs = Date.parse(at);
  if (now) requireDatabaseClock(now() - atMs);
  return atMs;
}

/** The organizations that one transaction concerns. */
const TRANSACTION_ORGS = 500;

/** Calls `work` in a transaction for each page of the organizations `o` that match, in the order of ids. */
export async function eachPage(
  ledger: LedgerWriter,
  matches: RawBuilder<unknown>,
  work: (trx: Kysely<Schema>, orgIds: readonly string[]) => Promise<void>,
): Promise<void> {
  const { db, instanceId } = ledger;
  for (let afterOrgId = ''; ; ) {
    const { rows } = await sql<{ org_id: string }>`
      select o.org_id from losant_usage.organizations o
      where o.instance_id = ${instanceId} and o.org_id > ${afterOrgId} and ${matches}
      order by o.org_id limit ${TRANSACTION_ORGS}`.execute(db);
    const orgIds = rows.map(({ org_id }) => org_id);
    const last = orgIds.at(-1);
    if (last === undefined) return;
    afterOrgId = last;
    await inTransaction(ledger, (trx) => work(trx, orgIds));
  }
}

/** Throws AppError if the clock of the run is more than 30 s off the database's, `aheadMs` ahead of it. */
export function requireDatabaseClock(aheadMs: number): void {
  if (Math.abs(aheadMs) <= DATABASE_SKEW_MAX_MS) return;
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  throw new AppError(
    'clock_skew',
    `This host's clock has drifted ${seconds} s from the database's since the run started`,
    {
      hint: 'synchronize the clocks (NTP); nothing more was loaded, because it is unclear which day has ended',
    },
  );
}
