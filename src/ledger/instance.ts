/** The one row of `instance`: which Losant instance the database belongs to, and what is known about it. */
import { type Kysely, sql, type UpdateObject } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { DatabaseError, SettingsError } from '../errors.ts';
import { toStorableText } from '../usage/body.ts';
import type { UsageDay } from '../usage/day.ts';
import { inTransaction, type LedgerWriter } from './lease.ts';

/** Returns null if no run has tried to read the instance into this database. */
export async function readInstance(db: Kysely<Schema>) {
  const row = await db
    .selectFrom('instance')
    .select(['instance_id as instanceId', 'name', 'api_url as apiUrl', 'listed_at as listedAt'])
    .select(['list_problem as listProblem', 'new_orgs_from as newOrgsFrom'])
    .executeTakeFirst();
  return row ?? null;
}

interface InstanceSettings {
  readonly instanceId: string;
  readonly apiUrl: string;
}

/**
 * Throws SettingsError if the database belongs to another instance, and DatabaseError `database_mismatch` if its
 * numbers come from another API.
 */
export async function requireInstance(db: Kysely<Schema>, { instanceId, apiUrl }: InstanceSettings): Promise<void> {
  const instance = await readInstance(db);
  if (instance === null) return;
  if (instance.instanceId !== instanceId) {
    throw new SettingsError(
      `This database belongs to instance ${instance.instanceId}; LOSANT_INSTANCE_ID is ${instanceId}. ` +
        'Use another database for another instance.',
      { hint: 'correct LOSANT_INSTANCE_ID or DATABASE_URL' },
    );
  }
  const pinnedUrl = instance.apiUrl ?? apiUrl;
  if (pinnedUrl === apiUrl) return;
  throw new DatabaseError('database_mismatch', `The usage was loaded from ${pinnedUrl}, not from ${apiUrl}`, {
    hint:
      'correct LOSANT_API_URL, or use another database if this is another Losant; if Losant has a new address, see ' +
      'docs/runbook.md',
  });
}

/** Records that a run tries to read the instance. The first attempt adds it. */
export async function recordAttempt(db: Kysely<Schema>, instanceId: string): Promise<void> {
  await inTransaction({ db, lease: null }, async (trx) => {
    await trx
      .insertInto('instance')
      .values({ instance_id: instanceId })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ last_attempt_at: CLOCK }))
      .execute();
  });
}

/** Records why an attempt failed; null if it did not. */
export async function recordAttemptError(db: Kysely<Schema>, error: string | null): Promise<void> {
  await updateInstance({ db, lease: null }, { last_error: error && toStorableText(error) });
}

interface Confirmation {
  readonly apiUrl: string;
  /** Whether a response of this API confirmed the instance, which is then loaded from no other API. */
  readonly isConfirmed: boolean;
  /** Null if it could not be read; the stored name stays. */
  readonly name: string | null;
  readonly controlTotals: 'block' | 'show';
}

/** Pins the API of a confirmed instance, unless another run has. */
export async function confirmInstance(db: Kysely<Schema>, confirmation: Confirmation): Promise<void> {
  const { apiUrl, isConfirmed, name, controlTotals } = confirmation;
  await updateInstance(
    { db, lease: null },
    {
      name: sql<string | null>`coalesce(${name}::text, name)`,
      api_url: sql<string | null>`coalesce(api_url, ${isConfirmed ? apiUrl : null}::text)`,
      control_totals: controlTotals,
    },
  );
}

/** Changes what is known about the instance. Returns false, and writes nothing, if nothing differs. */
export async function updateInstance(
  ledger: Pick<LedgerWriter, 'db' | 'lease'>,
  changes: UpdateObject<Schema, 'instance'>,
): Promise<boolean> {
  const differences = Object.entries(changes).map(
    ([column, value]) => sql<boolean>`${sql.ref(column)} is distinct from ${value}`,
  );
  const { numUpdatedRows } = await inTransaction(ledger, (trx) =>
    trx
      .updateTable('instance')
      .set(changes)
      .where((eb) => eb.or(differences))
      .executeTakeFirstOrThrow(),
  );
  return numUpdatedRows > 0n;
}

/** Whether the digest of a day, or of a later one, was sent. */
export async function isDigestSent(db: Kysely<Schema>, day: UsageDay): Promise<boolean> {
  const row = await db.selectFrom('instance').select('digest_on').executeTakeFirst();
  return row?.digest_on != null && row.digest_on >= day;
}

/** Records that the digest of a day was sent. */
export async function recordDigest(ledger: Pick<LedgerWriter, 'db' | 'lease'>, day: UsageDay): Promise<void> {
  await updateInstance(ledger, { digest_on: day });
}
