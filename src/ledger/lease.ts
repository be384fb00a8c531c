/** The lease: only one process at a time runs. Every transaction that writes checks its lease first. */
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
  /** The fencing number: it rises with every lease. */
  readonly epoch: number;
}

const EXPIRY = sql<Instant>`clock_timestamp() + ${LEASE_MS} * interval '1 ms'`;

/** A process that wants the lease. */
type Candidate = Readonly<Record<'runId' | 'host', string>>;

/** Acquires the lease, also one that has expired. Throws BusyError `lease_busy`, which names the holder. */
export async function acquireLease(db: Kysely<Schema>, candidate: Candidate): Promise<Lease> {
  const epoch = await retryTransaction(() => insertLease(db, candidate)).catch((error: unknown) => {
    // The lease has expired, but its holder is still writing.
    if (isLockTimeout(error)) return null;
    throw error;
  });
  if (epoch !== null) return { epoch };
  const holder = await db
    .selectFrom('lease')
    .select(['host', 'acquired_at as acquiredAt', 'expires_at as expiresAt'])
    .executeTakeFirst();
  // Without a row the holder has just released it.
  const holderText = holder
    ? `by a process on ${holder.host} (since ${holder.acquiredAt})`
    : 'by a process that is just finishing';
  const expiryText = holder ? `; if it has died, its lease expires at ${holder.expiresAt}` : '';
  throw new BusyError('lease_busy', `Usage is being loaded ${holderText}`, {
    hint: `try again when it has ended (run --wait SECONDS waits for that)${expiryText}`,
  });
}

/**
 * Returns the epoch of the new lease; null if another process has one. The first condition is checked without a lock,
 * so that nobody waits for a live holder; the second one decides between processes that both saw the lease expired.
 */
async function insertLease(db: Kysely<Schema>, { runId, host }: Candidate): Promise<number | null> {
  const { rows } = await sql<{ epoch: number }>`
    insert into losant_usage.lease as l (run_id, host, acquired_at, expires_at)
    select ${runId}::uuid, ${host}, ${CLOCK}, ${EXPIRY}
    where not exists (select from losant_usage.lease k where k.expires_at > ${CLOCK})
    on conflict (id) do update set run_id = excluded.run_id, host = excluded.host,
      acquired_at = excluded.acquired_at, expires_at = excluded.expires_at, epoch = default
    where l.expires_at <= ${CLOCK}
    returning epoch`.execute(db);
  return rows[0]?.epoch ?? null;
}

/** Extends the lease. Throws BusyError `lease_lost` if another process has taken it over. */
export async function renewLease(db: Kysely<Schema>, { epoch }: Lease): Promise<void> {
  const renewal = db.updateTable('lease').set({ expires_at: EXPIRY }).where('epoch', '=', epoch);
  const { numUpdatedRows } = await retryTransaction(() => renewal.executeTakeFirstOrThrow());
  if (numUpdatedRows !== 1n) throw toLeaseLostError();
}

/** Releases the lease. Leaves the lease of a successor alone. */
export async function releaseLease(db: Kysely<Schema>, { epoch }: Lease): Promise<void> {
  const release = db.deleteFrom('lease').where('epoch', '=', epoch);
  await retryTransaction(() => release.execute());
}

function toLeaseLostError(): BusyError {
  return new BusyError('lease_lost', 'Another process has taken over', {
    hint: 'this process was paused or cut off for longer than its lease; the other one continues, and nothing is lost',
  });
}

/** The difference between the clocks of host and database beyond which it is unclear which day has ended. */
export const DATABASE_SKEW_MAX_MS = 30_000;

/** The conditions under which a transaction may write. */
interface BeginOptions {
  /** Null for what needs no lease. */
  readonly lease: Lease | null;
  /** The run's idea of the database's time, in ms, to be compared with it; undefined to skip the check. */
  readonly now?: (() => number) | undefined;
}

/** The ledger, for reading. */
export interface LedgerReader {
  readonly db: Kysely<Schema>;
  readonly policy: Policy;
  /** Returns the time in ms by the database's clock. */
  readonly now: () => number;
}

/** The ledger as one process writes it. */
export interface LedgerWriter extends LedgerReader, Pick<BeginOptions, 'lease'> {
  /** The most cells of a transaction; {@link TRANSACTION_CELLS} if unset. */
  readonly transactionCells?: number;
}

/** Calls `work` with the database's time, again after a conflict or deadlock: it must change only the database. */
export async function inTransaction<T>(
  { db, ...options }: BeginOptions & Pick<LedgerReader, 'db'>,
  work: (trx: Kysely<Schema>, atMs: number) => Promise<T>,
): Promise<T> {
  return await retryTransaction(() =>
    db.transaction().execute(async (trx) => work(trx, await beginWriting(trx, options))),
  );
}

/** The advisory lock of the ledger: loads share it, and `close` has it alone, for the length of a transaction. */
export const LEDGER_LOCK = 7_021_337;

/**
 * Locks the lease by its epoch until the commit, and the ledger for writing. The holder of an expired lease may wake up
 * after a takeover, so every transaction that writes checks it. A takeover changes the epoch, a key of the table: it
 * conflicts with FOR KEY SHARE, waits for writes in flight, and makes every later transaction of the old holder fail. A
 * renewal changes no key and does not conflict. Only the database's clock decides about expiry; a host whose clock is
 * off would read days that have not ended. Returns the database's time in ms. Throws BusyError `lease_lost`, or
 * AppError `clock_skew`.
 */
export async function beginWriting(
  trx: Kysely<Schema>,
  { lease, now }: BeginOptions = { lease: null },
): Promise<number> {
  const { rows } = await sql<{ at: Instant; leases: number }>`
    with lease as (
      select from losant_usage.lease where epoch = ${lease?.epoch ?? null}::bigint for key share
    )
    select clock_timestamp() as at, (select count(*) from lease)::integer as leases`.execute(trx);
  const { at, leases } = rows[0] as { at: Instant; leases: number };
  if (lease && leases === 0) throw toLeaseLostError();
  const atMs = Date.parse(at);
  if (now) requireDatabaseClock(now() - atMs);
  // Locked before any row, so that no deadlock with `close` is possible: each waits for the other here.
  await sql`select pg_advisory_xact_lock_shared(${LEDGER_LOCK}::bigint)`.execute(trx);
  return atMs;
}

/** Bounds what one transaction locks, and how long it takes: a few seconds. Ten years of five streams fit. */
export const TRANSACTION_CELLS = 20_000;

/**
 * Calls `work` in a transaction per page of the organizations `o` that match: as many as its cells allow, at least one.
 * `cells` is an expression for the most cells of one that a transaction locks.
 */
export async function eachPage(
  ledger: BeginOptions & Pick<LedgerWriter, 'db' | 'transactionCells'>,
  { matches, cells }: Readonly<Record<'matches' | 'cells', RawBuilder<unknown>>>,
  work: (trx: Kysely<Schema>, orgIds: readonly string[]) => Promise<void>,
): Promise<void> {
  const { db, transactionCells = TRANSACTION_CELLS } = ledger;
  for (let afterOrgId = ''; ; ) {
    const { rows } = await sql<{ org_id: string }>`
      select p.org_id
      from (
        select o.org_id, row_number() over ids as position, sum(greatest(1, ${cells})) over ids as cells
        from losant_usage.organizations o
        where o.org_id > ${afterOrgId} and ${matches}
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

/** Repeats `work` until it changes nothing. Each call must change at most `limit` cells, and no cell twice. */
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
