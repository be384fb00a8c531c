import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { dayEndMs, type UsageDay } from '../usage/day.ts';
import { horizonStart, type Policy } from '../usage/policy.ts';
import { streams } from '../usage/streams/catalog.ts';
import { type Advice, adviseCell, type CellPlace } from './advice.ts';
import { type CellStory, type OrgName, readCellStories, readOrgName } from './explain.ts';

export interface DayStory {
  readonly org: OrgName;
  readonly cells: readonly (CellStory & { readonly advice: Advice })[];
  /** What the advice for each cell depends on. */
  readonly place: CellPlace;
}

export interface StoryQuery {
  readonly orgId: string;
  readonly day: UsageDay;
  /** Null: all streams. */
  readonly streams: readonly string[] | null;
}

/** Where the numbers of one organization and day come from, and what became of them; null: that organization was never seen. */
export async function readDayStory(
  db: Kysely<Schema>,
  { orgId, day, streams: wanted }: StoryQuery,
  { nowMs, policy }: { readonly nowMs: number; readonly policy: Policy },
): Promise<DayStory | null> {
  const org = await readOrgName(db, orgId);
  if (!org) return null;
  const place = {
    orgId,
    day,
    isOver: dayEndMs(day) <= nowMs,
    isRemoved: org.removedAt !== null,
    isPastHorizon: day < horizonStart(nowMs, policy),
    nowMs,
  };
  const chosen = streams.filter(({ name }) => wanted === null || wanted.includes(name));
  const stories = await readCellStories(db, chosen, { orgId, day });
  const cells = stories.map((story) => ({ ...story, advice: adviseCell(story, place) }));
  return { org, cells, place };
}
