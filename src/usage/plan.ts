import { addDays, type DayRange, eachDay, earliestDay, latestDay, type UsageDay } from './day.ts';
import { horizonStart, isLastRead, lastCompleteDay, latestCheckpointMs, type Policy } from './policy.ts';

/** Why a cell is read. */
export type Reason =
  /** A day that ended less than a day ago and was never read. */
  | 'new'
  /** A promised number that is not held. */
  | 'gap'
  /** Held, but a checkpoint has passed since it was read. */
  | 'checkpoint'
  | 'backfill'
  /** Named on the command line. */
  | 'asked';

/** One organization's stream: what is promised of it and what is known of its cells. */
export interface Track {
  readonly orgId: string;
  readonly stream: string;
  /** Most days one request may cover. */
  readonly windowDays: number;
  readonly trackedFrom: UsageDay;
  readonly trackedTo: UsageDay | null;
  /** The day the organization was created, as far as Losant says: nothing was used before. */
  readonly createdOn: UsageDay | null;
  /** Days before this one are past the horizon and settled. */
  readonly expiredTo: UsageDay | null;
  /** The day the organization was found deleted: nothing can be asked any more. */
  readonly removedOn: UsageDay | null;
  /** Days that are held and not due, as the store found them. */
  readonly settled: readonly DayRange[];
  /** Every other cell of the ledger. */
  readonly cells: readonly KnownCell[];
}

export interface KnownCell {
  readonly day: UsageDay;
  readonly state: 'loaded' | 'final' | 'absent' | 'quarantined' | 'failed' | 'unavailable' | 'waived';
  readonly verifiedAtMs: number | null;
  readonly nextAttemptAtMs: number | null;
}

