import type { Kysely } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { addDays, type DayRange, dayAt, type UsageDay } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';

export const SCOPES = ['instance_day', 'org_day', 'org_month'] as const;
/**
 * The two sides of a comparison: organizations' sum and instance, two metrics of an organization, or a
 * month and its summary.
 */
export type Scope = (typeof SCOPES)[number];

/** `pending`: something is not final, or the total is older than the newest number. */
export type Outcome = 'equal' | 'differs' | 'pending' | 'not_compared';

/** Two numbers that should be equal: a row of the view `reconciliation`. */
export interface Comparison {
  readonly scope: Scope;
  readonly instanceId: string;
  /** The first day of the month. */
  readonly month: UsageDay;
  /** The day; null for `org_month`. */
  readonly day: UsageDay | null;
  /** The organization; null for `instance_day`. */
  readonly orgId: string | null;
  readonly orgName: string | null;
  readonly isListed: boolean;
  readonly metric: string;
  readonly unit: string;
  /** The stored quantity, as text because sums pass 2^53; null if nothing is stored. */
  readonly quantity: string | null;
  /** Losant's total; null if Losant left it out. */
  readonly total: string | null;
  readonly difference: string | null;
  /** The number of organizations without a number; null where it means nothing for the scope. */
  readonly orgsMissing: number | null;
  readonly orgsRemoved: number | null;
  readonly daysMissing: number | null;
  readonly outcome: Outcome;
  /** Why it is pending or was not compared, as a code; null otherwise. */
  readonly reason: string | null;
  readonly verifiedAt: Instant | null;
}

export interface ReconciliationScope {
  readonly range: DayRange;
  /** The instances; null for all. */
  readonly instanceIds: readonly string[] | null;
  /** Whether to return rows that agree too. */
  readonly withEqual: boolean;
}

/** The comparisons of a range, and those of them that differ or could not be made. */
export interface Reconciliation {
  /** The number of usage days of instances whose totals were read. */
  readonly daysCompared: number;
  /** Summaries of organizations, by month. */
  readonly monthsCompared: readonly { readonly month: UsageDay; readonly organizations: number }[];
  readonly rows: readonly Comparison[];
}

/**
 * `readReconciliation` compares the days of the range and each month that it touches, one by one,
 * which is faster.
 */
export async function readReconciliation(
  db: Kysely<Schema>,
  scope: ReconciliationScope,
): Promise<Reconciliation> {
  const { range, instanceIds } = scope;
  let days = db
    .selectFrom('instance_totals')
    .select(['instance_id', 'usage_date'])
    .distinct()
    .where((eb) => eb.between('usage_date', range.from, range.to));
  let summaries = db
    .selectFrom('monthly_summaries')
    .select(['month', (eb) => eb.fn.countAll<number>().as('organizations')])
    .where('resource_type', '=', 'organization')
    .where('month', '>=', `${range.from.slice(0, 7)}-01`)
    .where('month', '<=', range.to)
    .groupBy('month')
    .orderBy('month');
  if (instanceIds !== null) {
    days = days.where((eb) => eb('instance_id', '=', eb.fn.any(eb.val(instanceIds))));
    summaries = summaries.where((eb) => eb('instance_id', '=', eb.fn.any(eb.val(instanceIds))));
  }
  const monthsCompared = await summaries.execute();
  const rows = [...(await readRows(db, scope, 'instance_day')), ...(await readRows(db, scope, 'org_day'))];
  for (const { month } of monthsCompared) rows.push(...(await readRows(db, scope, 'org_month', month)));
  return { daysCompared: (await days.execute()).length, monthsCompared, rows };
}

