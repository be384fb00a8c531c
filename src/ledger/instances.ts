import { type Kysely, type RawBuilder, sql, type UpdateObject } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { DatabaseError, SettingsError } from '../errors.ts';
import { toStorableText } from '../usage/body.ts';
import type { UsageDay } from '../usage/day.ts';
import { inTransaction, type LedgerWriter } from './lease.ts';

/** Returns null if no run has tried to read the instance into this database. */
export async function readInstance(db: Kysely<Schema>, instanceId: string) {
  const row = await db
    .selectFrom('instances')
    .select(['api_url as apiUrl', 'listed_at as listedAt', 'list_problem as listProblem'])
    .select('new_orgs_from as newOrgsFrom')
    .where('instance_id', '=', instanceId)
    .executeTakeFirst();
  return row ?? null;
}

export type NamedInstance = Awaited<ReturnType<typeof readNamedInstances>>[number];

/** Returns every instance of the database, also one that was retired. */
export async function readNamedInstances(db: Kysely<Schema>) {
  return await db
    .selectFrom('instances')
    .select(['instance_id as instanceId', 'name'])
    .orderBy('instance_id')
    .execute();
}

/** Records that a run tries to read the instance. The first attempt adds it; a later one ends a retirement. */
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

/** Records why an attempt failed; null if it did not. */
export async function recordAttemptError(db: Kysely<Schema>, instanceId: string, error: string | null): Promise<void> {
  await updateInstance({ db, instanceId, lease: null }, { last_error: error && toStorableText(error) });
}

/** Also releases the API of the instance. */
export async function recordRetirement(ledger: Pick<LedgerWriter, 'db' | 'lease' | 'instanceId'>): Promise<void> {
  await updateInstance(ledger, { retired_at: CLOCK, api_url: null });
}

/** Throws SettingsError if the database has no such instance. */
export async function requireInstance(db: Kysely<Schema>, instanceId: string): Promise<void> {
  if ((await readInstance(db, instanceId)) !== null) return;
  throw new SettingsError(`The database has no instance ${instanceId}`, {
    hint: 'losant-usage status lists the instances that are not in the settings',
  });
}

interface InstanceRegistration {
  readonly instanceId: string;
  readonly apiUrl: string;
  /** Whether a response of this API confirmed the instance, which is then loaded from no other API. */
  readonly isConfirmed: boolean;
  /** Null if it could not be read; the stored name stays. */
  readonly name: string | null;
  readonly controlTotals: 'block' | 'show';
}

/** Throws DatabaseError `database_mismatch` if the stored numbers of the instance come from another API. */
export async function requireApiUrl(
  db: Kysely<Schema>,
  { instanceId, apiUrl }: Pick<InstanceRegistration, 'instanceId' | 'apiUrl'>,
): Promise<void> {
  const pinnedUrl = (await readInstance(db, instanceId))?.apiUrl ?? apiUrl;
  if (pinnedUrl === apiUrl) return;
  throw new DatabaseError(
    'database_mismatch',
    `Instance ${instanceId} was loaded from ${pinnedUrl}, not from ${apiUrl}`,
    {
      hint:
        'correct LOSANT_API_URL, or use another database if this is another Losant; if Losant has a new address, see ' +
        'docs/runbook.md',
    },
  );
}

/** Pins the API of a confirmed instance. Throws DatabaseError `database_mismatch` if another one is pinned. */
export async function registerInstance(
  db: Kysely<Schema>,
  { instanceId, apiUrl, isConfirmed, name, controlTotals }: InstanceRegistration,
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

/** Changes what is known about the instance. Returns false, and writes nothing, if nothing differs. */
export async function updateInstance(
  { instanceId, ...ledger }: Pick<LedgerWriter, 'db' | 'lease' | 'instanceId'>,
  changes: UpdateObject<Schema, 'instances'>,
): Promise<boolean> {
  const differences = Object.entries(changes).map(
    ([column, value]) => sql<boolean>`${sql.ref(column)} is distinct from ${value}`,
  );
  const { numUpdatedRows } = await inTransaction(ledger, (trx) =>
    trx
      .updateTable('instances')
      .set(changes)
      .where('instance_id', '=', instanceId)
      .where((eb) => eb.or(differences))
      .executeTakeFirstOrThrow(),
  );
  return numUpdatedRows > 0n;
}

/** In a transaction of its own, because it waits for the loads that have invalidated the sums of the day. */
export async function computeOurSums(ledger: Pick<LedgerWriter, 'db' | 'lease' | 'instanceId'>, day: UsageDay) {
  const { db, lease, instanceId } = ledger;
  await inTransaction({ db, lease }, (trx) =>
    sql`select losant_usage_internal.compute_our_sums(${instanceId}, ${day})`.execute(trx),
  );
}

/** Adds the totals of cells that were created or moved here, and invalidates those that another transaction added. */
export async function addTotals(trx: Kysely<Schema>, cells: RawBuilder<unknown>): Promise<void> {
  await sql`
    insert into losant_usage.instance_totals as t (instance_id, usage_date, metric)
    select distinct o.instance_id, c.usage_date, m.metric
    from (${cells}) as c
    join losant_usage.organizations o on o.org_id = c.org_id
    join losant_usage.metrics m on m.stream = c.stream
    order by o.instance_id, c.usage_date, m.metric
    on conflict (instance_id, usage_date, metric) do update set our_sum = null where t.our_sum is not null`.execute(
    trx,
  );
}
