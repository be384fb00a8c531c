import type { Kysely } from 'kysely';
import { type DayRange, dayAt, eachDay, earliestDay, latestDay, type UsageDay } from '../usage/day.ts';
import { type LedgerPart, readLedger } from '../database/write/coverage.ts';
import type { Schema } from '../database/schema.ts';
import { readTrackedPage, type TrackedStream, type TrackScope } from '../database/write/tracking.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { openRange, type PlanOptions, type Track } from '../usage/plan.ts';
import { horizonStart, latestCheckpointMs } from '../usage/policy.ts';

/** Organizations a page; small enough that a page's ledger and slices fit in a few megabytes. */
const ORGS_PER_PAGE = 100;

/**
 * The organizations of an instance with what is known of their cells, a page at
 * a time, in the order of their ids. Read from the tables, never from Losant's
 * list, so a list that shifts while it is read loses nobody. The one seam for
 * sharing the work between processes.
 */
export async function* readTrackPages(
  db: Kysely<Schema>,
  scope: TrackScope,
  options: PlanOptions,
): AsyncGenerator<Track[]> {
  let afterOrgId = '';
  for (;;) {
    const tracked = await readTrackedPage(db, scope, { afterOrgId, limit: ORGS_PER_PAGE });
    const last = tracked.at(-1);
    if (!last) return;
    afterOrgId = last.orgId;
    // An organization that left the configuration is read until its promised days are done, not backfilled.
    const meant =
      options.ask && scope.orgIds === null ? tracked.filter((t) => t.trackedTo === null) : tracked;
    if (meant.length > 0) yield await withLedger(db, meant, { scope, options });
  }
}

async function withLedger(
  db: Kysely<Schema>,
  tracked: readonly TrackedStream[],
  { scope, options }: { scope: TrackScope; options: PlanOptions },
): Promise<Track[]> {
  const tracks = tracked.map(toTrack);
  const ranges = tracks.map((track) => openRange(track, options)).filter((range) => range !== null);
  const parts = new Map<string, LedgerPart>();
  if (ranges.length > 0) {
    const ledger = await readLedger(db, {
      orgIds: [...new Set(tracked.map(({ orgId }) => orgId))],
      streams: scope.streams,
      days: checkpointsOf(
        {
          from: earliestDay(...ranges.map(({ from }) => from)),
          to: latestDay(...ranges.map(({ to }) => to)),
        },
        options,
      ),
    });
    for (const part of ledger) parts.set(`${part.orgId} ${part.stream}`, part);
  }
  return tracks.map((track) => {
    const part = parts.get(`${track.orgId} ${track.stream}`);
    return part ? { ...track, settled: part.settled, cells: part.cells } : track;
  });
}

function checkpointsOf(range: DayRange, { nowMs, policy }: PlanOptions) {
  const horizon = horizonStart(nowMs, policy);
  return eachDay(range).map((day) => ({
    day,
    checkpointMs: day < horizon ? null : latestCheckpointMs(day, nowMs, policy),
  }));
}

function toTrack(tracked: TrackedStream): Track {
  return {
    orgId: tracked.orgId,
    stream: tracked.stream,
    windowDays: streamNamed(tracked.stream).windowDays,
    trackedFrom: tracked.trackedFrom,
    trackedTo: tracked.trackedTo,
    createdOn: dayOf(tracked.createdAt),
    expiredTo: tracked.expiredTo,
    removedOn: dayOf(tracked.removedAt),
    settled: [],
    cells: [],
  };
}

function dayOf(instant: string | null): UsageDay | null {
  return instant === null ? null : dayAt(Date.parse(instant));
}
