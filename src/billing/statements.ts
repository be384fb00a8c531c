import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { Month, PeriodSource } from '../usage/period.ts';

/** An instance that this database collects. */
export type BilledInstance = Awaited<ReturnType<typeof readBilledInstances>>[number];

export async function readBilledInstances(db: Kysely<Schema>) {
  return await db
    .selectFrom('instances')
    .select((eb) => [
      'instance_id as instanceId',
      'name',
      eb.ref('billing_periods').$castTo<PeriodSource>().as('source'),
    ])
    .orderBy('instance_id')
    .execute();
}

/** A closing or an adjustment of a month, numbered by instance; hashes of manifests in hex. */
export type Statement = Awaited<ReturnType<typeof readStatements>>[number];

/**
 * `readStatements` returns the statements of a month, of all instances or one, in the order in which they
 * were made.
 */
export async function readStatements(
  db: Kysely<Schema>,
  { month, instanceId = null }: { readonly month: Month; readonly instanceId?: string | null },
) {
  let query = db
    .selectFrom('statements')
    .select((eb) => [
      'statement_id as statementId',
      'instance_id as instanceId',
      'number',
      eb.ref('kind').$castTo<'closing' | 'adjustment'>().as('kind'),
      eb.ref('source').$castTo<PeriodSource>().as('source'),
      'reason',
      'orgs',
      'closed_at as closedAt',
      'closed_by as closedBy',
      'manifest_sha256',
      'previous_sha256',
    ])
    .where('period_month', '=', `${month}-01`)
    .orderBy('instance_id')
    .orderBy('number');
  if (instanceId !== null) query = query.where('instance_id', '=', instanceId);
  const rows = await query.execute();
  return rows.map(({ manifest_sha256, previous_sha256, ...statement }) => ({
    ...statement,
    month,
    // Only the transaction that closes it sees one without.
    manifestSha256: manifest_sha256?.toString('hex') ?? '',
    previousSha256: previous_sha256?.toString('hex') ?? null,
  }));
}
