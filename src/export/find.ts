import { type DueScope, readDuePage } from '../ledger/due.ts';
import type { CellKey } from '../usage/cell.ts';
import { addDays, dayAt } from '../usage/day.ts';
import type { InstanceContext } from './context.ts';
import type { Refusals } from './refusals.ts';

/** A look at what is due in a scope, until the next wake-up. */
export interface Pass {
  readonly scope: DueScope;
  /** The time in ms at which what has become due meanwhile goes before older days. */
  readonly endMs: number;
  readonly refusals: Refusals;
  /** Only what was set due after this time, as by a backfill that waits; null for all. */
  readonly sinceMs: number | null;
  /** The last organization whose older days were read; empty at first. */
  olderAfter: string;
  /** Whether nothing was left. */
  isAtEnd: boolean;
  hasFound: boolean;
}

/** Days younger than this go first, over all organizations. */
const YOUNG_DAYS = 7;

/**
 * Yields the cells that are due, a page of organizations at a time: first those of the last week, over all
 * organizations, then older ones, where the pass before ended. Ends when a wake-up has passed, or midnight, so that a
 * long backfill never delays yesterday. A cell comes once in a pass.
 */
export async function* readDuePages(
  { db, now, policy }: Pick<InstanceContext, 'db' | 'now' | 'policy'>,
  pass: Pass,
): AsyncGenerator<CellKey[]> {
  const { scope, endMs, refusals, sinceMs } = pass;
  const today = dayAt(now());
  const young = { from: addDays(today, -YOUNG_DAYS), to: null };
  const older = { from: null, to: addDays(young.from, -1) };
  const readPage = async (days: typeof young | typeof older, afterOrgId: string) => {
    const options = { nowMs: now(), policy, stopped: refusals.stopped, sinceMs, afterOrgId, ...days };
    const cells = refusals.isTotal ? [] : await readDuePage(db, scope, options);
    pass.hasFound ||= cells.length > 0;
    return cells;
  };
  for (let afterOrgId = ''; dayAt(now()) === today; ) {
    const cells = await readPage(young, afterOrgId);
    if (cells.length === 0) break;
    afterOrgId = lastOrgId(cells);
    yield cells;
  }
  // At least one page of older days, so that wake-ups at short intervals do not keep them waiting for ever.
  for (let isFirst = true; dayAt(now()) === today && (isFirst || now() < endMs); isFirst = false) {
    const cells = await readPage(older, pass.olderAfter);
    pass.isAtEnd = cells.length === 0;
    if (pass.isAtEnd) return;
    pass.olderAfter = lastOrgId(cells);
    yield cells;
  }
}

function lastOrgId(cells: readonly CellKey[]): string {
  return (cells.at(-1) as CellKey).orgId;
}
