import { readFileSync } from 'node:fs';
import type { DayRange } from '../../../src/usage/day.ts';
import { nameOf } from '../../../src/usage/numbers.ts';
import { type Stream, UnplaceableBodyError } from '../../../src/usage/streams/stream.ts';

export const ONE_DAY: DayRange = { from: '2025-11-25', to: '2025-11-25' };
export const TWO_DAYS: DayRange = { from: '2025-11-25', to: '2025-11-26' };

/** A recorded body: the documented example rows, with the envelope that live bodies carry. */
export function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${name}.json`, import.meta.url), 'utf8'));
}

/**
 * Returns what bodies say of each day: its numbers in the order of the columns, then the names of those that were left
 * out; or what is wrong with the day; or why the bodies cannot be placed.
 */
export function daysIn(
  stream: Stream,
  bodies: readonly unknown[],
  window = ONE_DAY,
): Record<string, unknown> | string {
  try {
    const { days } = stream.readBodies(bodies, window);
    const entries = [...days].map(([day, reading]): [string, unknown] => {
      if (reading.kind !== 'named') return [day, `${reading.code}: ${reading.message}`];
      return [day, [...Object.values(reading.numbers), ...reading.leftOut.map((part) => nameOf(part))]];
    });
    return Object.fromEntries(entries);
  } catch (error) {
    if (error instanceof UnplaceableBodyError) return error.message;
    throw error;
  }
}
