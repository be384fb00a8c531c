import { type InferResult, type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { DayRange } from '../usage/day.ts';

/** `pending`: a number of either side is not stored yet. */
export type Outcome = 'equal' | 'difference' | 'pending' | 'not_compared';

/** A row of the view `reconciliation`. Sums are text, because they may exceed 2^53. */
export type Comparison = InferResult<ReturnType<typeof selectComparisons>>[number];

const toText = (column: string) => sql<string | null>`${sql.ref(column)}::text`;

/** Selects the comparisons that are not equal, newest day first. */
export function selectComparisons(db: Kysely<Schema>, { from, to }: DayRange) {
  return db
    .selectFrom('reconciliation as r')
    .innerJoin('metrics as m', 'm.metric', 'r.metric')
    .select(['r.usage_date as day', 'r.stream', 'r.metric', 'r.unit', 'r.compared_with as comparedWith'])
    .select([toText('r.quantity').as('quantity'), toText('r.losant_total').as('losantTotal')])
    .select([toText('r.compared_quantity').as('comparedQuantity'), toText('r.difference').as('difference')])
    .select(['r.orgs_missing as orgsMissing', 'r.orgs_differing as orgsDiffering', 'r.reason'])
    .select(['r.is_settled as isSettled', 'r.last_read_at as lastReadAt'])
    .select((eb) => eb.ref('r.outcome').$castTo<Outcome>().as('outcome'))
    .where((eb) => eb.between('r.usage_date', from, to))
    .where('r.outcome', '<>', 'equal')
    .orderBy('r.usage_date', 'desc')
    .orderBy('m.position')
    .orderBy('r.compared_with');
}

/** Counts the days that have comparisons, the comparisons, and those of each outcome. */
export async function countComparisons(db: Kysely<Schema>, { from, to }: DayRange) {
  return await db
    .selectFrom('reconciliation')
    .select(({ fn }) => [
      fn.countAll<number>().filterWhere('outcome', '=', 'difference').as('differences'),
      fn.countAll<number>().filterWhere('outcome', '=', 'pending').as('pending'),
      fn.countAll<number>().filterWhere('outcome', '=', 'not_compared').as('notCompared'),
      fn.count<number>(sql`distinct usage_date`).as('days'),
      fn.countAll<number>().as('comparisons'),
      fn.countAll<number>().filterWhere('outcome', '=', 'equal').as('equal'),
    ])
    .where((eb) => eb.between('usage_date', from, to))
    .executeTakeFirstOrThrow();
}
