/** Cells that are not all right: gaps, and what is known never to come. */
import { type Kysely, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { eachDay, type UsageDay } from '../usage/day.ts';
import type { Standing } from '../usage/standing.ts';

/** A cell that is in doubt or missing, or unavailable or accepted. Without a next read it is not read again. */
export interface Gap {
  readonly instanceId: string;
  readonly orgId: string;
  readonly orgName: string;
  readonly stream: string;
  readonly day: UsageDay;
  readonly standing: Standing;
  readonly reason: string;
  readonly message: string | null;
  readonly nextReadAt: string | null;
}

export interface GapScope {
  /** The instances in the settings: the gaps of others are nobody's. */
  readonly instanceIds: readonly string[];
  /** Whether to include what is unavailable or accepted, which is no gap. */
  readonly withKnown: boolean;
}

/** Returns the gaps, newest day first; then what is unavailable or accepted. */
export async function readGaps(db: Kysely<Schema>, { instanceIds, withKnown }: GapScope): Promise<Gap[]> {
  const known = sql`
    union all
    select c.instance_id, c.org_id, o.name, c.stream, c.usage_date, c.standing, c.reason, c.message, c.next_read_at, 2
    from losant_usage.cells c join losant_usage.organizations o on o.org_id = c.org_id
    where c.standing in ('unavailable', 'accepted')`;
  const { rows } = await sql<Gap>`
    select g.instance_id as "instanceId", g.org_id as "orgId", g.org_name as "orgName", g.stream, g.usage_date as day,
      g.standing, g.reason, g.message, g.next_read_at as "nextReadAt"
    from (
      select instance_id, org_id, org_name, stream, usage_date, standing, reason, message, next_read_at, 1 as place
      from losant_usage.coverage_gaps ${withKnown ? known : sql``}
    ) as g
    where ${isAny('g.instance_id', instanceIds)}
    order by g.place, g.usage_date desc, g.instance_id, g.org_id, g.stream`.execute(db);
  return rows;
}

/** The cells of a stream of an organization that share a standing and a reason. */
export type OpenCells = Awaited<ReturnType<typeof readOpenCells>>[number];

/** Returns the cells of an organization up to yesterday that are not final, the worst and newest first. */
export async function readOpenCells(db: Kysely<Schema>, orgId: string) {
  const { first, last } = await db
    .selectFrom('tracks')
    .select(({ fn }) => [
      fn.min('first_day').as('first'),
      sql<UsageDay>`(now() at time zone 'UTC')::date - 1`.as('last'),
    ])
    .where('org_id', '=', orgId)
    .executeTakeFirstOrThrow();
  // Days are given one by one, so that each row of the ledger is looked up by its key.
  const days = first === null ? [] : eachDay({ from: first, to: last });
  return await db
    .selectFrom('cells')
    .select(['stream', 'standing', 'reason'])
    .select(({ fn }) => [
      fn.min('message').as('message'),
      fn.min('usage_date').as('first'),
      fn.max('usage_date').as('last'),
      fn.countAll<number>().as('days'),
      /** Whether any of them is read again. */
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
