import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished, vi } from 'vitest';

/** The bound of a wait, below the time limit of a test, so that the failure names what was waited for. */
const TIMEOUT_MS = 100_000;
const STEP_MS = 60;

/** Waits until `probe` is true; fails with the name of what it waits for. */
export async function until(what: string, probe: () => Promise<boolean> | boolean, timeoutMs = TIMEOUT_MS) {
  const endMs = performance.now() + timeoutMs;
  while (!(await probe())) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(STEP_MS);
  }
}

/**
 * Whether Postgres ends a wait for a lock, by its timeout or as a deadlock. Under libfaketime, with which the calendar
 * moves the clock, it does not.
 */
export const endsLockWaits = process.env['FAKETIME'] === undefined;

/** Sets timers aside until the end of the test: they fire when the test says so. */
export function fakeTimers(options: Parameters<typeof vi.useFakeTimers>[0]): void {
  vi.useFakeTimers(options);
  onTestFinished(() => void vi.useRealTimers());
}
