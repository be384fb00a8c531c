import type { Health, InstanceHealth } from '../queries/health.ts';
import { count } from '../terminal/words.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import type { DatabaseView } from './database-view.ts';
import type { InstanceStatus, Trouble } from './worker-status.ts';

/** How everything stands, in one sentence that nothing else on the page contradicts. */
export interface Verdict {
  readonly tone: 'good' | 'bad' | 'quiet';
  readonly sentence: string;
  /** What to do, where the sentence alone does not say it. */
  readonly hint?: string;
}

export interface InstanceTrouble {
  readonly instanceId: string;
  readonly name: string | null;
  readonly trouble: Pick<Trouble, 'message' | 'hint'>;
}

const GAPS_HINT = 'losant-usage gaps lists each with its reason and its next try.';

/** What is wrong now: not what a later run or the database has overtaken. */
export function currentTroubles(
  statuses: readonly InstanceStatus[],
  health: Health | null,
): InstanceTrouble[] {
  const known = new Map((health?.instances ?? []).map((instance) => [instance.instanceId, instance]));
  const ofRuns = statuses.flatMap(({ instanceId, trouble, lastRun }) => {
    const instance = known.get(instanceId);
    // Of gaps from before, the database says more, and says it newer.
    if (trouble === null || trouble.onlyGaps) return [];
    if (instance && isOvertaken(lastRun, instance)) return [];
    return [{ instanceId, name: instance?.name ?? null, trouble }];
  });
  const ofLists = [...known.values()].flatMap(({ instanceId, name, listProblem }) => {
    if (listProblem === null || ofRuns.some((other) => other.instanceId === instanceId)) return [];
    const message = `organizations may be missing: the list was not complete, ${listProblem}`;
    return [{ instanceId, name, trouble: { message, hint: 'the next run asks for the list again' } }];
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
  const instances = health.instances.filter(({ instanceId }) =>
    first.every((status) => status.instanceId !== instanceId),
  );
  const gaps = countGaps(instances.flatMap(({ streams }) => streams));
  if (gaps > 0) return { tone: 'bad', sentence: describeGaps(gaps, instances), hint: GAPS_HINT };
  const hasTrouble = currentTroubles(statuses, health).length > 0;
  const isEmpty = health.instances.every(({ streams }) => streams.length === 0);
  if (hasTrouble) {
    const what = isEmpty ? 'Nothing has been exported yet' : 'Nothing is late';
    return { tone: 'bad', sentence: `${what}, but the newest run had trouble.` };
  }
  if (first.length > 0) return { tone: 'quiet', sentence: describeFirstRun(first) };
  return { tone: 'good', sentence: describeReach(instances, nowMs) };
}

/**
 * Before its first run is over nothing is late: that everything is missing is the
 * beginning. It is not over for a reading that was begun while it went on.
 */
export function isInFirstRun(status: InstanceStatus, { at, instances }: Health): boolean {
  const known = instances.find(({ instanceId }) => instanceId === status.instanceId);
  const endedMs = endOfRun(status);
  return !(known?.hasRun ?? false) && (endedMs === null || endedMs > Date.parse(at));
}

/** When this process ended a run of the instance, ms; null: it has not. */
function endOfRun({ lastRun }: InstanceStatus): number | null {
  if (lastRun === null || ['standby', 'interrupted'].includes(lastRun.result)) return null;
  return Date.parse(lastRun.finishedAt);
}

function countGaps(streams: readonly { readonly gaps: number }[]): number {
  return streams.reduce((sum, { gaps }) => sum + gaps, 0);
}

function describeGaps(gaps: number, instances: readonly InstanceHealth[]): string {
  const oldest = instances.flatMap(({ streams }) => streams.flatMap(({ oldestGap }) => oldestGap ?? []));
  const verb = gaps === 1 ? 'is' : 'are';
  const what = describeKind(instances.flatMap(({ streams }) => streams));
  return `${count(gaps, 'number')} ${verb} ${what}, the oldest of ${oldest.sort()[0]}.`;
}

/** What to call the gaps of streams: one that is held is not missing. */
export function describeKind(
  streams: readonly { readonly gaps: number; readonly doubted: number }[],
): string {
  const doubted = streams.reduce((sum, stream) => sum + stream.doubted, 0);
  if (doubted === 0) return 'missing';
  return doubted < countGaps(streams) ? 'missing or in doubt' : 'in doubt';
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

function describeReach(instances: readonly InstanceHealth[], nowMs: number): string {
  const streams = instances.flatMap((instance) => instance.streams);
  const known = streams.reduce((sum, { knownMissing }) => sum + knownMissing, 0);
  const but = known === 0 ? '' : `, apart from ${count(known, 'number')} known to be missing`;
  if (streams.length === 0) return 'Nothing has been exported yet.';
  const to = completeTo(streams);
  if (to === null) return `Nothing is late${but}.`;
  const yesterday = addDays(dayAt(nowMs), -1);
  return to === yesterday
    ? `Everything is here up to yesterday, ${to}${but}.`
    : `Nothing is late: everything is here up to ${to}${but}.`;
}

/** The last day up to which nothing is missing of the streams that are collected; null if there is none. */
export function completeTo(
  streams: readonly { readonly completeTo: UsageDay | null; readonly orgsTracked: number }[],
): UsageDay | null {
  const collected = streams.filter(({ orgsTracked }) => orgsTracked > 0);
  if (collected.some((stream) => stream.completeTo === null)) return null;
  return collected.flatMap((stream) => stream.completeTo ?? []).sort()[0] ?? null;
}
