import { sql } from 'kysely';
import { readDuePages } from '../../src/ledger/due.ts';
import { eachDay } from '../../src/usage/day.ts';
import { type Ask, type PagePlan, planPage } from '../../src/usage/plan.ts';
import type { Policy } from '../../src/usage/policy.ts';
import { policy as defaultPolicy, type KnownCell, type Track } from '../usage/tracks.ts';
import { INSTANCE, type Ledger } from './ledger.ts';

export interface PlanMoment {
  readonly now: string;
  readonly policy?: Policy;
  readonly ask?: Ask;
}

/** Stores the tracks and plans what the database finds to be due of them, or what is asked for. */
export async function planTracks(
  ledger: Ledger,
  tracks: readonly Track[],
  { now, policy = defaultPolicy, ask }: PlanMoment,
): Promise<PagePlan> {
  const stored = new Map<string, string>();
  for (const track of tracks) {
    const orgId = stored.get(track.orgId) ?? (await ledger.newOrg());
    stored.set(track.orgId, orgId);
    await store(ledger, orgId, { track, now });
  }
  const names = new Map([...stored].map(([name, orgId]) => [orgId, name]));
  const scope = { instanceId: INSTANCE, streams: null, orgIds: [...names.keys()], shard: null };
  const options = { nowMs: Date.parse(now), policy, ask };
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
  await db.transaction().execute(async (trx) => {
    await sql`select set_config('losant_usage.program', 'first', true)`.execute(trx);
    await sql`update losant_usage.organizations set
      created_at = ${createdOn === null ? null : `${createdOn}T08:00:00Z`},
      removed_at = ${removedOn === null ? null : `${removedOn}T12:00:00Z`} where org_id = ${orgId}`.execute(
      trx,
    );
    await sql`insert into losant_usage.tracking (org_id, stream, tracked_days) values (${orgId}, ${stream},
      datemultirange(daterange(${trackedFrom}::date, ${last}::date + 1)))`.execute(trx);
    const settled = track.settled
      .flatMap(eachDay)
      .map((day): KnownCell => ({ day, state: 'final', nextReadAtMs: null }));
    for (const { day, state, nextReadAtMs } of [...settled, ...track.cells]) {
      // Of a deleted organization every open cell is due at once.
      const nextReadAt = nextReadAtMs === null ? null : new Date(nextReadAtMs).toISOString();
      await sql`insert into losant_usage.coverage (usage_date, stream, org_id, state, next_read_at, error_code)
        values (${day}, ${stream}, ${orgId}, ${state},
          ${nextReadAt !== null && removedOn !== null ? now : nextReadAt}::timestamptz,
          ${state === 'loaded' || state === 'final' ? null : state})`.execute(trx);
    }
  });
}
