import { type DueScope, readDuePage } from '../ledger/due.ts';
import type { CellKey } from '../usage/cell.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import type { InstanceContext } from './context.ts';
import type { Refusals } from './refusals.ts';

/** Where a run looks for what is due. */
export interface Seeking {
  readonly scope: DueScope;
  /** Returns the time in ms at which what has become due meanwhile goes before older days. */
  readonly nextPassMs: () => number;
  /** Resolves when all cells that were yielded are loaded. */
  readonly whenLoaded: () => Promise<void>;
  /** Discovers and fills again, because a day has ended since. */
  readonly onNewDay: () => Promise<void>;
}

/** Days younger than this go first, over all organizations. */
const YOUNG_DAYS = 7;

/**
 * Yields the cells that are due, a page of organizations at a time: first those of the last week, over all
 * organizations, then older ones. When a wake-up has passed, or midnight, it begins with the last week again, so that a
 * long backfill never delays yesterday, and goes on with older days where it was. At the end it looks for what was set
 * due meanwhile, by a backfill that waits. A cell comes once between two wake-ups.
 */
export async function* readDuePages(
  { db, now, policy }: Pick<InstanceContext, 'db' | 'now' | 'policy'>,
  { scope, nextPassMs, whenLoaded, onNewDay }: Seeking,
  refusals: Refusals,
): AsyncGenerator<CellKey[]> {
  const readPage = async (place: Place) => {
    const options = { nowMs: now(), policy, stopped: refusals.stopped };
    return refusals.isTotal ? [] : await readDuePage(db, scope, { ...options, ...place });
  };
  let olderAfter = '';
  let sinceMs: number | null = null;
  let lookedAtMs = now();
  let hasFound = false;
  for (let today = dayAt(now()); ; ) {
    const passEndMs = nextPassMs();
    const youngFrom = addDays(today, -YOUNG_DAYS);
    let after = '';
    while (dayAt(now()) === today) {
      const cells = await readPage({ from: youngFrom, to: null, afterOrgId: after, sinceMs });
      if (cells.length === 0) break;
      hasFound = true;
      after = lastOrgId(cells);
      yield cells;
    }
    let isAtEnd = false;
    // At least one page of older days, so that wake-ups at short intervals do not keep them waiting for ever.
    for (let isFirst = true; dayAt(now()) === today && (isFirst || now() < passEndMs); isFirst = false) {
      const cells = await readPage({
        from: null,
        to: addDays(youngFrom, -1),
        afterOrgId: olderAfter,
        sinceMs,
      });
      isAtEnd = cells.length === 0;
      if (isAtEnd) break;
      hasFound = true;
      olderAfter = lastOrgId(cells);
      yield cells;
    }
    if (isAtEnd && !hasFound) return;
    await whenLoaded();
    const isNewDay = dayAt(now()) !== today;
    if (isAtEnd || isNewDay) {
      sinceMs = isNewDay ? null : lookedAtMs;
      lookedAtMs = now();
      hasFound = false;
      olderAfter = isAtEnd ? '' : olderAfter;
    }
    if (isNewDay) await onNewDay();
    today = dayAt(now());
  }
}

/** The days of a page, and the organization after which it begins. */
interface Place {
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly afterOrgId: string;
  /** Only what was set due after this time; null for all. */
  readonly sinceMs: number | null;
}

function lastOrgId(cells: readonly CellKey[]): string {
  return (cells.at(-1) as CellKey).orgId;
}
