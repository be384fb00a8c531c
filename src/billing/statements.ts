import type { Kysely } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { Month, PeriodSource } from '../usage/period.ts';

/** An instance that this database collects. */
export interface BilledInstance {
  readonly instanceId: string;
  readonly name: string | null;
  readonly source: PeriodSource;
}

export async function readBilledInstances(db: Kysely<Schema>): Promise<BilledInstance[]> {
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

/** A closed month of an instance. */
export interface StatementScope {
  readonly instanceId: string;
  readonly month: Month;
  readonly source: PeriodSource;
}

/** A closing or an adjustment of a month. */
export interface Statement extends StatementScope {
  readonly statementId: string;
  /** The place among all statements of the instance. */
  readonly number: number;
  readonly kind: 'closing' | 'adjustment';
  /** The reason for closing it although something blocked it; null if nothing did. */
  readonly reason: string | null;
  readonly orgs: number;
  /** The time of closing, to the millisecond. */
  readonly closedAt: Instant;
  readonly closedBy: string;
  /** The SHA-256 of the proof pack's manifest, in hex. */
  readonly manifestSha256: string;
  /** The SHA-256 of the manifest of the instance's statement before it, in hex; null of the first. */
  readonly previousSha256: string | null;
}

/**
 * `readStatements` returns the statements of a month, of all instances or one, in the order in which they
 * were made.
 */
export async function readStatements(
  db: Kysely<Schema>,
  { month, instanceId = null }: { readonly month: Month; readonly instanceId?: string | null },
): Promise<Statement[]> {
  let query = db
    .selectFrom('statements')
    .select((eb) => [
      'statement_id as statementId',
      'instance_id as instanceId',
      'number',
      eb.ref('kind').$castTo<Statement['kind']>().as('kind'),
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
