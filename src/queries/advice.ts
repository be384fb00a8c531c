import { showWhen } from '../terminal/words.ts';
import type { CellStory, LedgerRow } from './explain.ts';

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

/** What the operator can do about a cell: only what can work. */
export interface Advice {
  /** What happens by itself. */
  readonly text: string;
  readonly commands: readonly AdvisedCommand[];
}

export interface AdvisedCommand {
  /** When to run it, e.g. `at once`. */
  readonly when: string;
  readonly command: string;
}

/** The advice in one sentence. */
export function showAdvice({ text, commands }: Advice): string {
  return [text, ...commands.map(({ when, command }) => `${when}: ${command}`)].join('; ');
}

export function adviseCell(cell: CellStory, place: CellPlace): Advice {
  const { isTracked, isGap, ledger } = cell;
  if (!place.isOver) return advise('the day is not over in UTC: it is read afterwards');
  if (ledger?.state === 'loaded' || ledger?.state === 'final') return adviseHeld(cell, ledger, place);
  if (ledger?.state === 'waived') return advise('nothing to do; a good read lifts the waiver');
  if (ledger?.state === 'unavailable') {
    const waive = isTracked ? [{ when: 'to accept it', command: waiveCommand(cell, place) }] : [];
    return advise('nothing can be read any more', ...waive);
  }
  if (place.isRemoved) {
    return advise('the organization was deleted in Losant: the next run marks what is missing unavailable');
  }
  const backfill = backfillCommand(cell, place);
  if (!isTracked) return advise('the number is not tracked', { when: 'to read it', command: backfill });
  const at = ledger === null ? null : readAgainAt(ledger, place);
  const next = at === null ? 'read by the next run' : `tried again ${at}`;
  if (!isGap) return advise(next);
  const waive = { when: 'if it will not come', command: waiveCommand(cell, place) };
  return advise(next, { when: 'at once', command: backfill }, waive);
}

/** Reads a held number anew; null where nothing can be read. */
export function rereadCommand(
  { stream, ledger }: CellStory,
  { orgId, day, isOver, isRemoved, isPastHorizon }: CellPlace,
): string | null {
  const isHeld = ledger?.state === 'loaded' || ledger?.state === 'final';
  if (!isHeld || !isOver || isRemoved || isPastHorizon) return null;
  return `losant-usage run --date ${day} --org ${orgId} --stream ${stream}`;
}

/** Tells the same story in a terminal. */
export function explainCommand({ stream }: CellStory, { orgId, day }: CellPlace): string {
  return `losant-usage explain --org ${orgId} --day ${day} --stream ${stream}`;
}

function advise(text: string, ...commands: AdvisedCommand[]): Advice {
  return { text, commands };
}

function adviseHeld(cell: CellStory, ledger: LedgerRow, place: CellPlace): Advice {
  const again = readAgainAt(ledger, place);
  if (ledger.attempts === 0 && ledger.errorCode === null) {
    return advise(again === null ? 'nothing to do' : `nothing to do; it is read again ${again}`);
  }
  const next = again === null ? 'the next run tries again' : `tried again ${again}`;
  const text = `the number is held, but its newest read failed: ${next}`;
  return advise(text, { when: 'at once', command: backfillCommand(cell, place) });
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
