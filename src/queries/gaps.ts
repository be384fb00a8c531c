import { type InferResult, type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { eachDay, type UsageDay } from '../usage/day.ts';

/** A cell that is in doubt, missing, unavailable or waived. `nextReadAt` is null if no read is planned. */
export type Gap = InferResult<ReturnType<typeof selectGaps>>[number];

interface GapScope {
  /** Whether to include unavailable and waived cells, which are not gaps. */
  readonly includesResolved: boolean;
  /** Whether the days of a stream of an organization follow each other; if not, the newest day is first. */
  readonly isByStream: boolean;
}

/** Selects the gaps, then the unavailable and waived cells. */
export function selectGaps(db: Kysely<Schema>, { includesResolved, isByStream }: GapScope) {
  // The view of gaps has the same columns, and is fast because it reads no other cells.
  const view = (includesResolved ? 'cells as c' : 'coverage_gaps as c') as 'cells as c';
  return db
    .selectFrom(view)
    .innerJoin('organizations as o', 'o.org_id', 'c.org_id')
    .select(['c.org_id as orgId', 'o.name as orgName', 'c.stream', 'c.usage_date as day'])
    .select(['c.standing', 'c.reason', 'c.detail', 'c.next_read_at as nextReadAt'])
    .where('c.standing', 'in', ['in_doubt', 'missing', 'unavailable', 'waived'])
    .orderBy((eb) => eb('c.standing', 'in', ['unavailable', 'waived']))
    .$if(!isByStream, (rows) => rows.orderBy('c.usage_date', 'desc'))
    .orderBy('c.org_id')
    .orderBy('c.stream')
    .orderBy('c.usage_date', 'desc');
}

/** The cells of a stream of an organization that share a standing and a reason. */
export type NonFinalCells = Awaited<ReturnType<typeof readNonFinalCells>>[number];

/** Returns the cells of an organization through yesterday that are not final, worst and newest first. */
export async function readNonFinalCells(db: Kysely<Schema>, orgId: string) {
  const { first, last } = await db
    .selectFrom('tracks')
    .select(({ fn }) => [
      fn.min('first_day').as('first'),
      sql<UsageDay>`(now() at time zone 'UTC')::date - 1`.as('last'),
    ])
    .where('org_id', '=', orgId)
    .executeTakeFirstOrThrow();
  // An array of days, because Postgres then looks up each cell by its key.
  const days = first === null ? [] : eachDay({ from: first, to: last });
  return await db
    .selectFrom('cells')
    .select(['stream', 'standing', 'reason'])
    .select(({ fn }) => [
      fn.min('detail').as('detail'),
      fn.min('usage_date').as('first'),
      fn.max('usage_date').as('last'),
      fn.countAll<number>().as('days'),
      // Null if none of them is read again.
      fn.max('next_read_at').as('nextReadAt'),
    ])
    .where('org_id', '=', orgId)
    .where(sql<boolean>`usage_date = any (${days}::date[])`)
    .where('standing', '<>', 'final')
    .groupBy(['stream', 'standing', 'reason'])
    .orderBy('standing', 'desc')
    .orderBy('last', 'desc')
    .orderBy('stream')
    .execute();
}
