import type { Health, InstanceHealth, StreamHealth } from '../queries/health.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { countGaps, sumStandings } from '../usage/standing.ts';
import { sumOf } from './shapes.ts';
import type { DatabaseView, InstanceStatus, Trouble } from './sources.ts';

/** A verdict on everything, in one sentence that nothing else on the page contradicts. */
export interface Verdict {
  readonly tone: 'good' | 'bad' | 'quiet';
  readonly sentence: string;
  /** The remedy, if the sentence alone does not give it. */
  readonly hint?: string;
}

export interface InstanceTrouble {
  readonly instanceId: string;
  readonly name: string | null;
  readonly trouble: Trouble;
}

const GAPS_HINT = 'losant-usage gaps lists each with its reason and its next read.';

/**
 * `currentTroubles` returns the present problems, without those that a later run or the database has
 * superseded.
 */
export function currentTroubles(
  statuses: readonly InstanceStatus[],
  health: Health | null,
): InstanceTrouble[] {
  const known = new Map((health?.instances ?? []).map((instance) => [instance.instanceId, instance]));
  const ofRuns = statuses.flatMap(({ instanceId, trouble, lastRun }) => {
    const instance = known.get(instanceId);
    // The database has more, and newer, facts about earlier gaps.
    if (trouble === null || trouble.kind === 'gaps') return [];
    if (trouble.kind === 'failure' && instance && isOvertaken(lastRun, instance)) return [];
    return [{ instanceId, name: instance?.name ?? null, trouble }];
  });
  const ofLists = [...known.values()].flatMap(({ instanceId, name, listProblem }) => {
    if (listProblem === null || ofRuns.some((other) => other.instanceId === instanceId)) return [];
    const message = `organizations may be missing: the list was not complete, ${listProblem}`;
    const hint = 'the next run asks for the list again';
    return [
      { instanceId, name, trouble: { code: 'list_incomplete', kind: 'failure', message, hint } as const },
    ];
  });
  return [...ofRuns, ...ofLists];
}

function isOvertaken(lastRun: InstanceStatus['lastRun'], { lastCompleteRunAt }: InstanceHealth): boolean {
  return lastRun !== null && lastCompleteRunAt !== null && lastCompleteRunAt > lastRun.finishedAt;
}

export function judgeState(
  view: DatabaseView,
  { statuses, nowMs }: { statuses: readonly InstanceStatus[]; nowMs: number },
): Verdict {
  if (!view.isUp) return { tone: 'bad', sentence: 'The database does not answer.' };
  if (view.reading === null) return { tone: 'quiet', sentence: 'The database is being read.' };
  const health = view.reading.value;
  const first = statuses.filter((status) => isInFirstRun(status, health));
  const instances = instancesRead(health, statuses);
  const streams = instances.flatMap((instance) => instance.streams);
  if (streams.some(({ gaps }) => gaps > 0)) {
    return { tone: 'bad', sentence: describeGaps(streams), hint: GAPS_HINT };
  }
  // Replicas work like this: another process exports the instance.
  const troubles = currentTroubles(statuses, health).filter(
    ({ trouble }) => trouble.code !== 'waiting_for_lease',
  );
  const isEmpty = health.instances.every(({ streams }) => streams.length === 0);
  if (troubles.length > 0) {
    const what = isEmpty ? 'Nothing has been exported yet' : 'Nothing is late';
    const but = troubles.every(({ trouble }) => trouble.kind === 'waiting')
      ? 'the run under way waits'
      : 'the newest run had trouble';
    return { tone: 'bad', sentence: `${what}, but ${but}.` };
  }
  if (first.length > 0) return { tone: 'quiet', sentence: describeFirstRun(first) };
  return { tone: 'good', sentence: describeReach(streams, nowMs) };
}

export function instancesRead(health: Health, statuses: readonly InstanceStatus[]): InstanceHealth[] {
  const first = statuses.filter((status) => isInFirstRun(status, health)).map(({ instanceId }) => instanceId);
  return health.instances.filter(({ instanceId }) => !first.includes(instanceId));
}

/** The verdict on whether yesterday is complete, regardless of older days. */
export interface YesterdayVerdict extends Verdict {
  readonly word: 'complete' | 'incomplete' | 'partly read' | 'not read yet' | 'nothing tracked';
}

