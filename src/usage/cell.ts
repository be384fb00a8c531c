import type { UsageDay } from './day.ts';

/** A cell: organization × stream × usage day, the unit of truth. */
export interface CellKey {
  readonly orgId: string;
  readonly stream: string;
  readonly day: UsageDay;
}

/** What is held of a cell; each is explained in the comment of `coverage.state`. */
export type CellState = 'loaded' | 'final' | 'absent' | 'quarantined' | 'failed' | 'unavailable' | 'waived';

/** One text per cell, for maps; in the order in which every writer locks cells. */
export function cellId({ orgId, stream, day }: CellKey): string {
  return `${day} ${stream} ${orgId}`;
}

/** Whether numbers are held in this state. */
export function isHeldState(state: CellState): boolean {
  return state === 'loaded' || state === 'final';
}

/** The order of ids, days and stream names in the database: by code units, as its collation "C" has it. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
