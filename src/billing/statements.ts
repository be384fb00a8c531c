import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';
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
}

/** Returns the statements of a month, of all instances or one, in the order in which they were made. */
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
    ])
    .where('period_month', '=', `${month}-01`)
    .orderBy('instance_id')
    .orderBy('number');
  if (instanceId !== null) query = query.where('instance_id', '=', instanceId);
  const rows = await query.execute();
  return rows.map(({ manifest_sha256, ...statement }) => ({
    ...statement,
    month,
    manifestSha256: manifest_sha256.toString('hex'),
  }));
}

/** A period that shares days with a period of another closed month. */
export interface Overlap {
  readonly orgId: string;
  readonly orgName: string;
  readonly periodStart: UsageDay;
  readonly periodEnd: UsageDay;
  readonly closedMonth: Month;
}

/** Returns the first period that shares a day with another closed month, or null. A day is billed once. */
export async function findOverlap(db: Kysely<Schema>, statementId: string): Promise<Overlap | null> {
  const found = await db
    .selectFrom((eb) =>
      eb
        .selectFrom('statement_lines')
        .select(['org_id', 'org_name', 'period_start', 'period_end'])
        .distinct()
        .where('statement_id', '=', statementId)
        .as('l'),
    )
    .innerJoin('statement_lines as o', (join) =>
      join
        .onRef('o.org_id', '=', 'l.org_id')
        .on('o.statement_id', '<>', statementId)
        .onRef('o.period_start', '<=', 'l.period_end')
        .onRef('o.period_end', '>=', 'l.period_start'),
    )
    .innerJoin('statements as s', 's.statement_id', 'o.statement_id')
    .select(['l.org_id as orgId', 'l.org_name as orgName', 's.period_month'])
    .select(['l.period_start as periodStart', 'l.period_end as periodEnd'])
    .where((eb) =>
      eb.or([
        eb('o.period_start', '<>', eb.ref('l.period_start')),
        eb('o.period_end', '<>', eb.ref('l.period_end')),
      ]),
    )
    .orderBy('l.org_id')
    .orderBy('l.period_start')
    .limit(1)
    .executeTakeFirst();
  if (found === undefined) return null;
  const { period_month, ...overlap } = found;
  return { ...overlap, closedMonth: period_month.slice(0, 7) };
}

/** The total of a statement for one metric. */
export interface StatementTotal {
  readonly metric: string;
  readonly unit: string;
  readonly kind: 'flow' | 'level';
  readonly orgs: number;
  /** The quantity as text, because it may exceed a JavaScript number; null if none is stored. */
  readonly quantity: string | null;
}

export async function readTotals(db: Kysely<Schema>, statementId: string): Promise<StatementTotal[]> {
  return await db
    .selectFrom('statement_lines as l')
    .innerJoin('metrics as m', 'm.metric', 'l.metric')
    .select((eb) => [
      'l.metric',
      'l.unit',
      eb.ref('l.kind').$castTo<StatementTotal['kind']>().as('kind'),
      eb.fn.count<number>('l.org_id').distinct().as('orgs'),
      eb.fn.sum<string | null>('l.quantity').as('quantity'),
    ])
    .where('l.statement_id', '=', statementId)
    .groupBy(['l.metric', 'l.unit', 'l.kind', 'm.position'])
    .orderBy('m.position')
    .execute();
}

/** A line of a statement, with the columns that people read. */
export interface StatementLine {
  readonly orgId: string;
  readonly orgName: string;
  readonly periodStart: UsageDay;
  readonly periodEnd: UsageDay;
  readonly metric: string;
  readonly unit: string;
  /** The quantity as text, because it may exceed a JavaScript number; null if none is stored. */
  readonly quantity: string | null;
  readonly total: string | null;
  readonly daysExpected: number;
  readonly daysStored: number;
  readonly isBillable: boolean;
}

export async function readLines(db: Kysely<Schema>, statementId: string): Promise<StatementLine[]> {
  return await db
    .selectFrom('statement_lines as l')
    .innerJoin('metrics as m', 'm.metric', 'l.metric')
    .select(['l.org_id as orgId', 'l.org_name as orgName', 'l.metric', 'l.unit'])
    .select(['l.period_start as periodStart', 'l.period_end as periodEnd'])
    .select(['l.days_expected as daysExpected', 'l.days_stored as daysStored'])
    .select('l.is_billable as isBillable')
    .select([
      sql<string | null>`l.quantity::text`.as('quantity'),
      sql<string | null>`l.total::text`.as('total'),
    ])
    .where('l.statement_id', '=', statementId)
    .orderBy('l.org_name')
    .orderBy('l.org_id')
    .orderBy('l.period_start')
    .orderBy('m.position')
    .execute();
}
