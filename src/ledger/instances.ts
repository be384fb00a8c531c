import type { Kysely, Updateable } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Instances, Schema } from '../database/schema.ts';
import { DatabaseError } from '../errors.ts';
import { storable } from '../usage/body.ts';
import { inTransaction, type LedgerWriter } from './lease.ts';

/** An instance as this database knows it. */
export type StoredInstance = NonNullable<Awaited<ReturnType<typeof readInstance>>>;

/** Returns the instance, or null if no run has tried to read it into this database. */
export async function readInstance(db: Kysely<Schema>, instanceId: string) {
  const row = await db
    .selectFrom('instances')
    .select(['api_url as apiUrl', 'listed_at as listedAt', 'list_problem as listProblem'])
    .select(['all_from as allFrom', 'totals_problem as totalsProblem'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  return row ?? null;
}

/** Records that a run tries to read the instance, which is there from its first attempt on and no longer retired. */
export async function recordAttempt(db: Kysely<Schema>, instanceId: string): Promise<void> {
  await inTransaction({ db, lease: null }, async (trx) => {
    await trx
      .insertInto('instances')
      .values({ instance_id: instanceId })
      .onConflict((conflict) =>
        conflict.column('instance_id').doUpdateSet({ last_attempt_at: CLOCK, retired_at: null }),
      )
      .execute();
  });
}

/** Records why an attempt broke off; null if it did not, which is mostly known. */
export async function recordAttemptEnd(
  db: Kysely<Schema>,
  instanceId: string,
  error: string | null,
): Promise<void> {
  const last_error = error && storable(error);
  await inTransaction({ db, lease: null }, async (trx) => {
    await trx
      .updateTable('instances')
      .set({ last_error })
      .where('instance_id', '=', instanceId)
      .where('last_error', 'is distinct from', last_error)
      .execute();
  });
}

/** Records that a person retires an instance. Returns false if the database has no such instance. */
export async function recordRetirement(db: Kysely<Schema>, instanceId: string): Promise<boolean> {
  const { numUpdatedRows } = await inTransaction({ db, lease: null }, (trx) =>
    trx
      .updateTable('instances')
      .set({ retired_at: CLOCK })
      .where('instance_id', '=', instanceId)
      .executeTakeFirstOrThrow(),
  );
  return numUpdatedRows > 0n;
}

interface RegisteredInstance {
  readonly instanceId: string;
  readonly apiUrl: string;
  /** Whether a response confirmed that the API has the instance, which is then read from no other one. */
  readonly isConfirmed: boolean;
  /** The name; null if Losant did not say, so that the known one stays. */
  readonly name: string | null;
  readonly controlTotals: 'block' | 'show';
}

/** Throws DatabaseError `database_mismatch` if the instance's numbers came from another API. */
export async function requireApiUrl(
  db: Kysely<Schema>,
  { instanceId, apiUrl }: Pick<RegisteredInstance, 'instanceId' | 'apiUrl'>,
): Promise<void> {
  const pinnedUrl = (await readInstance(db, instanceId))?.apiUrl ?? apiUrl;
  if (pinnedUrl === apiUrl) return;
  throw new DatabaseError(
    'database_mismatch',
    `Instance ${instanceId} was collected from ${pinnedUrl}, not from ${apiUrl}`,
    { hint: 'use another database for another API' },
  );
}

/**
 * Brings the name and the settings of the instance up to date, and pins its API once it is confirmed. Throws
 * DatabaseError `database_mismatch` if another process has pinned another one meanwhile.
 */
export async function registerInstance(
  db: Kysely<Schema>,
  { instanceId, apiUrl, isConfirmed, name, controlTotals }: RegisteredInstance,
): Promise<void> {
  await inTransaction({ db, lease: null }, async (trx) => {
    await trx
      .updateTable('instances')
      .set((eb) => ({
        name: eb.fn.coalesce(eb.val(name), 'name'),
        api_url: eb.fn.coalesce('api_url', eb.val(isConfirmed ? apiUrl : null)),
        control_totals: controlTotals,
      }))
      .where('instance_id', '=', instanceId)
      .execute();
    await requireApiUrl(trx, { instanceId, apiUrl });
  });
}

/** Records what a run has found of an instance. */
export async function updateInstance(ledger: LedgerWriter, changes: Updateable<Instances>): Promise<void> {
  const { instanceId } = ledger;
  await inTransaction(ledger, async (trx) => {
    await trx.updateTable('instances').set(changes).where('instance_id', '=', instanceId).execute();
  });
}
