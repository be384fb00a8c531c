import { type InferResult, type Kysely, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { addDays, type DayRange, type UsageDay } from '../usage/day.ts';

/** `pending`: a cell is not settled, a total not read, or a sum not computed yet. */
export type Outcome = 'equal' | 'differs' | 'pending' | 'not_compared';

/** A row of the view `reconciliation`. Sums are text, because they may exceed 2^53. */
export type Comparison = InferResult<ReturnType<typeof selectDifferences>>[number];

export interface ReconciliationScope {
  readonly instanceIds: readonly string[];
  readonly range: DayRange;
}

/** Selects the comparisons that are not equal, newest day first. */
export function selectDifferences(db: Kysely<Schema>, { instanceIds, range }: ReconciliationScope) {
  return db
    .selectFrom('reconciliation as r')
    .innerJoin('metrics as m', 'm.metric', 'r.metric')
    .select(['r.instance_id as instanceId', 'r.usage_date as day', 'r.stream', 'r.metric', 'r.unit'])
    .select(['r.compared_with as comparedWith', 'r.quantity', 'r.total', 'r.difference'])
    .select(['r.orgs_missing as orgsMissing', 'r.orgs_differing as orgsDiffering', 'r.reason'])
    .select(['r.last_read_at as lastReadAt', (eb) => eb.ref('r.outcome').$castTo<Outcome>().as('outcome')])
    .where(isAny('r.instance_id', instanceIds))
    .where((eb) => eb.between('r.usage_date', range.from, range.to))
    .where('r.outcome', '<>', 'equal')
    .orderBy('r.instance_id')
    .orderBy('r.usage_date', 'desc')
    .orderBy('m.position')
    .orderBy('r.compared_with');
}

/** Counts the days of instances that have comparisons, the comparisons, and those of each outcome. */
export async function countComparisons(db: Kysely<Schema>, { instanceIds, range }: ReconciliationScope) {
  return await db
    .selectFrom('reconciliation')
    .select(({ fn }) => [
      fn.countAll<number>().filterWhere('outcome', '=', 'differs').as('differences'),
      fn.countAll<number>().filterWhere('outcome', '=', 'pending').as('pending'),
      fn.countAll<number>().filterWhere('outcome', '=', 'not_compared').as('notCompared'),
      fn.count<number>(sql`distinct (instance_id, usage_date)`).as('days'),
      fn.countAll<number>().as('comparisons'),
      fn.countAll<number>().filterWhere('outcome', '=', 'equal').as('equal'),
    ])
    .where(isAny('instance_id', instanceIds))
    .where((eb) => eb.between('usage_date', range.from, range.to))
    .executeTakeFirstOrThrow();
}

/**
 * Returns the days of an instance on which a computed sum is not that of the stored numbers, oldest first. Reads month
 * by month: all of them would take longer than a statement may.
 */
export async function readWrongSums(db: Kysely<Schema>, instanceId: string) {
  const { rows: months } = await sql<{ month: UsageDay }>`
    select distinct date_trunc('month', usage_date::timestamp)::date as month
    from losant_usage.instance_totals where instance_id = ${instanceId} and our_sum is not null
    order by month`.execute(db);
  const days: { readonly day: UsageDay; readonly metrics: string[] }[] = [];
  for (const { month } of months) {
    const { rows } = await sql<(typeof days)[number]>`
      select t.usage_date as day, array_agg(t.metric::text order by t.metric) as metrics
      from (
        select distinct usage_date from losant_usage.instance_totals
        where instance_id = ${instanceId} and our_sum is not null
          and usage_date >= ${month}::date and usage_date < ${month}::date + interval '1 month'
      ) as d
      cross join lateral losant_usage_internal.metric_sums(${instanceId}, d.usage_date) as s
      join losant_usage.instance_totals t
        on t.instance_id = ${instanceId} and t.usage_date = d.usage_date and t.metric = s.metric
      where t.our_sum <> s.our_sum
      group by t.usage_date order by t.usage_date`.execute(db);
    days.push(...rows);
  }
  return days;
}

/** By default, cells and control totals of a day are read again within this time. */
const RECENT_DAYS = 30;

/** Returns the default: 30 days before `to`, or the oldest compared day of a month that is not closed, if earlier. */
export async function readReconcileStart(
  db: Kysely<Schema>,
  { instanceIds, to }: { instanceIds: readonly string[]; to: UsageDay },
): Promise<UsageDay> {
  const firstRecentDay = addDays(to, -RECENT_DAYS);
  const { oldest } = await db
    .selectFrom('instance_totals as t')
    .select((eb) => eb.fn.min('t.usage_date').as('oldest'))
    .where(isAny('t.instance_id', instanceIds))
    .where(sql<boolean>`not exists (
      select from losant_usage.statements s
      where s.instance_id = t.instance_id and s.month = date_trunc('month', t.usage_date::timestamp)::date)`)
    .executeTakeFirstOrThrow();
  return oldest === null || oldest > firstRecentDay ? firstRecentDay : oldest;
}