/** `judgeYesterday` judges the instances whose first run is over; null while there is none. */
export function judgeYesterday(
  health: Health,
  { statuses, nowMs }: { statuses: readonly InstanceStatus[]; nowMs: number },
): YesterdayVerdict | null {
  const instances = instancesRead(health, statuses);
  if (instances.length === 0) return null;
  const day = addDays(dayAt(nowMs), -1);
  const streams = instances.flatMap((instance) => instance.streams);
  const tracked = sumOf(streams.map(({ orgsTracked }) => orgsTracked));
  const counts = sumStandings(streams.map(({ yesterday }) => yesterday));
  const { waiting, unavailable, missing } = counts;
  const gaps = countGaps(counts);
  if (tracked === 0) {
    return { tone: 'quiet', word: 'nothing tracked', sentence: `Nothing is tracked on ${day}.` };
  }
  const stored = Math.max(0, tracked - waiting - unavailable - missing);
  const of = `${showNumber(stored)} of ${count(tracked, 'number')} of ${day} ${tracked === 1 ? 'is' : 'are'} stored`;
  if (gaps > 0) {
    const named = streams.filter(({ yesterday }) => yesterday.in_doubt + yesterday.missing > 0);
    const names = [...new Set(named.map(({ stream }) => stream))].join(', ');
    const sentence = `${of}; ${showNumber(gaps)} ${describeKind([counts])} (${names}).`;
    return { tone: 'bad', word: 'incomplete', sentence };
  }
  if (waiting > 0) {
    const sentence = `${of}; ${showNumber(waiting)} waiting to be read, none late.`;
    return { tone: 'quiet', word: stored === 0 ? 'not read yet' : 'partly read', sentence };
  }
  const but = unavailable === 0 ? '' : `, apart from ${showNumber(unavailable)} unavailable`;
  return { tone: 'good', word: 'complete', sentence: `${of}${but}.` };
}

/**
 * Whether the instance is in its first run. Until it is over nothing is late, because everything is
 * missing at first. For a reading that began during the run it is not over.
 */
export function isInFirstRun(status: InstanceStatus, { at, instances }: Health): boolean {
  const known = instances.find(({ instanceId }) => instanceId === status.instanceId);
  const endedMs = endOfRun(status);
  return !(known?.hasRun ?? false) && (endedMs === null || endedMs > Date.parse(at));
}

/** `endOfRun` returns the time at which this process ended a run of the instance, in ms; null if it has not. */
function endOfRun({ lastRun }: InstanceStatus): number | null {
  if (lastRun === null || ['standby', 'interrupted'].includes(lastRun.result)) return null;
  return Date.parse(lastRun.finishedAt);
}

function describeGaps(streams: readonly StreamHealth[]): string {
  const gaps = sumOf(streams.map((stream) => stream.gaps));
  const oldest = streams.flatMap(({ oldestGap }) => oldestGap ?? []).sort()[0];
  const what = describeKind(streams.map(({ cells }) => cells));
  return `${count(gaps, 'number is', 'numbers are')} ${what}, the oldest of ${oldest}.`;
}

/** `describeKind` names the gaps among these cells: a stored one is in doubt, not missing. */
export function describeKind(
  cells: readonly { readonly in_doubt: number; readonly missing: number }[],
): string {
  const { in_doubt, missing } = sumStandings(cells);
  if (in_doubt === 0) return 'missing';
  return missing > 0 ? 'missing or in doubt' : 'in doubt';
}

function describeFirstRun(statuses: readonly InstanceStatus[]): string {
  const working = statuses.filter(({ progress }) => progress !== null);
  if (working.length === 0) {
    return statuses.some((status) => endOfRun(status) !== null)
      ? 'The first run is over: what it loaded is being read.'
      : 'The first run has not begun to load yet.';
  }
  const done = working.reduce((sum, { progress }) => sum + (progress?.done ?? 0), 0);
  return `The first run is under way: ${count(done, 'number')} read so far.`;
}

function describeReach(streams: readonly StreamHealth[], nowMs: number): string {
  const { unavailable, accepted } = sumStandings(streams.map(({ cells }) => cells));
  const parts = [
    unavailable === 0 ? '' : `${count(unavailable, 'number')} unavailable`,
    accepted === 0
      ? ''
      : `${count(accepted, 'number')} accepted as ${accepted === 1 ? 'it stands' : 'they stand'}`,
  ].filter((part) => part !== '');
  const but = parts.length === 0 ? '' : `, apart from ${parts.join(' and ')}`;
  if (streams.length === 0) return 'Nothing has been exported yet.';
  const to = completeTo(streams);
  if (to === null) return `Nothing is late${but}.`;
  const yesterday = addDays(dayAt(nowMs), -1);
  return to === yesterday
    ? `Everything is here up to yesterday, ${to}${but}.`
    : `Nothing is late: everything is here up to ${to}${but}.`;
}

/**
 * `completeTo` returns the last day up to which nothing is missing of the collected streams; null if there
 * is none.
 */
export function completeTo(
  streams: readonly { readonly completeTo: UsageDay | null; readonly orgsTracked: number }[],
): UsageDay | null {
  const collected = streams.filter(({ orgsTracked }) => orgsTracked > 0);
  if (collected.some((stream) => stream.completeTo === null)) return null;
  return collected.flatMap((stream) => stream.completeTo ?? []).sort()[0] ?? null;
}
