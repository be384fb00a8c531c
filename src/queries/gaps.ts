import { type InferResult, type Kysely, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { eachDay, type UsageDay } from '../usage/day.ts';

/** A cell that is in doubt, missing, unavailable or waived. `nextReadAt` is null if no read is planned. */
export type Gap = InferResult<ReturnType<typeof selectGaps>>[number];

export interface GapScope {
  /** The instances in the settings; gaps of others are not reported. */
  readonly instanceIds: readonly string[];
  /** Whether to include unavailable and waived cells, which are not gaps. */
  readonly includeResolved: boolean;
  /** Whether the days of a stream of an organization follow each other; by default, the newest day is first. */
  readonly isByStream: boolean;
}

/** Selects the gaps, then the unavailable and waived cells. No run reads those of a retired instance. */
export function selectGaps(db: Kysely<Schema>, { instanceIds, includeResolved, isByStream }: GapScope) {
  // The view of gaps has the same columns, and is fast because it reads no other cells.
  const view = (includeResolved ? 'cells as c' : 'coverage_gaps as c') as 'cells as c';
  return db
    .selectFrom(view)
    .innerJoin('organizations as o', 'o.org_id', 'c.org_id')
    .innerJoin('instances as i', 'i.instance_id', 'c.instance_id')
    .select(['c.instance_id as instanceId', 'c.org_id as orgId', 'o.name as orgName', 'c.stream'])
    .select(['c.usage_date as day', 'c.standing', 'c.reason', 'c.detail'])
    .select(sql<Instant | null>`case when i.retired_at is null then c.next_read_at end`.as('nextReadAt'))
    .where('c.standing', 'in', ['in_doubt', 'missing', 'unavailable', 'waived'])
    .where(isAny('c.instance_id', instanceIds))
    .orderBy((eb) => eb('c.standing', 'in', ['unavailable', 'waived']))
    .$if(!isByStream, (rows) => rows.orderBy('c.usage_date', 'desc'))
    .orderBy('c.instance_id')
    .orderBy('c.org_id')
    .orderBy('c.stream')
    .orderBy('c.usage_date', 'desc');
}

/** An instance of which no cell is tracked yet. */
export type NeverReadInstance = Awaited<ReturnType<typeof readNeverReadInstances>>[number];

/** The first attempt is null if no run has tried to read the instance. */
export async function readNeverReadInstances(db: Kysely<Schema>, instanceIds: readonly string[]) {
  const triedInstances = await db
    .selectFrom('health')
    .select(['instance_id as instanceId', 'first_attempt_at as neverReadSince', 'last_error as lastError'])
    .where('stream', 'is', null)
    .where(isAny('instance_id', instanceIds))
    .orderBy('instance_id')
    .execute();
  const { untriedInstances } = await compareWithSettings(db, instanceIds);
  return [
    ...triedInstances,
    ...untriedInstances.map((instanceId) => ({ instanceId, neverReadSince: null, lastError: null })),
  ];
}

/** Returns the instances that are only in the settings, or only in the database. */
export async function compareWithSettings(db: Kysely<Schema>, instanceIds: readonly string[]) {
  const rows = await db
    .selectFrom('instances')
    .select(['instance_id as id', 'retired_at as retiredAt'])
    .orderBy('instance_id')
    .execute();
  const idsInUse = rows.flatMap(({ id, retiredAt }) => (retiredAt === null ? [id] : []));
  const triedIds = new Set(rows.map(({ id }) => id));
  return {
    /** IDs in the settings that no run has tried to read; none as long as the database has no instance in use. */
    untriedInstances: idsInUse.length === 0 ? [] : instanceIds.filter((id) => !triedIds.has(id)),
    /** IDs that are not in the settings and were not retired. */
    unconfiguredInstances: idsInUse.filter((id) => !instanceIds.includes(id)),
  };
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
