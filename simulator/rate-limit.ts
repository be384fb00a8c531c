const SECOND_MS = 1_000;

/** Whether a request that comes now is one of the first `perSecond` within any second. */
export type RateLimit = (perSecond: number, nowMs: number) => boolean;

/**
 * Creates a rate limit that counts the requests admitted within the last second; refused ones do not
 * count.
 */
export function createRateLimit(): RateLimit {
  let admittedMs: number[] = [];
  let oldest = 0;
  return (perSecond, nowMs) => {
    while (oldest < admittedMs.length && nowMs - (admittedMs[oldest] ?? nowMs) >= SECOND_MS) oldest++;
    if (oldest > perSecond) {
      admittedMs = admittedMs.slice(oldest);
      oldest = 0;
    }
    if (admittedMs.length - oldest >= perSecond) return false;
    admittedMs.push(nowMs);
    return true;
  };
}
