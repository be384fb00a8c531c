/** What the ledger says of a cell, as words: the same in a terminal and on a page. */

import { count, showInstant, showNumber, showWhen } from '../terminal/words.ts';
import type { CellStory, LedgerRow, QuarantinedAnswer, Revision, Waiver } from './explain.ts';

export type Fact = readonly [name: string, value: string];

/** What is held, e.g. `loaded, revision 2`; that it is a gap is said beside it. */
export function describeState({ ledger, isTracked }: CellStory): string {
  const parts: string[] = [ledger?.state ?? 'never read'];
  if (ledger && (ledger.state === 'loaded' || ledger.state === 'final')) {
    parts.push(`revision ${ledger.revision}`);
    if (!ledger.reported) parts.push('zeros for a day Losant left out');
  }
  if (!isTracked) parts.push('not tracked');
  return parts.join(', ');
}

/** When it was read and by whom, and what became of it: only what there is to say. */
export function ledgerFacts(ledger: LedgerRow, nowMs: number): Fact[] {
  const { attempts } = ledger;
  const instant = (text: string | null) => (text === null ? null : showInstant(text));
  const facts: readonly (readonly [string, string | null])[] = [
    ['first loaded', instant(ledger.firstLoadedAt)],
    ['read', instant(ledger.verifiedAt)],
    ['final since', instant(ledger.finalizedAt)],
    ['response sha256', ledger.responseSha256],
    ['run', describeRun(ledger)],
    ['last attempt', attempts > 0 ? instant(ledger.attemptedAt) : null],
    ['failed attempts', attempts > 0 ? showNumber(attempts) : null],
    [attempts > 0 ? 'next try' : 'next read', describeNextRead(ledger, nowMs)],
    ['reason', ledger.errorCode === null ? null : `${ledger.errorCode}: ${ledger.errorMessage ?? ''}`],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
}

function describeRun({ runId, runKind, runHost, runVersion }: LedgerRow): string | null {
  if (runKind === null) return runId;
  return `${runId} (${[runKind, runHost, `version ${runVersion}`].filter((part) => part !== null).join(', ')})`;
}

function describeNextRead({ nextReadAt }: LedgerRow, nowMs: number): string | null {
  if (nextReadAt === null) return null;
  return Date.parse(nextReadAt) > nowMs ? showWhen(nextReadAt, nowMs) : 'with the next run';
}

/** Who changed a number: `run ID`, or the database user that did it by hand. */
export function describeAuthor({ runId, changedBy }: Pick<Revision, 'runId' | 'changedBy'>): string {
  return runId === null ? `by hand, ${changedBy}` : `run ${runId}`;
}

/** Only what differs: `minutes 5 -> 6`. */
export function describeChange({ key, old, new: now }: Revision): string {
  const columns = Object.keys(now ?? old ?? {}).filter((column) => old?.[column] !== now?.[column]);
  const changes = columns.map(
    (column) => `${column} ${showHeld(old?.[column])} -> ${showHeld(now?.[column])}`,
  );
  return [...Object.values(key), changes.join(', ')].join('  ');
}

/** A number, or that none is held. */
export function showHeld(value: number | undefined): string {
  return value === undefined ? 'nothing' : showNumber(value);
}

/** How often an invalid answer was seen, and whether a good one has come since. */
export function describeSeen(answer: QuarantinedAnswer): string {
  const { times, lastSeenAt } = answer;
  return `${count(times, 'time')}, last ${showInstant(lastSeenAt)}, ${describeResolution(answer)}`;
}

/** Other days of the answer may still be without a good one. */
function describeResolution({ resolvedAt, isResolved }: QuarantinedAnswer): string {
  if (resolvedAt !== null) return `resolved ${showInstant(resolvedAt)}`;
  return isResolved ? 'resolved for this day' : 'not resolved';
}

/** Who accepted a number as missing, since when and until when. */
export function describeWaiver({ waivedBy, waivedAt, liftedAt, liftedByRun }: Waiver): string {
  const what = liftedByRun === null ? 'replaced' : 'lifted by a good read';
  const until = liftedAt === null ? 'in force' : `${what} ${showInstant(liftedAt)}`;
  return `by ${waivedBy} ${showInstant(waivedAt)}, ${until}`;
}
