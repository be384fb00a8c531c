/** Cells that need attention: gaps, cells known to be missing, and the cells of one organization. */
import { type Kysely, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import type { ExportScope } from '../ledger/due.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { beginningOf, maySeeBodies } from './explain.ts';

/**
 * A tracked number that is in doubt, missing, unavailable or accepted. Without a next read, a cell that was never
 * read is read by the next run, any other not again.
 */
export type Gap = Awaited<ReturnType<typeof readGaps>>[number];

/** `readGaps` returns every gap, newest day first. */
export async function readGaps(db: Kysely<Schema>) {
  return await db
    .selectFrom('coverage_gaps')
    .select(['instance_id as instanceId', 'org_id as orgId', 'org_name as orgName', 'stream'])
    .select(['usage_date as day', 'standing', 'reason', 'message', 'next_read_at as nextReadAt'])
    .orderBy('usage_date', 'desc')
    .orderBy('instance_id')
    .orderBy('org_id')
    .orderBy('stream')
    .execute();
}

/**
 * `readKnownMissing` returns the cells that are unavailable or accepted and therefore no gaps, newest
 * day first.
 */
export async function readKnownMissing(db: Kysely<Schema>): Promise<Gap[]> {
  return await db
    .selectFrom('known_missing')
    .select(['instance_id as instanceId', 'org_id as orgId', 'org_name as orgName', 'stream'])
    .select(['usage_date as day', 'standing', 'reason', 'message'])
    .select((eb) => eb.lit(null).as('nextReadAt'))
    .orderBy('usage_date', 'desc')
    .orderBy('instance_id')
    .orderBy('org_id')
    .orderBy('stream')
    .execute();
}

/** `countGapsLeft` counts the gaps in the scope of a run that began at `startedAtMs`, at its end. */
export async function countGapsLeft(
  db: Kysely<Schema>,
  { instanceId, orgIds, streams, shard }: ExportScope,
  { startedAtMs, range }: { startedAtMs: number; range: DayRange | null },
) {
  const startedAt = new Date(startedAtMs).toISOString();
  let gaps = db
    .selectFrom('coverage_gaps')
    .select((eb) => {
      const isTried = eb('attempted_at', '>=', startedAt);
      const isLeftOut = eb.and([eb('attempts', '=', 0), isTried]);
      const counted = eb.fn.countAll<number>();
      return [
        /** Those that it was to read and that are still without a number: never read, or left out. */
        counted.filterWhere(eb.or([eb('attempted_at', 'is', null), isLeftOut])).as('undone'),
        /** Those whose read has failed since it began, here or in another process. */
        counted.filterWhere(eb.and([eb('attempts', '>', 0), isTried])).as('failed'),
        /** Those that were there before it, and that were not due. */
        counted.filterWhere('attempted_at', '<', startedAt).as('older'),
      ];
    })
    .where('instance_id', '=', instanceId);
  if (orgIds !== null) gaps = gaps.where(isAny('org_id', orgIds));
  if (streams !== null) gaps = gaps.where(isAny('stream', streams));
  if (range !== null) gaps = gaps.where((eb) => eb.between('usage_date', range.from, range.to));
  if (shard !== null) {
    const { count, index } = shard;
    gaps = gaps.where(sql<boolean>`(hashtext(org_id) & 2147483647) % ${count}::integer = ${index}::integer`);
  }
  return await gaps.executeTakeFirstOrThrow();
}

/** One tracked cell of an organization. */
export type OrgCell = Awaited<ReturnType<typeof readOrgCells>>[number];

/** `readOrgCells` returns the tracked cells of an organization by stream and day: a few thousand after years. */
export async function readOrgCells(db: Kysely<Schema>, orgId: string) {
  return await db
    .selectFrom('cells')
    .select(['stream', 'usage_date as day', 'standing', 'is_stored as isStored', 'reason', 'message'])
    .select(['verified_at as verifiedAt', (eb) => eb('next_read_at', 'is not', null).as('isReadAgain')])
    .where('org_id', '=', orgId)
    .orderBy('stream')
    .orderBy('usage_date')
    .execute();
}

export async function readDevices(
  db: Kysely<Schema>,
  { orgId, day }: { orgId: string; day: UsageDay },
): Promise<number | null> {
  const row = await db
    .selectFrom('usage_days')
    .select('devices_total')
    .where('usage_date', '=', day)
    .where('org_id', '=', orgId)
    .executeTakeFirst();
  return row?.devices_total ?? null;
}

/** An invalid answer of Losant that no good one has followed; its body is null if it is not kept, or may not be seen. */
export type OpenQuarantine = Awaited<ReturnType<typeof readOpenQuarantine>>[number];

/** `readOpenQuarantine` returns the newest invalid answers that no good one has followed, at most `max`. */
export async function readOpenQuarantine(db: Kysely<Schema>, max: number) {
  const seesBodies = await maySeeBodies(db);
  const answers = await db
    .selectFrom('quarantine as q')
    .innerJoin('organizations as o', 'o.org_id', 'q.org_id')
    .select(['q.org_id as orgId', 'o.name as orgName', 'q.stream', 'q.from_date as from', 'q.to_date as to'])
    .select([
      'q.code',
      'q.problem',
      'q.times',
      'q.last_seen_at as lastSeenAt',
      'q.body_truncated as isTruncated',
    ])
    .$if(seesBodies, (query) => query.select('q.body_gzip as gzip'))
    .where('q.resolved_at', 'is', null)
    .orderBy('q.last_seen_at', 'desc')
    .orderBy('q.org_id')
    .limit(max)
    .execute();
  return answers.map(({ gzip, isTruncated, ...answer }) => ({
    ...answer,
    body: gzip == null ? null : beginningOf(gzip, isTruncated),
  }));
}
