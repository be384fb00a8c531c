import type { CellStory, LedgerRow } from '../../database/read/explain.ts';
import { showWhen } from '../../terminal/time.ts';

/** What an advice depends on beside the cell itself. */
export interface CellPlace {
  readonly orgId: string;
  readonly day: string;
  /** Whether the day has ended in UTC. */
  readonly isOver: boolean;
  /** Whether Losant no longer has the organization. */
  readonly isRemoved: boolean;
  /** Whether Losant should no longer keep the day. */
  readonly isPastHorizon: boolean;
  readonly nowMs: number;
}

/** What the operator can do about a cell, in one sentence: only what can work. */
export function adviseCell(cell: CellStory, place: CellPlace): string {
  const { isTracked, isGap, ledger } = cell;
  if (!place.isOver) return 'the day is not over in UTC: it is read afterwards';
  if (ledger?.state === 'loaded' || ledger?.state === 'final') return adviseHeld(cell, ledger, place);
  if (ledger?.state === 'waived') return 'nothing to do; a good read lifts the waiver';
  if (ledger?.state === 'unavailable') {
    const waive = isTracked ? `; to accept it: ${waiveCommand(cell, place)}` : '';
    return `nothing can be read any more${waive}`;
  }
  if (place.isRemoved) {
    return 'the organization was deleted in Losant: the next run marks what is missing unavailable';
  }
  if (!isTracked) return `the number is not tracked; to read it: ${backfillCommand(cell, place)}`;
  const at = ledger === null ? null : readAgainAt(ledger, place);
  const next = at === null ? 'read by the next run' : `tried again ${at}`;
  if (!isGap) return next;
  return `${next}; at once: ${backfillCommand(cell, place)}; if it will not come: ${waiveCommand(cell, place)}`;
}

function adviseHeld(cell: CellStory, ledger: LedgerRow, place: CellPlace): string {
  const again = readAgainAt(ledger, place);
  if (ledger.attempts === 0 && ledger.errorCode === null) {
    return again === null ? 'nothing to do' : `nothing to do; it is read again ${again}`;
  }
  const next = again === null ? 'the next run tries again' : `tried again ${again}`;
  return `the number is held, but its newest read failed: ${next}; at once: ${backfillCommand(cell, place)}`;
}

/** The next read, where it is not due already. */
function readAgainAt({ nextReadAt }: LedgerRow, { nowMs }: CellPlace): string | null {
  return nextReadAt !== null && Date.parse(nextReadAt) > nowMs ? showWhen(nextReadAt, nowMs) : null;
}

function backfillCommand({ stream }: CellStory, { orgId, day, isPastHorizon }: CellPlace): string {
  const range = `--from ${day} --to ${day} --org ${orgId} --stream ${stream}`;
  return `losant-usage backfill ${range}${isPastHorizon ? ' --past-horizon' : ''}`;
}

function waiveCommand({ stream }: CellStory, { orgId, day }: CellPlace): string {
  return `losant-usage waive --org ${orgId} --day ${day} --stream ${stream} --reason TEXT`;
}
