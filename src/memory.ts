import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/**
 * The size at which collections are rare enough to cost little. By itself V8 lets the young space grow
 * beyond 100 MB.
 */
const YOUNG_BYTES = 6_000_000;

/**
 * Keeps garbage from accumulating: the space of young objects grows to 32 MB under load instead of beyond 100, and old
 * objects are collected once they have doubled. V8 reads both flags at each collection; a version that no longer reads
 * them uses memory as it would without.
 */
export function limitGarbage(): void {
  setFlagsFromString('--heap-growing-percent=100');
  let mayGrow = true;
  const observer = new PerformanceObserver(() => {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
    // The space shrinks while the process is idle, and may grow again after that.
    const isSmall = (young?.space_size ?? 0) < YOUNG_BYTES;
    if (isSmall === mayGrow) return;
    mayGrow = isSmall;
    setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
  });
  observer.observe({ entryTypes: ['gc'] });
}
