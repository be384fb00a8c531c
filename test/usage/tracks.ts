import type { KnownCell, PagePlan, Track } from '../../src/usage/plan.ts';
import type { Policy } from '../../src/usage/policy.ts';

/** The checkpoints, final age and horizon of the default settings. */
export const policy: Policy = {
  readAtHours: [0, 6, 24, 48, 72, 168, 720],
  finalAtHours: 72,
  horizonDays: 90,
};

export const at = (instant: string): number => Date.parse(instant);

/** A ranged stream, tracked long enough, of which nothing is stored. */
export function track(changes: Partial<Track> = {}): Track {
  return {
    orgId: '5d0000000000000000000001',
    stream: 'device_counts',
    windowDays: 31,
    trackedFrom: '2026-01-01',
    trackedTo: null,
    createdOn: null,
    expiredTo: null,
    removedOn: null,
    settled: [],
    cells: [],
    ...changes,
  };
}

/** A cell of the ledger, never read and in no backoff unless told. */
export function cell(day: string, state: KnownCell['state'], changes: Partial<KnownCell> = {}): KnownCell {
  return { day, state, verifiedAtMs: null, nextAttemptAtMs: null, ...changes };
}

/** A held cell and when its newest accepted answer was asked for. */
export function held(day: string, state: 'loaded' | 'final', verifiedAt: string): KnownCell {
  return cell(day, state, { verifiedAtMs: at(verifiedAt) });
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
    ...plan.lost.map(() => 'lost'),
    ...plan.waiting.map(({ state }) => `waiting: ${state}`),
    ...Array.from({ length: plan.pastHorizon }, () => 'past the horizon'),
  ];
  if (fates.length > 1) throw new Error(`one cell was expected: ${fates.join('; ')}`);
  return fates[0] ?? 'settled';
}
