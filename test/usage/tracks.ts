import type { Cell } from '../../src/usage/cell.ts';
import type { DayRange } from '../../src/usage/day.ts';
import type { DueTrack, PagePlan } from '../../src/usage/plan.ts';
import { nextCheckpointMs, type Policy } from '../../src/usage/policy.ts';

/** The checkpoints, final age and horizon of the default settings. */
export const policy: Policy = {
  readAtHours: [0, 6, 24, 48, 72, 168, 720],
  finalAtHours: 72,
  horizonDays: 90,
};

export const at = (instant: string): number => Date.parse(instant);

/** One organization's stream as it stands in the database. */
export interface Track {
  readonly orgId: string;
  readonly stream: string;
  readonly trackedFrom: string;
  readonly trackedTo: string | null;
  readonly createdOn: string | null;
  readonly removedOn: string | null;
  /** Days that are stored and not read any more. */
  readonly settled: readonly DayRange[];
  readonly cells: readonly KnownCell[];
}

/** A row of coverage. */
export interface KnownCell {
  readonly day: string;
  readonly standing: Cell['standing'];
  readonly nextReadAtMs: number | null;
  readonly attempts?: number;
}

/** A ranged stream, tracked long enough, of which nothing is stored. */
export function track(changes: Partial<Track> = {}): Track {
  return {
    orgId: '5d0000000000000000000001',
    stream: 'device_counts',
    trackedFrom: '2026-01-01',
    trackedTo: null,
    createdOn: null,
    removedOn: null,
    settled: [],
    cells: [],
    ...changes,
  };
}

/** A ranged stream as the database found it, with nothing due unless told. */
export function dueTrack(changes: Partial<DueTrack> = {}): DueTrack {
  return {
    orgId: '5d0000000000000000000001',
    stream: 'device_counts',
    removedOn: null,
    unread: [],
    stored: [],
    uncovered: [],
    untracked: [],
    asked: [],
    ...changes,
  };
}

/** A row of coverage that is not read any more, unless told when. */
export function cell(day: string, standing: Cell['standing'], nextReadAt: string | null = null): KnownCell {
  return { day, standing, nextReadAtMs: nextReadAt === null ? null : at(nextReadAt) };
}

/** A cell as its accepted read of that time leaves it: read again at the next checkpoint. */
export function verified(day: string, standing: Cell['standing'], verifiedAt: string): KnownCell {
  return { day, standing, nextReadAtMs: nextCheckpointMs(day, at(verifiedAt), policy) };
}

/** Each slice as a line: its window, then its days from the newest on. */
export function showSlices({ slices }: PagePlan): string[] {
  return slices.map(({ window, days }) => {
    const listed = days.map(({ day, reason }) => `${day.slice(5)} ${reason}`).join(', ');
    return `${window.from}..${window.to}: ${listed}`;
  });
}

/** Days that are read, by day, with the reason. */
export function readDays({ slices }: PagePlan): Record<string, string> {
  return Object.fromEntries(slices.flatMap(({ days }) => days.map(({ day, reason }) => [day, reason])));
}

/** What the plan says of the only cell there is to decide about. */
export function fateOf(plan: PagePlan): string {
  const fates = [
    ...plan.slices.flatMap(({ days }) => days.map(({ reason }) => `read: ${reason}`)),
    ...plan.closed.map(({ reason }) => `closed: ${reason}`),
    ...Array.from({ length: plan.unreadable }, () => 'unreadable'),
  ];
  if (fates.length > 1) throw new Error(`one cell was expected: ${fates.join('; ')}`);
  return fates[0] ?? 'nothing';
}
