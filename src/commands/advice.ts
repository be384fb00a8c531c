import type { CellStory } from '../database/read/explain.ts';

/** What the operator can do about a cell, in one sentence. */
export function adviseCell(
  { stream, isTracked, isGap, ledger }: CellStory,
  { orgId, day, isOver, isRemoved }: { orgId: string; day: string; isOver: boolean; isRemoved: boolean },
): string {
  if (!isOver) return 'the day is not over in UTC: it is read afterwards';
  const backfill = `losant-usage backfill --from ${day} --to ${day} --org ${orgId} --stream ${stream}`;
  const waive = `losant-usage waive --org ${orgId} --day ${day} --stream ${stream} --reason TEXT`;
  if (ledger?.state === 'loaded' || ledger?.state === 'final') {
    if (ledger.attempts === 0 && ledger.errorCode === null) return 'nothing to do';
    return `the number is held, but its newest read failed: the next run tries again; at once: ${backfill}`;
  }
  if (ledger?.state === 'waived') return 'nothing to do; a good read lifts the waiver';
  if (ledger?.state === 'unavailable') return `nothing can be read any more; to accept it: ${waive}`;
  if (isRemoved)
    return 'the organization was deleted in Losant: the next run marks what is missing unavailable';
  if (!isTracked) return `the number is not promised; to read it: ${backfill}`;
  const next = ledger?.nextAttemptAt ? `tried again after ${ledger.nextAttemptAt}` : 'read by the next run';
  if (!isGap) return next;
  return `${next}; at once: ${backfill}; if it will not come: ${waive}`;
}
