import type { Health } from '../queries/health.ts';
import type { Reading } from './readings.ts';

/** What is known of the database. */
export interface DatabaseView {
  /** Whether it answers a trivial query in time. */
  readonly isUp: boolean;
  /** The newest reading of what is held; null before the first. */
  readonly reading: Reading<Health> | null;
}

/** How old the reading is; since `sinceMs` before the first one. */
export function ageOf(
  { reading }: DatabaseView,
  { nowMs, sinceMs }: { nowMs: number; sinceMs: number },
): number {
  return Math.max(0, nowMs - (reading?.atMs ?? sinceMs));
}

/** What is shown of the reading: a database that is away may hold something else by now. */
export function shownHealth({ isUp, reading }: DatabaseView): Health | null {
  return isUp ? (reading?.value ?? null) : null;
}
