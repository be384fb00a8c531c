import { readFileSync } from 'node:fs';
import type { DayRange } from '../../../src/usage/day.ts';
import {
  type DayReading,
  type Stream,
  UnplaceableBodyError,
  type WindowReading,
} from '../../../src/usage/streams/stream.ts';

/** A recorded body: the documented example rows, with the envelope that live bodies carry. */
export function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${name}.json`, import.meta.url), 'utf8'));
}

/** The days of a reading as a plain object. */
export function daysOf({ days }: WindowReading): Record<string, DayReading> {
  return Object.fromEntries(days);
}

/** Why the bodies cannot be placed; null if they can. Any other error is a defect and is thrown on. */
export function unplaceable(stream: Stream, bodies: readonly unknown[], window: DayRange): string | null {
  try {
    stream.readBodies(bodies, window);
    return null;
  } catch (error) {
    if (error instanceof UnplaceableBodyError) return error.message;
    throw error;
  }
}
