import type { Kysely } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { matching } from './organizations.ts';

export interface ChangeQuery {
  /** Part of an organization's name or referral id, or the beginning of its id; empty for all. */
  readonly search: string;
  /** The usage days; null for all. */
  readonly range: DayRange | null;
  /** Whether to return only changes of numbers that were final before. */
  readonly onlyFinal: boolean;
  /** Whether to return only changes by hand. */
  readonly onlyByHand: boolean;
  /** The time from which changes are returned; null for all. */
  readonly since: Instant | null;
  /** The run whose changes are returned; null for all. */
  readonly runId: string | null;
  /** The id of the change before which the page begins; null for the newest. */
  readonly beforeId: number | null;
}

/**
 * Counts of changes in cells: all values of an organization's stream and day that changed at once
 * count as one.
 */
export interface ChangeCounts {
  readonly numbers: number;
  readonly byHand: number;
}

export interface ChangeList extends ChangeCounts {
  readonly changes: readonly ChangeLine[];
  /** The `beforeId` of the next page; null if there is none. */
  readonly nextId: number | null;
}

/** A change of one value: a row of the view restatements. */
export interface ChangeLine {
  readonly instanceId: string;
  readonly orgId: string;
  readonly orgName: string;
  readonly day: UsageDay;
  readonly stream: string;
  readonly metric: string;
  readonly unit: string;
  readonly payloadType: string | null;
  readonly source: string | null;
  /** The value before and after; null where none is stored. */
  readonly old: number | null;
  readonly new: number | null;
  readonly difference: number;
  readonly wasFinal: boolean;
  /** The run that changed it; null for a change by hand. */
  readonly runId: string | null;
  readonly changedBy: string;
  readonly changedAt: Instant;
}

/** The number of rows of the record on a page; a row may be of several values. */
const CHANGES_PER_PAGE = 50;

/** `readChangeList` returns a page of the changes that match, newest first, with the counts of all pages. */
export async function readChangeList(db: Kysely<Schema>, query: ChangeQuery): Promise<ChangeList> {
  const { beforeId } = query;
  const found = selectChanges(db, query);
  const page = beforeId === null ? found : found.where('r.id', '<', beforeId);
  const rows = await page
    .select('r.id')
    .orderBy('r.id', 'desc')
    .limit(CHANGES_PER_PAGE + 1)
    .execute();
  const ids = rows.slice(0, CHANGES_PER_PAGE).map(({ id }) => id);
  const changes = await db
    .selectFrom('restatements as r')
    .innerJoin('metrics as m', 'm.metric', 'r.metric')
    .select([
      'r.instance_id as instanceId',
      'r.org_id as orgId',
      'r.org_name as orgName',
      'r.usage_date as day',
    ])
    .select(['r.stream', 'r.metric', 'r.unit', 'r.payload_type as payloadType', 'r.source'])
    .select(['r.old_quantity as old', 'r.new_quantity as new', 'r.difference', 'r.was_final as wasFinal'])
    .select(['r.run_id as runId', 'r.changed_by as changedBy', 'r.changed_at as changedAt'])
    .where((eb) => eb('r.revision_id', '=', eb.fn.any(eb.val(ids))))
    .orderBy('r.revision_id', 'desc')
    .orderBy('m.position')
    .execute();
  const counts = await db
    .selectFrom(groupByCell(found).as('c'))
    .select(({ fn }) => [
      fn.countAll<number>().as('numbers'),
      fn.countAll<number>().filterWhere('c.byHand', '=', true).as('byHand'),
    ])
    .executeTakeFirstOrThrow();
  return { changes, ...counts, nextId: rows.length > CHANGES_PER_PAGE ? (ids.at(-1) ?? null) : null };
}

const EVERY_FINAL: ChangeQuery = {
  ...{
    search: '',
    range: null,
    onlyFinal: true,
    onlyByHand: false,
    since: null,
    runId: null,
    beforeId: null,
  },
};

/** `countFinalChanges` counts by instance the final numbers that ever changed, those since `since`, and those by hand. */
export async function countFinalChanges(
  db: Kysely<Schema>,
  since: Instant,
): Promise<
  ReadonlyMap<string, { readonly all: number; readonly recent: number; readonly recentByHand: number }>
> {
  const rows = await db
    .selectFrom(groupByCell(selectChanges(db, EVERY_FINAL)).as('c'))
    .select('c.instance_id')
    .select(({ fn }) => [
      fn.countAll<number>().as('all'),
      fn.countAll<number>().filterWhere('c.changed_at', '>=', since).as('recent'),
      fn
        .countAll<number>()
        .filterWhere('c.changed_at', '>=', since)
        .filterWhere('c.byHand', '=', true)
        .as('recentByHand'),
    ])
    .groupBy('c.instance_id')
    .execute();
  return new Map(rows.map(({ instance_id, ...counts }) => [instance_id, counts]));
}

/** `selectChanges` selects the rows that the view restatements shows: each source of payloads, and not their sum. */
function selectChanges(db: Kysely<Schema>, query: ChangeQuery) {
  const { search, range, onlyFinal, onlyByHand, since, runId } = query;
  let rows = db
    .selectFrom('revisions as r')
    .innerJoin('organizations as o', 'o.org_id', 'r.org_id')
    .where((eb) => {
      const isDetail = eb('r.stream', '=', 'payload_sources');
      const isSum = eb(eb.cast('r.key', 'text'), '=', '{}');
      return eb.or([eb.and([isDetail, eb.not(isSum)]), eb.and([eb.not(isDetail), isSum])]);
    });
  if (onlyFinal) rows = rows.where('r.was_final', '=', true);
  if (onlyByHand) rows = rows.where('r.run_id', 'is', null);
  if (since !== null) rows = rows.where('r.changed_at', '>=', since);
  if (runId !== null) rows = rows.where('r.run_id', '=', runId);
  if (range !== null) rows = rows.where((eb) => eb.between('r.usage_date', range.from, range.to));
  if (search !== '') rows = rows.where(matching(search));
  return rows;
}

function groupByCell(rows: ReturnType<typeof selectChanges>) {
  return rows
    .select(['o.instance_id', 'r.org_id', 'r.stream', 'r.usage_date', 'r.revision'])
    .select((eb) => [eb.fn.max('r.changed_at').as('changed_at'), eb('r.run_id', 'is', null).as('byHand')])
    .groupBy(['o.instance_id', 'r.org_id', 'r.stream', 'r.usage_date', 'r.revision', 'r.run_id']);
}
