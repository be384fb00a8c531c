import type { Kysely, Updateable } from 'kysely';
import type { Instances, Schema } from '../database/schema.ts';
import { DatabaseError } from '../errors.ts';
import { inTransaction, type LedgerWriter } from './lease.ts';

export type StoredInstance = NonNullable<Awaited<ReturnType<typeof readInstance>>>;

/** Returns null if no run has registered the instance in this database. */
export async function readInstance(db: Kysely<Schema>, instanceId: string) {
  const row = await db
    .selectFrom('instances')
    .select(['api_url as apiUrl', 'listed_at as listedAt', 'list_problem as listProblem'])
    .select(['new_orgs_from as newOrgsFrom', 'totals_problem as totalsProblem'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  return row ?? null;
}

interface InstanceRegistration {
  readonly instanceId: string;
  readonly apiUrl: string;
  /** Null if it could not be read; the stored name stays. */
  readonly name: string | null;
  readonly controlTotals: 'block' | 'show';
}

/** Throws DatabaseError `database_mismatch` if the stored numbers of the instance come from another API. */
export async function requireApiUrl(
  db: Kysely<Schema>,
  { instanceId, apiUrl }: Pick<InstanceRegistration, 'instanceId' | 'apiUrl'>,
): Promise<void> {
  const instance = await readInstance(db, instanceId);
  if (instance === null || instance.apiUrl === apiUrl) return;
  throw new DatabaseError(
    'database_mismatch',
    `Instance ${instanceId} was loaded from ${instance.apiUrl}, not from ${apiUrl}`,
    { hint: 'use another database for another API' },
  );
}

/** Adds the instance, or updates its name and settings. */
export async function registerInstance(
  db: Kysely<Schema>,
  { instanceId, apiUrl, name, controlTotals }: InstanceRegistration,
): Promise<void> {
  await inTransaction({ db, lease: null }, async (trx) => {
    await trx
      .insertInto('instances')
      .values({ instance_id: instanceId, api_url: apiUrl, name, control_totals: controlTotals })
      .onConflict((conflict) =>
        conflict.column('instance_id').doUpdateSet((eb) => ({
          name: eb.fn.coalesce('excluded.name', 'instances.name'),
          control_totals: eb.ref('excluded.control_totals'),
        })),
      )
      .execute();
  });
}

/** Records what a run has learned about the instance. */
export async function updateInstance(ledger: LedgerWriter, changes: Updateable<Instances>): Promise<void> {
  const { instanceId } = ledger;
  await inTransaction(ledger, async (trx) => {
    await trx.updateTable('instances').set(changes).where('instance_id', '=', instanceId).execute();
  });
}