async function readRows(
  db: Kysely<Schema>,
  { range, instanceIds, withEqual }: ReconciliationScope,
  scope: Scope,
  month?: UsageDay,
): Promise<Comparison[]> {
  let rows = db
    .selectFrom('reconciliation as r')
    .innerJoin('metrics as m', 'm.metric', 'r.metric')
    .select(['r.instance_id as instanceId', 'r.month', 'r.usage_date as day', 'r.org_id as orgId'])
    .select([
      'r.org_name as orgName',
      'r.is_listed as isListed',
      'r.metric',
      'r.unit',
      'r.quantity',
      'r.total',
    ])
    .select(['r.difference', 'r.orgs_missing as orgsMissing', 'r.orgs_removed as orgsRemoved'])
    .select(['r.days_missing as daysMissing', 'r.reason', 'r.verified_at as verifiedAt'])
    .select((eb) => [
      eb.ref('r.scope').$castTo<Scope>().as('scope'),
      eb.ref('r.outcome').$castTo<Outcome>().as('outcome'),
    ])
    .where('r.scope', '=', scope)
    .orderBy('r.instance_id')
    .orderBy('r.usage_date', 'desc')
    .orderBy('r.month', 'desc')
    .orderBy('r.org_name')
    .orderBy('r.org_id')
    .orderBy('m.position');
  rows =
    month === undefined
      ? rows.where((eb) => eb.between('r.usage_date', range.from, range.to))
      : rows.where('r.month', '=', month);
  if (instanceIds !== null)
    rows = rows.where((eb) => eb('r.instance_id', '=', eb.fn.any(eb.val(instanceIds))));
  if (!withEqual) {
    rows = rows.where((eb) =>
      eb.or([
        eb('r.outcome', 'in', ['differs', 'not_compared']),
        eb.and([eb('r.outcome', '=', 'pending'), eb('r.difference', '<>', '0')]),
      ]),
    );
  }
  return await rows.execute();
}

/** The final numbers that differ, counted by instance id and scope. */
export type Differences = ReadonlyMap<string, Readonly<Record<Scope, number>>>;

/** The days within which a day or a month is read for the last time, 30 days after its end. */
const RECENT_DAYS = 35;
/** The number of months not closed that are compared: each takes seconds with many organizations. */
const OPEN_MONTHS_MAX = 3;

/**
 * `readDifferencesRange` returns the last five weeks, extended to the months that are not closed,
 * three at most.
 */
async function readDifferencesRange(db: Kysely<Schema>, nowMs: number): Promise<DayRange> {
  const yesterday = addDays(dayAt(nowMs), -1);
  const recent = addDays(yesterday, 1 - RECENT_DAYS);
  const months = [yesterday.slice(0, 7)];
  while (months.length <= OPEN_MONTHS_MAX) {
    months.push(addDays(daysOfMonth(months.at(-1) ?? '').from, -1).slice(0, 7));
  }
  const firsts = months.map((month) => daysOfMonth(month).from);
  const instances = await db.selectFrom('instances').select(['instance_id', 'tracked_from']).execute();
  const statements = await db
    .selectFrom('statements')
    .select(['instance_id', 'period_month'])
    .where('period_month', 'in', firsts)
    .execute();
  const isOpen = (first: UsageDay) =>
    instances.some(
      ({ instance_id, tracked_from }) =>
        tracked_from <= daysOfMonth(first.slice(0, 7)).to &&
        statements.every((each) => each.instance_id !== instance_id || each.period_month !== first),
    );
  const oldestOpen = firsts.filter(isOpen).at(-1) ?? recent;
  return { from: oldestOpen < recent ? oldestOpen : recent, to: yesterday };
}

/** `countDifferences` counts the final numbers that differ in the last weeks and in months that are not closed. */
export async function countDifferences(db: Kysely<Schema>, nowMs: number): Promise<Differences> {
  const range = await readDifferencesRange(db, nowMs);
  const { rows } = await readReconciliation(db, { range, instanceIds: null, withEqual: false });
  const instances = await db.selectFrom('instances').select('instance_id').execute();
  return new Map(
    instances.map(({ instance_id }) => {
      const own = rows.filter((row) => row.instanceId === instance_id && row.outcome === 'differs');
      const countOf = (of: Scope) => own.filter((row) => row.scope === of).length;
      return [
        instance_id,
        {
          instance_day: countOf('instance_day'),
          org_day: countOf('org_day'),
          org_month: countOf('org_month'),
        },
      ];
    }),
  );
}

/** A control total that could not be read. */
export interface ControlTotalProblem {
  readonly instanceId: string;
  /** The question: a stream, or `monthly_summaries` and a month. */
  readonly question: string;
  readonly reason: string;
  readonly message: string | null;
  readonly nextReadAt: Instant | null;
}

export async function readControlTotalProblems(
  db: Kysely<Schema>,
  instanceIds: readonly string[] | null,
): Promise<ControlTotalProblem[]> {
  let reads = db
    .selectFrom('control_total_reads')
    .select(['instance_id as instanceId', 'question', 'reason', 'message', 'next_read_at as nextReadAt'])
    .where('reason', 'is not', null)
    .$narrowType<{ reason: string }>()
    .orderBy('instance_id')
    .orderBy('question');
  if (instanceIds !== null)
    reads = reads.where((eb) => eb('instance_id', '=', eb.fn.any(eb.val(instanceIds))));
  return await reads.execute();
}
