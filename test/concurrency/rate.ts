/** How often a run renews its share of the rate, and so how long a start may exceed it. */
const HEARTBEAT_MS = 15_000;
/** Shorter windows would show single requests, not a rate. */
const WINDOW_MS = 2_500;
/** A machine that is busy delays a heartbeat, and lets requests arrive closer together than they were sent. */
const LATE_MS = 1_500;
const BUNCHED = 1.2;

/**
 * Requests of a window that are more than `perSecond` allows and that no start excuses, by the time of the
 * first. `startsMs`: when runs began or went on; each counts itself in at once, the others with their next heartbeat.
 */
export function excessOf(
  atMs: readonly number[],
  { perSecond, startsMs }: { readonly perSecond: number; readonly startsMs: readonly number[] },
): { readonly atMs: number; readonly requests: number }[] {
  const allowed = ((perSecond * WINDOW_MS) / 1_000) * BUNCHED + 2;
  return atMs.flatMap((fromMs) => {
    const requests = atMs.filter((each) => each >= fromMs && each < fromMs + WINDOW_MS).length;
    const isExcused = startsMs.some(
      (startMs) => fromMs + WINDOW_MS > startMs && fromMs < startMs + HEARTBEAT_MS + LATE_MS,
    );
    return requests > allowed && !isExcused ? [{ atMs: fromMs, requests }] : [];
  });
}