/** What a person asked for, instead of all that is due. */
export interface Ask {
  readonly range: DayRange;
  readonly reason: 'backfill' | 'asked';
  /** Read held cells too, due or not. */
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

export interface Cell {
  readonly orgId: string;
  readonly stream: string;
  readonly day: UsageDay;
}

export interface PagePlan {
  /** Newest window first. */
  readonly slices: readonly Slice[];
  /** Promised cells that can no longer be had: to be marked unavailable, without a request. */
  readonly lost: readonly Cell[];
  /** Promised cells that are not read now: in backoff after a failure (held ones too), or absent until a later checkpoint. */
  readonly waiting: readonly (Cell & { readonly state: KnownCell['state'] })[];
  /** Days of the asked range that are past the horizon and were left out. */
  readonly pastHorizon: number;
}

/** Wake-ups come at fixed minutes and a failure some seconds later: without it a retry would miss its wake-up. */
const RETRY_SLACK_MS = 5 * 60_000;

type Decision =
  | { readonly kind: 'read'; readonly reason: Reason }
  | { readonly kind: 'settled' | 'lost' | 'past_horizon' }
  | { readonly kind: 'waiting'; readonly state: KnownCell['state'] };

export interface PlanOptions {
  readonly nowMs: number;
  readonly policy: Policy;
  readonly ask?: Ask | undefined;
}

/** Decides what to read of a page of tracks. Pure: the same ledger and time give the same plan. */
export function planPage(tracks: readonly Track[], options: PlanOptions): PagePlan {
  const slices: Slice[] = [];
  const lost: Cell[] = [];
  const waiting: (Cell & { state: KnownCell['state'] })[] = [];
  let pastHorizon = 0;
  for (const track of tracks) {
    const due: Slice['days'][number][] = [];
    for (const open of openDays(track, options)) {
      const decision = decide(track, open, options);
      const { day } = open;
      const id = { orgId: track.orgId, stream: track.stream, day };
      if (decision.kind === 'read') due.push({ day, reason: decision.reason });
      if (decision.kind === 'lost') lost.push(id);
      if (decision.kind === 'waiting') waiting.push({ ...id, state: decision.state });
      if (decision.kind === 'past_horizon') pastHorizon += 1;
    }
    slices.push(...mergeWindows(track, due));
  }
  slices.sort((a, b) => compareText(b.window.to, a.window.to) || compareText(a.orgId, b.orgId));
  return { slices, lost, waiting, pastHorizon };
}

/** The days that any decision could be about, for the store to read: null when there is none. */
export function openRange(
  track: Pick<Track, 'trackedFrom' | 'trackedTo' | 'createdOn' | 'expiredTo' | 'removedOn'>,
  { nowMs, ask }: PlanOptions,
): DayRange | null {
  const lastDay = lastCompleteDay(nowMs);
  const range = ask
    ? { from: latestDay(ask.range.from, track.createdOn), to: earliestDay(ask.range.to, lastDay) }
    : {
        from: latestDay(track.trackedFrom, track.expiredTo),
        to: earliestDay(lastDay, track.trackedTo, track.removedOn),
      };
  return range.from <= range.to ? range : null;
}

interface OpenDay {
  readonly day: UsageDay;
  readonly cell: KnownCell | undefined;
  readonly held: boolean;
}

function* openDays(track: Track, options: PlanOptions): Generator<OpenDay> {
  const range = openRange(track, options);
  if (!range) return;
  const cells = new Map(track.cells.map((cell) => [cell.day, cell]));
  const isSettled = (day: UsageDay) => track.settled.some(({ from, to }) => from <= day && day <= to);
  for (const day of eachDay(range).reverse()) {
    const cell = cells.get(day);
    if (!isSettled(day)) yield { day, cell, held: cell?.state === 'loaded' || cell?.state === 'final' };
    else if (options.ask?.force) yield { day, cell, held: true };
  }
}

function decide(track: Track, { day, cell, held }: OpenDay, { nowMs, policy, ask }: PlanOptions): Decision {
  const isPast = day < horizonStart(nowMs, policy);
  if (ask && track.removedOn === null) {
    return decideAsked({ held, isDue: isDue({ day, cell }, nowMs, policy), isPast }, ask);
  }
  if (cell?.state === 'waived' || cell?.state === 'unavailable') return { kind: 'settled' };
  if (isPast || track.removedOn !== null)
    return { kind: held || !isTracked(track, day) ? 'settled' : 'lost' };
  if (!isDue({ day, cell }, nowMs, policy)) {
    if (held || cell === undefined) return { kind: 'settled' };
    const isOver = cell.verifiedAtMs !== null && isLastRead(day, cell.verifiedAtMs, policy);
    return isOver ? { kind: 'lost' } : { kind: 'waiting', state: cell.state };
  }
  if (cell?.nextAttemptAtMs != null && cell.nextAttemptAtMs > nowMs + RETRY_SLACK_MS) {
    return { kind: 'waiting', state: cell.state };
  }
  if (held) return { kind: 'read', reason: 'checkpoint' };
  const isNew = cell === undefined && day === lastCompleteDay(nowMs);
  return { kind: 'read', reason: isNew ? 'new' : 'gap' };
}

/** An asked read waits for no backoff, and a day that is not promised may be asked for too. */
function decideAsked(
  { held, isDue, isPast }: { held: boolean; isDue: boolean; isPast: boolean },
  ask: Ask,
): Decision {
  if (isPast && !ask.pastHorizon) return { kind: held ? 'settled' : 'past_horizon' };
  // Past the horizon a held number never changes, so there is nothing to ask even when forced.
  if (held && (isPast || (!ask.force && !isDue))) return { kind: 'settled' };
  return { kind: 'read', reason: ask.reason };
}

function isTracked({ trackedFrom, trackedTo, removedOn }: Track, day: UsageDay): boolean {
  return trackedFrom <= day && day <= earliestDay(day, trackedTo, removedOn);
}

/** Due: never read, or a checkpoint has passed since the newest accepted answer was asked for. */
function isDue({ day, cell }: Pick<OpenDay, 'day' | 'cell'>, nowMs: number, policy: Policy): boolean {
  const checkpointMs = latestCheckpointMs(day, nowMs, policy);
  if (checkpointMs === null) return false;
  return cell?.verifiedAtMs == null || cell.verifiedAtMs < checkpointMs;
}

/** As few windows as cover the days (newest first), each as long as a request may be. */
function mergeWindows({ orgId, stream, windowDays }: Track, due: Slice['days']): Slice[] {
  const slices: Slice[] = [];
  let rest = due;
  while (rest[0]) {
    const to = rest[0].day;
    const oldest = addDays(to, 1 - windowDays);
    const days = rest.filter(({ day }) => day >= oldest);
    const from = (days.at(-1) as { day: UsageDay }).day;
    slices.push({ orgId, stream, window: { from, to }, days });
    rest = rest.slice(days.length);
  }
  return slices;
}

/** How many cells the plan reads or gives up. */
export function countCells({ slices, lost }: Pick<PagePlan, 'slices' | 'lost'>): number {
  return slices.reduce((count, { days }) => count + days.length, lost.length);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
