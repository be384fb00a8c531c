import { type Kysely, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
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

/**
 * Two numbers that should be equal: a row of the view `reconciliation`, with quantities as text because sums pass
 * 2^53. The day is null for `org_month`, the organization for `instance_day`, a count where it means nothing.
 */
export type Comparison = Awaited<ReturnType<typeof readRows>>[number];

export interface ReconciliationScope {
  readonly range: DayRange;
  /** The instances; null for all. */
  readonly instanceIds: readonly string[] | null;
  /** Whether to return rows that agree too. */
  readonly withEqual: boolean;
}

/** The comparisons of a range, and those of them that differ or could not be made. */
export type Reconciliation = Awaited<ReturnType<typeof readReconciliation>>;

export interface MonthNotRead {
  readonly instanceId: string;
  readonly month: UsageDay;
  readonly reason: string;
}

/**
 * `readReconciliation` compares the days of the range and each month that it touches, one by one,
 * which is faster.
 */
export async function readReconciliation(db: Kysely<Schema>, scope: ReconciliationScope) {
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
    days = days.where(isAny('instance_id', instanceIds));
    summaries = summaries.where(isAny('instance_id', instanceIds));
  }
  const monthsCompared = await summaries.execute();
  const rows = [...(await readRows(db, scope, 'instance_day')), ...(await readRows(db, scope, 'org_day'))];
  for (const { month } of monthsCompared) rows.push(...(await readRows(db, scope, 'org_month', month)));
  return {
    /** The number of usage days of instances whose totals were read. */
    daysCompared: (await days.execute()).length,
    /** Summaries of organizations, by month. */
    monthsCompared,
    /** Months that are over and tracked whose summaries were not read in full, with the reason as a code. */
    monthsNotRead: await readMonthsNotRead(db, scope),
    rows,
  };
}

/** `readMonthsNotRead` returns months of the range that nothing was compared of, or not all. */
async function readMonthsNotRead(
  db: Kysely<Schema>,
  { range, instanceIds }: ReconciliationScope,
): Promise<MonthNotRead[]> {
  const { rows } = await sql<MonthNotRead>`
    select first.instance_id as "instanceId", m.month, coalesce(w.reason, 'not_read') as reason
    from (
      select o.instance_id, min(k.tracked_from) as day from losant_usage.tracking k
      join losant_usage.organizations o on o.org_id = k.org_id group by o.instance_id
    ) as first
    join losant_usage.months m on m.next_month > greatest(first.day, ${range.from}::date)
      and m.month <= ${range.to}::date and m.next_month <= (now() at time zone 'UTC')::date
    left join losant_usage.control_total_reads w on w.instance_id = first.instance_id
      and w.question = 'monthly_summaries ' || to_char(m.month, 'YYYY-MM')
    where (w.verified_at is null or w.reason is not null)
      and (${instanceIds}::text[] is null or first.instance_id = any (${instanceIds}::text[]))
    order by 1, 2`.execute(db);
  return rows;
}

