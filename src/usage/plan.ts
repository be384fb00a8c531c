import { type CellKey, compareText } from './cell.ts';
import { addDays, type DayRange, eachDay, type UsageDay } from './day.ts';
import { horizonStart, lastCompleteDay, type Policy } from './policy.ts';
import { streamNamed } from './streams/catalog.ts';

/** The reason why a cell is read. */
export type Reason =
  /** A day that ended less than a day ago and was never read. */
  | 'new'
  /** A tracked number that is not stored. */
  | 'gap'
  /** A stored number whose next checkpoint has come. */
  | 'checkpoint'
  | 'backfill'
  /** A cell named on the command line. */
  | 'asked';

/** One organization's stream with the days that the database found due, or that were asked for. */
export interface DueTrack {
  readonly orgId: string;
  readonly stream: string;
  /** The last day on which the organization existed, if it was found deleted: it can no longer be read. */
  readonly removedOn: UsageDay | null;
  /** Tracked days that were never read. */
  readonly unread: readonly DayRange[];
  /** Due days that are stored. */
  readonly stored: readonly DayRange[];
  /** Due days that are tracked and were read, but are not stored. */
  readonly uncovered: readonly DayRange[];
  /** Due days that are neither tracked nor stored. */
  readonly untracked: readonly DayRange[];
  /** Days to read because a person asked, due or not; the other lists are empty then, except for `stored`. */
  readonly asked: readonly DayRange[];
}

/** The days that a person asked for, instead of everything due. */
export interface Ask {
  readonly range: DayRange;
  readonly reason: 'backfill' | 'asked';
  /** Whether to read stored cells too, due or not. */
  readonly force: boolean;
  readonly pastHorizon: boolean;
}

/** One fetch: a window of one stream of one organization, and the days of it that are loaded. */
export interface Slice {
  readonly orgId: string;
  readonly stream: string;
  readonly window: DayRange;
  readonly days: readonly { readonly day: UsageDay; readonly reason: Reason }[];
}

/** A due cell that is no longer read, and the reason. */
export interface ClosedCell extends CellKey {
  readonly reason: 'org_deleted' | 'past_horizon' | 'not_tracked';
}

export interface PagePlan {
  /**
   * The slices, newest window first; within an organization and window, a stream comes before those it
   * is a cross-check for.
   */
  readonly slices: readonly Slice[];
  readonly closed: readonly ClosedCell[];
  /** The number of cells asked for that cannot be read: past the horizon, or their organization is gone. */
  readonly unreadable: number;
}

export interface PlanOptions {
  readonly nowMs: number;
  readonly policy: Policy;
  readonly ask?: Ask | undefined;
}

/** `planPage` cuts due cells into slices. Pure: the same tracks and time give the same plan. */
export function planPage(tracks: readonly DueTrack[], options: PlanOptions): PagePlan {
  const slices: Slice[] = [];
  const closed: ClosedCell[] = [];
  let unreadable = 0;
  for (const track of tracks) {
    const days = options.ask ? chooseAsked(track, options.ask, options) : chooseDue(track, options, closed);
    unreadable += days.unreadable;
    slices.push(...mergeWindows(track, days.read));
  }
  slices.sort(
    (a, b) =>
      compareText(b.window.to, a.window.to) ||
      compareText(a.orgId, b.orgId) ||
      compareText(a.stream, b.stream),
  );
  return { slices, closed, unreadable };
}

interface Choice {
  /** The days to read, newest first. */
  readonly read: Slice['days'];
  readonly unreadable: number;
}

function chooseDue(track: DueTrack, { nowMs, policy }: PlanOptions, closed: ClosedCell[]): Choice {
  const read: { day: UsageDay; reason: Reason }[] = [];
  const horizon = horizonStart(nowMs, policy);
  const yesterday = lastCompleteDay(nowMs);
  const add = (ranges: readonly DayRange[], reasonOf: (day: UsageDay) => Reason) => {
    for (const day of ranges.flatMap(eachDay)) {
      const { orgId, stream, removedOn } = track;
      if (removedOn !== null) closed.push({ orgId, stream, day, reason: 'org_deleted' });
      else if (day < horizon) closed.push({ orgId, stream, day, reason: 'past_horizon' });
      else read.push({ day, reason: reasonOf(day) });
    }
  };
  add(track.unread, (day) => (day === yesterday ? 'new' : 'gap'));
  add(track.uncovered, () => 'gap');
  add(track.stored, () => 'checkpoint');
  for (const day of track.untracked.flatMap(eachDay)) {
    closed.push({ orgId: track.orgId, stream: track.stream, day, reason: 'not_tracked' });
  }
  read.sort((a, b) => compareText(b.day, a.day));
  return { read, unreadable: 0 };
}

function chooseAsked(
  { asked, stored, removedOn }: DueTrack,
  ask: Ask,
  { nowMs, policy }: PlanOptions,
): Choice {
  const horizon = horizonStart(nowMs, policy);
  const read: { day: UsageDay; reason: Reason }[] = [];
  let unreadable = 0;
  for (const day of asked.flatMap(eachDay).reverse()) {
    const isStored = stored.some(({ from, to }) => from <= day && day <= to);
    // Past the horizon a stored number never changes, so even a forced read is pointless.
    if (day < horizon && isStored) continue;
    if (removedOn !== null || (day < horizon && !ask.pastHorizon)) unreadable += 1;
    else read.push({ day, reason: ask.reason });
  }
  return { read, unreadable };
}

function mergeWindows({ orgId, stream }: DueTrack, due: Slice['days']): Slice[] {
  const { windowDays } = streamNamed(stream);
  return cutWindows(due, windowDays).map((window) => ({ orgId, stream, ...window }));
}

/**
 * `cutWindows` returns the fewest windows that cover the days (newest first), each at most as long as a request may
 * be.
 */
export function cutWindows<D extends { readonly day: UsageDay }>(
  due: readonly D[],
  windowDays: number,
): { readonly window: DayRange; readonly days: readonly D[] }[] {
  const windows = [];
  let rest = due;
  while (rest[0]) {
    const to = rest[0].day;
    const oldest = addDays(to, 1 - windowDays);
    const days = rest.filter(({ day }) => day >= oldest);
    const from = (days.at(-1) as D).day;
    windows.push({ window: { from, to }, days });
    rest = rest.slice(days.length);
  }
  return windows;
}

/** `countCells` returns the number of cells that the plan reads or closes as unavailable. */
export function countCells({ slices, closed }: Pick<PagePlan, 'slices' | 'closed'>): number {
  return slices.reduce((count, { days }) => count + days.length, closed.length);
}
