/** Leases: only one process at a time runs for an instance. Every transaction that writes checks its lease first. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { isLockTimeout, retryTransaction } from '../database/sqlstate.ts';
import { AppError, BusyError } from '../errors.ts';
import { showDuration } from '../terminal/words.ts';
import type { Policy } from '../usage/policy.ts';

/** The time until a lease expires unless it is renewed: the longest that a dead holder keeps others waiting. */
export const LEASE_MS = 60_000;
/** Four renewals fit into a lease, so a few may fail. */
export const RENEWAL_INTERVAL_MS = 15_000;

export interface Lease {
  readonly instanceId: string;
  /** The fencing number: it rises with every lease of any instance. */
  readonly epoch: number;
}

const EXPIRY = sql<Instant>`clock_timestamp() + ${LEASE_MS} * interval '1 ms'`;

/** A process that wants a lease. */
type Candidate = Readonly<Record<'instanceId' | 'runId' | 'host', string>>;

/** Takes over a lease that has expired. Throws BusyError `lease_busy`, which names the holder and the expiry. */
export async function acquireLease(db: Kysely<Schema>, candidate: Candidate): Promise<Lease> {
  const { instanceId } = candidate;
  const epoch = await retryTransaction(() => insertLease(db, candidate)).catch((error: unknown) => {
    // The lease has expired, but its holder is still writing.
    if (isLockTimeout(error)) return null;
    throw error;
  });
  if (epoch !== null) return { instanceId, epoch };
  const holder = await db
    .selectFrom('leases')
    .select(['host', 'acquired_at as acquiredAt', 'expires_at as expiresAt'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  // Without a row the holder has just released it.
  const holderText = holder
    ? `by a process on ${holder.host} (since ${holder.acquiredAt})`
    : 'by a process that is just finishing';
  const expiryText = holder ? `; if it has died, its lease expires at ${holder.expiresAt}` : '';
  throw new BusyError('lease_busy', `Instance ${instanceId} is being loaded ${holderText}`, {
    hint: `try again when it has ended (run --wait SECONDS waits for that)${expiryText}`,
  });
}

/**
 * Returns the epoch of the new lease; null if another process has one. The first condition is checked without a lock,
 * so that nobody waits for a live holder; the second one decides between processes that both saw the lease expired.
 */
async function insertLease(db: Kysely<Schema>, { instanceId, runId, host }: Candidate): Promise<number | null> {
  const { rows } = await sql<{ epoch: number }>`
    insert into losant_usage.leases as l (instance_id, run_id, host, acquired_at, expires_at)
    select ${instanceId}, ${runId}::uuid, ${host}, ${CLOCK}, ${EXPIRY}
    where not exists (
      select from losant_usage.leases k where k.instance_id = ${instanceId} and k.expires_at > ${CLOCK})
    on conflict (instance_id) do update set run_id = excluded.run_id, host = excluded.host,
      acquired_at = excluded.acquired_at, expires_at = excluded.expires_at, epoch = default
    where l.expires_at <= ${CLOCK}
    returning epoch`.execute(db);
  return rows[0]?.epoch ?? null;
}

/** Extends the lease. Throws BusyError `lease_lost` if another process has taken it over. */
export async function renewLease(db: Kysely<Schema>, { instanceId, epoch }: Lease): Promise<void> {
  const renewal = db
    .updateTable('leases')
    .set({ expires_at: EXPIRY })
    .where('instance_id', '=', instanceId)
    .where('epoch', '=', epoch);
  const { numUpdatedRows } = await retryTransaction(() => renewal.executeTakeFirstOrThrow());
  if (numUpdatedRows !== 1n) throw toLeaseLostError(instanceId);
}

/** Releases the lease. Leaves the lease of a successor alone. */
export async function releaseLease(db: Kysely<Schema>, { instanceId, epoch }: Lease): Promise<void> {
  const release = db.deleteFrom('leases').where('instance_id', '=', instanceId).where('epoch', '=', epoch);
  await retryTransaction(() => release.execute());
}

function toLeaseLostError(instanceId: string): BusyError {
  return new BusyError('lease_lost', `Another process has taken over instance ${instanceId}`, {
    hint: 'this process was paused or cut off for longer than its lease; the other one continues, and nothing is lost',
  });
}

/** The difference between the clocks of host and database beyond which it is unclear which day has ended. */
export const DATABASE_SKEW_MAX_MS = 30_000;

/** The conditions under which a transaction may write. */
export interface BeginOptions {
  /** Null for what needs no lease. */
  readonly lease: Lease | null;
  /** The run's idea of the database's time, in ms, to be compared with it; undefined to skip the check. */
  readonly now?: (() => number) | undefined;
}

/** An instance in a database, for reading. */
export interface InstanceLedger {
  readonly db: Kysely<Schema>;
  readonly instanceId: string;
  readonly policy: Policy;
  /** Returns the time in ms by the database's clock. */
  readonly now: () => number;
}

/** The ledger of an instance as one process writes it. */
export interface LedgerWriter extends InstanceLedger, Pick<BeginOptions, 'lease'> {
  /** The most cells of a transaction; {@link TRANSACTION_CELLS} if unset. */
  readonly transactionCells?: number;
}

/** Calls `work` with the database's time, again after a conflict or deadlock: it must change only the database. */
export async function inTransaction<T>(
  { db, ...options }: BeginOptions & Pick<InstanceLedger, 'db'>,
  work: (trx: Kysely<Schema>, atMs: number) => Promise<T>,
): Promise<T> {
  return await retryTransaction(() =>
    db.transaction().execute(async (trx) => work(trx, await beginWriting(trx, options))),
  );
}

/**
 * Locks the lease by instance and epoch until the commit, marks the transaction for the triggers, and locks the ledger
 * for writing. The holder of an expired lease may wake up after a takeover, so every transaction that writes checks it.
 * A takeover changes the epoch, a key of the table: it conflicts with FOR KEY SHARE, waits for writes in flight, and
 * makes every later transaction of the old holder fail. A renewal changes no key and does not conflict: however long a
 * run's own transaction takes, the run keeps its lease. Only the database's clock decides about expiry; a host whose
 * clock is off would read days that have not ended. Returns the database's time in ms. Throws BusyError `lease_lost`,
 * or AppError `clock_skew`.
 */
export async function beginWriting(
  trx: Kysely<Schema>,
  { lease, now }: BeginOptions = { lease: null },
): Promise<number> {
  const { rows } = await sql<{ at: Instant; leases: number }>`
    with lease as (
      select from losant_usage.leases
      where instance_id = ${lease?.instanceId ?? null} and epoch = ${lease?.epoch ?? null}::bigint
      for key share
    )
    select clock_timestamp() as at, (select count(*) from lease)::integer as leases,
      set_config('losant_usage.program', 'yes', true)`.execute(trx);
  const { at, leases } = rows[0] as { at: Instant; leases: number };
  if (lease && leases === 0) throw toLeaseLostError(lease.instanceId);
  const atMs = Date.parse(at);
  if (now) requireDatabaseClock(now() - atMs);
  // Before any row, so that no deadlock with `close` is possible; it waits for this, and this for it.
  await sql`lock table losant_usage_internal.ledger_lock in share mode`.execute(trx);
  return atMs;
}

/** Bounds what one transaction locks, and how long it takes: a few seconds. Ten years of five streams fit. */
export const TRANSACTION_CELLS = 20_000;

/**
 * Calls `work` in a transaction per page of the organizations `o` that match: as many as its cells allow, at least one.
 * `cells` is an expression for the most cells of one that a transaction locks.
 */
export async function eachPage(
  ledger: BeginOptions & Pick<LedgerWriter, 'db' | 'instanceId' | 'transactionCells'>,
  { matches, cells }: Readonly<Record<'matches' | 'cells', RawBuilder<unknown>>>,
  work: (trx: Kysely<Schema>, orgIds: readonly string[]) => Promise<void>,
): Promise<void> {
  const { db, instanceId, transactionCells = TRANSACTION_CELLS } = ledger;
  for (let afterOrgId = ''; ; ) {
    const { rows } = await sql<{ org_id: string }>`
      select p.org_id
      from (
        select o.org_id, row_number() over ids as position, sum(greatest(1, ${cells})) over ids as cells
        from losant_usage.organizations o
        where o.instance_id = ${instanceId} and o.org_id > ${afterOrgId} and ${matches}
        window ids as (order by o.org_id)
      ) as p
      where p.position = 1 or p.cells <= ${transactionCells} order by p.org_id`.execute(db);
    const orgIds = rows.map(({ org_id }) => org_id);
    const lastOrgId = orgIds.at(-1);
    if (lastOrgId === undefined) return;
    afterOrgId = lastOrgId;
    await inTransaction(ledger, (trx) => work(trx, orgIds));
  }
}

/** Repeats `work` until it changes nothing. It must change at most `limit` cells, and none of them again. */
export async function repeatInTransactions(
  ledger: LedgerWriter,
  work: (trx: Kysely<Schema>, limit: number) => Promise<number>,
): Promise<void> {
  const { transactionCells = TRANSACTION_CELLS } = ledger;
  while ((await inTransaction(ledger, (trx) => work(trx, transactionCells))) > 0);
}

/** Throws AppError `clock_skew` if the run's clock, `aheadMs` ahead of the database's, is too far off. */
export function requireDatabaseClock(aheadMs: number): void {
  if (Math.abs(aheadMs) <= DATABASE_SKEW_MAX_MS) return;
  throw new AppError(
    'clock_skew',
    `This host's clock has drifted ${showDuration(Math.abs(aheadMs))} from the database's since the run started`,
    { hint: 'synchronize the clocks (NTP); nothing more was loaded, because it is unclear which day has ended' },
  );
}
