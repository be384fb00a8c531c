import { readDuePages } from '../../src/ledger/due.ts';
import { addDays, eachDay } from '../../src/usage/day.ts';
import { type Ask, type PagePlan, planPage } from '../../src/usage/plan.ts';
import type { Policy } from '../../src/usage/policy.ts';
import { policy as defaultPolicy, type KnownCell, type Track } from '../usage/tracks.ts';
import { addCells, addTracking, asProgram, INSTANCE, type Ledger } from './ledger.ts';

export interface PlanMoment {
  readonly now: string;
  readonly policy?: Policy;
  readonly ask?: Ask;
  readonly retriesFailed?: boolean;
}

/** Stores the tracks and plans what the database finds to be due of them, or what is asked for. */
export async function planTracks(
  ledger: Ledger,
  tracks: readonly Track[],
  { now, policy = defaultPolicy, ...asked }: PlanMoment,
): Promise<PagePlan> {
  const stored = new Map<string, string>();
  for (const track of tracks) {
    const orgId = stored.get(track.orgId) ?? (await ledger.newOrg());
    stored.set(track.orgId, orgId);
    await store(ledger, orgId, { track, now });
  }
  const names = new Map([...stored].map(([name, orgId]) => [orgId, name]));
  const scope = { instanceId: INSTANCE, streams: null, orgIds: [...names.keys()], shard: null };
  const options = { nowMs: Date.parse(now), policy, ...asked };
  const plans: PagePlan[] = [];
  for await (const page of readDuePages(ledger.db, scope, options)) {
    plans.push(
      planPage(
        page.map((due) => ({ ...due, orgId: names.get(due.orgId) ?? '' })),
        options,
      ),
    );
  }
  return {
    slices: plans.flatMap(({ slices }) => slices),
    closed: plans.flatMap(({ closed }) => closed),
    unreadable: plans.reduce((sum, { unreadable }) => sum + unreadable, 0),
  };
}

async function store(
  { db }: Ledger,
  orgId: string,
  { track, now }: { track: Track; now: string },
): Promise<void> {
  const { stream, trackedFrom, trackedTo, createdOn, removedOn } = track;
  const last = removedOn ?? trackedTo;
  await asProgram(db, async (trx) => {
    await trx
      .updateTable('organizations')
      .set({
        created_on: createdOn,
        removed_at: removedOn === null ? null : `${removedOn}T12:00:00Z`,
      })
      .where('org_id', '=', orgId)
      .execute();
    const until = last === null ? '' : addDays(last, 1);
    await addTracking(trx, orgId, { streams: [stream], days: `{[${trackedFrom},${until})}` });
    const settled = track.settled
      .flatMap(eachDay)
      .map((day): KnownCell => ({ day, standing: 'final', nextReadAtMs: null }));
    const cells = [...settled, ...track.cells].map(({ nextReadAtMs, ...cell }) => {
      const nextReadAt = nextReadAtMs === null ? null : new Date(nextReadAtMs).toISOString();
      // Of a deleted organization every open cell is due at once.
      return { ...cell, stream, nextReadAt: nextReadAt !== null && removedOn !== null ? now : nextReadAt };
    });
    await addCells(trx, orgId, cells);
  });
}
