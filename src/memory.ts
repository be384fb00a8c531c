import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** The young space may double below this size. Its collections are then rare enough to cost little. Measured. */
const MAX_GROWING_BYTES = 6_000_000;

/**
 * Limits the memory that garbage occupies: under load the space of young objects grows to 32 MB instead of beyond 100,
 * and old objects are collected once they have doubled. V8 reads both flags at each collection; a version that does not
 * only uses more memory.
 */
export function limitGarbage(): void {
  setFlagsFromString('--heap-growing-percent=100');
  let canGrow = true;
  const observer = new PerformanceObserver(() => {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
    // The space shrinks while the process is idle, so the flag is set in both directions.
    const isSmall = (young?.space_size ?? 0) < MAX_GROWING_BYTES;
    if (isSmall === canGrow) return;
    canGrow = isSmall;
    setFlagsFromString(`--semi-space-growth-factor=${canGrow ? 2 : 1}`);
  });
  observer.observe({ entryTypes: ['gc'] });
}
