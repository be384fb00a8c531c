import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Where collections are seldom enough to cost little; by itself V8 lets it grow to more than 100 MB. */
const YOUNG_BYTES = 6_000_000;

/**
 * Keeps garbage from gathering: the space of young objects stays at some 8 MB, and old
 * ones are collected once they have doubled. V8 reads both flags at each collection; one
 * that no longer does leaves memory as it is without them.
 */
export function limitGarbage(): void {
  setFlagsFromString('--heap-growing-percent=100');
  let mayGrow = true;
  const observer = new PerformanceObserver(() => {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
    // It shrinks while nothing is to do, and may grow again after that.
    const isSmall = (young?.space_size ?? 0) < YOUNG_BYTES;
    if (isSmall === mayGrow) return;
    mayGrow = isSmall;
    setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
  });
  observer.observe({ entryTypes: ['gc'] });
}