async function readRows(
  db: Kysely<Schema>,
  { range, instanceIds, withEqual }: ReconciliationScope,
  scope: Scope,
  month?: UsageDay,
) {
  let rows = db
    .selectFrom('reconciliation as r')
    .innerJoin('metrics as m', 'm.metric', 'r.metric')
    .select(['r.instance_id as instanceId', 'r.month', 'r.usage_date as day', 'r.org_id as orgId'])
    .select(['r.org_name as orgName', 'r.is_listed as isListed', 'r.metric', 'r.unit', 'r.quantity'])
    .select(['r.total', 'r.difference', 'r.orgs_missing as orgsMissing', 'r.orgs_removed as orgsRemoved'])
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
  if (instanceIds !== null) rows = rows.where(isAny('r.instance_id', instanceIds));
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

/** The final numbers that differ by instance id. */
export type Differences = Awaited<ReturnType<typeof countDifferences>>;

type DifferenceCount = Pick<Comparison, 'instanceId' | 'scope' | 'month'> & { readonly count: number };

/** The counts of months that were counted before, by first day, the one counted longest ago first. */
export type CountedMonths = Map<UsageDay, readonly DifferenceCount[]>;

/** The days within which a day or a month is read for the last time, 30 days after its end. */
const RECENT_DAYS = 35;
/** The number of older open months counted anew at once: each takes seconds with many organizations. */
const RECOUNTED_AT_ONCE = 3;

/**
 * `readOpenMonths` returns the first days of the months of which control totals are stored and that are
 * not closed for each instance, newest first.
 */
export async function readOpenMonths(db: Kysely<Schema>): Promise<UsageDay[]> {
  const { rows } = await sql<{ month: UsageDay }>`
    select distinct t.month from (
      select instance_id, date_trunc('month', usage_date::timestamp)::date as month from losant_usage.instance_totals
      union
      select instance_id, month from losant_usage.monthly_summaries
    ) as t
    where not exists (select from losant_usage.statements s
      where s.instance_id = t.instance_id and s.period_month = t.month)
    order by t.month desc`.execute(db);
  return rows.map(({ month }) => month);
}

/**
 * `countDifferences` counts the final numbers that differ in the last five weeks and in all months that
 * are not closed. Of months before these weeks it counts those that are not in `counted` and a few of
 * those that are, and keeps it up to date.
 */
export async function countDifferences(
  db: Kysely<Schema>,
  nowMs: number,
  counted: CountedMonths = new Map(),
) {
  const yesterday = addDays(dayAt(nowMs), -1);
  const weeks = addDays(yesterday, 1 - RECENT_DAYS);
  const first = daysOfMonth(weeks.slice(0, 7)).from;
  const open = await readOpenMonths(db);
  const recent = { from: open.includes(first) ? first : weeks, to: yesterday };
  const older = open.filter((month) => month < first);
  for (const month of counted.keys()) if (!older.includes(month)) counted.delete(month);
  const recounted = [...counted.keys()].slice(0, RECOUNTED_AT_ONCE);
  for (const month of [...older.filter((each) => !counted.has(each)), ...recounted]) {
    const counts = await countRange(db, daysOfMonth(month.slice(0, 7)));
    counted.delete(month);
    counted.set(month, counts);
  }
  const counts = [...(await countRange(db, recent)), ...[...counted.values()].flat()];
  const instances = await db.selectFrom('instances').select('instance_id').execute();
  return new Map(
    instances.map(({ instance_id }) => {
      const own = counts.filter(({ instanceId }) => instanceId === instance_id);
      return [instance_id, sumDifferences(own)];
    }),
  );
}

async function countRange(db: Kysely<Schema>, range: DayRange): Promise<DifferenceCount[]> {
  const { rows } = await readReconciliation(db, { range, instanceIds: null, withEqual: false });
  const differing = rows.filter(({ outcome }) => outcome === 'differs');
  const groups = Map.groupBy(differing, ({ instanceId, scope, month }) => `${instanceId} ${scope} ${month}`);
  return [...groups.values()].map((group) => {
    const { instanceId, scope, month } = group[0] as Comparison;
    return { instanceId, scope, month, count: group.length };
  });
}

function sumDifferences(counts: readonly DifferenceCount[]) {
  const sums = { instance_day: 0, org_day: 0, org_month: 0 };
  for (const { scope, count } of counts) sums[scope] += count;
  return {
    counts: sums,
    /** The first days of the months in which they are, newest first. */
    months: [...new Set(counts.map(({ month }) => month))].sort().reverse(),
  };
}

/** A control total that could not be read; the question is a stream, or `monthly_summaries` and a month. */
export type ControlTotalProblem = Awaited<ReturnType<typeof readControlTotalProblems>>[number];

export async function readControlTotalProblems(db: Kysely<Schema>, instanceIds: readonly string[] | null) {
  let reads = db
    .selectFrom('control_total_reads')
    .select(['instance_id as instanceId', 'question', 'reason', 'message', 'next_read_at as nextReadAt'])
    .where('reason', 'is not', null)
    .$narrowType<{ reason: string }>()
    .orderBy('instance_id')
    .orderBy('question');
  if (instanceIds !== null) reads = reads.where(isAny('instance_id', instanceIds));
  return await reads.execute();
}
