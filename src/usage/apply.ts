/**
 * The effect of an answer on a cell: its new row in the ledger, with its standing and the time of its next read, and
 * its new numbers. Pure; nothing else decides a standing from an answer. docs/architecture.md has it as a table.
 */
import { type Cell, type CellAnswer, type CellResult, ORG_DELETED, type Reason } from './cell.ts';
import { DAY_MS, HOUR_MS } from './day.ts';
import { hasAnyNumber, type Numbers, nameOf, numberAt, type Part, sameNumbers } from './numbers.ts';
import {
  horizonStart,
  isFinalRead,
  nextCheckpointMs,
  type Policy,
  retryAtMs,
  SILENCES_NEEDED,
  waitMs,
  wakeUpMs,
} from './policy.ts';
import type { Standing } from './standing.ts';
import { streamNamed } from './streams/catalog.ts';

/** Another stream's cell of the same organization and day, which counts the same payloads. */
export interface Counterpart {
  readonly stream: string;
  readonly cell: Cell;
  /** Its numbers; null if none are stored. */
  readonly numbers: Numbers | null;
}

/** A cell with its numbers, an answer for it, and what its counterparts have on the same day. */
export interface Situation {
  readonly cell: Cell;
  /** The stored numbers; null if none are. */
  readonly numbers: Numbers | null;
  readonly answer: CellAnswer;
  readonly counterparts: readonly Counterpart[];
  readonly policy: Policy;
}

export interface Applied {
  readonly result: CellResult;
  readonly cell: Cell;
  /** The new numbers; null if they stay. */
  readonly numbers: Numbers | null;
  /** What was wrong; null if nothing was. */
  readonly problem: Reason | null;
}

/** Applies an answer to a cell. A number that was stored is never taken away, and never replaced by silence. */
export function apply(situation: Situation): Applied {
  const { cell, answer, policy } = situation;
  const { verdict } = answer;
  // An organization that has returned has its cells due again.
  const isGone = cell.reason === ORG_DELETED && cell.nextReadAtMs === null;
  if (isGone || answer.day < horizonStart(answer.sentAtMs, policy)) {
    const isComplete = verdict.kind === 'named' && verdict.leftOut.length === 0;
    return isComplete && !cell.isStored ? store(situation, verdict) : stay(situation);
  }
  switch (verdict.kind) {
    case 'named':
      return verdict.leftOut.length === 0 ? store(situation, verdict) : storePart(situation, verdict);
    case 'left_out':
      return applySilence(situation);
    default:
      return fail(situation, verdict, verdict.kind);
  }
}

type Named = CellAnswer['verdict'] & { kind: 'named' };

/** Stores numbers that Losant named, all of them; a waiver ends. */
function store(situation: Situation, { numbers, doubt }: Named): Applied {
  const applied = write(situation, numbers, { isReported: true, silences: 0 });
  if (doubt === undefined) return applied;
  const inDoubt = {
    ...applied.cell,
    standing: 'in_doubt',
    reason: doubt.code,
    message: doubt.message,
  } as const;
  const cell = { ...inDoubt, nextReadAtMs: nextReadMs(inDoubt, situation, null) };
  return { ...applied, result: 'failed', cell, problem: doubt };
}

/** Stores numbers of which Losant left out some, as zeros unless something speaks against them. */
function storePart(situation: Situation, verdict: Named): Applied {
  const { cell, numbers, answer } = situation;
  if (cell.standing === 'accepted') return keepAccepted(situation);
  const { includes } = streamNamed(answer.stream);
  const lost = numbers === null ? [] : verdict.leftOut.filter((part) => numberAt(numbers, part) !== 0);
  if (lost.length > 0) return doubt(situation, leftOut(listNames(lost)));
  const counting = verdict.leftOut.filter(({ column }) => Object.hasOwn(includes, column));
  const objection = counting.some((part) => includesNamed(part, verdict, includes))
    ? contradicted('other numbers of the same answer are not zero')
    : counting.length > 0 && !hasAnyNumber(verdict.numbers)
      ? objectionTo(situation)
      : null;
  if (objection !== null) {
    if (numbers === null) return leaveOpen(situation, objection);
    if (objection.code === 'contradicted') return doubt(situation, objection);
  }
  const isReported = cell.isStored && cell.isReported;
  const silences = isReported ? 0 : silencesAfter(situation);
  return write(situation, verdict.numbers, { isReported, silences });
}

/** Whether a part that was left out includes a number above zero that was named. */
function includesNamed(
  part: Part,
  { numbers }: Named,
  includes: Readonly<Record<string, readonly string[]>>,
): boolean {
  return (includes[part.column] ?? []).some((column) => numberAt(numbers, { column, hour: part.hour }) > 0);
}

/** Applies an answer that left the day out. */
function applySilence(situation: Situation): Applied {
  const { cell, numbers, answer } = situation;
  if (cell.standing === 'accepted') return keepAccepted(situation);
  const isLevel = streamNamed(answer.stream).kind === 'level';
  if (numbers !== null && (isLevel || hasAnyNumber(numbers))) return doubt(situation, leftOut('the day'));
  if (isLevel)
    return leaveOpen(situation, { code: 'left_out', message: 'Losant has no number for this day' });
  const objection = objectionTo(situation);
  if (numbers === null) {
    if (objection !== null) return leaveOpen(situation, objection);
    return write(situation, zerosOf(answer.stream), {
      isReported: false,
      silences: silencesAfter(situation),
    });
  }
  if (objection?.code === 'contradicted') return doubt(situation, objection);
  const silences = cell.isReported ? 0 : silencesAfter(situation);
  return write(situation, numbers, { isReported: cell.isReported, silences });
}

/** Returns the zeros that a flow has on a day that was left out. */
export function zerosOf(stream: string): Numbers {
  const zeroOf = (column: string) => {
    if (column === 'payload_sources') return {};
    return column.startsWith('hours_') ? Array.from({ length: 24 }, () => 0) : 0;
  };
  return Object.fromEntries(streamNamed(stream).columns.map((column) => [column, zeroOf(column)]));
}

/** Returns what speaks against zeros that Losant did not name; null if nothing does. */
function objectionTo({ answer, counterparts }: Situation): Reason | null {
  const counted = counterparts.find(({ numbers }) => numbers !== null && hasAnyNumber(numbers));
  if (counted) return contradicted(`its ${counted.stream} are not zero`);
  const { waitsFor } = streamNamed(answer.stream);
  const awaited = counterparts.find(({ stream }) => stream === waitsFor);
  if (!awaited || awaited.numbers !== null || awaited.cell.nextReadAtMs === null) return null;
  const why =
    awaited.cell.reason === null || awaited.cell.reason === 'never_read' ? '' : ` (${awaited.cell.reason})`;
  return {
    code: 'unconfirmed',
    message: `Losant left out numbers, and the ${awaited.stream} of the day are not stored yet${why}`,
  };
}

/**
 * Returns how often zeros have been left out, with this answer: answers count that are an hour apart. A counterpart
 * that named zero, or that another endpoint left out too, confirms them at once.
 */
function silencesAfter({ cell, answer, counterparts }: Situation): number {
  const { requests } = streamNamed(answer.stream);
  const isConfirmed = counterparts.some(
    ({ stream, cell: other, numbers }) =>
      numbers !== null &&
      !hasAnyNumber(numbers) &&
      (other.isReported || streamNamed(stream).requests[0]?.action !== requests[0]?.action),
  );
  if (isConfirmed) return SILENCES_NEEDED;
  const before = cell.isStored && !cell.isReported ? cell.silences : 0;
  const isApart = cell.verifiedAtMs === null || answer.sentAtMs - cell.verifiedAtMs >= HOUR_MS;
  return before > 0 && !isApart ? before : Math.min(SILENCES_NEEDED, before + 1);
}

/** Writes the numbers of an accepted answer, final if it was sent late enough and nothing is left to confirm. */
function write(situation: Situation, next: Numbers, known: Pick<Cell, 'isReported' | 'silences'>): Applied {
  const { cell, numbers, answer, policy } = situation;
  const isEqual = numbers !== null && sameNumbers(numbers, next);
  const isSure = known.isReported || known.silences >= SILENCES_NEEDED;
  const isFinal = isSure && (cell.wasFinal || isFinalRead(answer.day, answer.sentAtMs, policy));
  const read = {
    ...readNow(cell, answer),
    ...known,
    isStored: true,
    revision: cell.revision + (isEqual ? 0 : 1),
    standing: isFinal ? 'final' : 'stored',
    wasFinal: cell.wasFinal || isFinal,
    reason: null,
    message: null,
  } as const;
  const soonMs =
    !isSure && isFinalRead(answer.day, answer.sentAtMs, policy) ? answer.sentAtMs + HOUR_MS : null;
  return {
    result: isEqual ? 'unchanged' : 'loaded',
    cell: { ...read, nextReadAtMs: nextReadMs(read, situation, soonMs) },
    numbers: isEqual ? null : next,
    problem: null,
  };
}

/** Leaves the cell without a number, after an answer that does not give one. */
function leaveOpen(situation: Situation, reason: Reason): Applied {
  const { cell, answer } = situation;
  const read = {
    ...readNow(cell, answer),
    standing: 'waiting',
    reason: reason.code,
    message: reason.message,
  } as const;
  const waits = reason.code === 'unconfirmed' ? answer.sentAtMs + waitMs(answer.day, answer.sentAtMs) : null;
  const next = { ...read, nextReadAtMs: nextReadMs(read, situation, waits) };
  return { result: 'left_out', cell: next, numbers: null, problem: reason };
}

/** Puts a stored number in doubt, unless a person accepted it as it stands. */
function doubt(situation: Situation, reason: Reason): Applied {
  if (situation.cell.standing === 'accepted') return keepAccepted(situation);
  const failed = fail(situation, reason, 'failed');
  return {
    ...failed,
    cell: { ...failed.cell, standing: 'in_doubt', reason: reason.code, message: reason.message },
  };
}

/** Records a failed read, which takes away no number and no standing. */
function fail(situation: Situation, problem: Reason, result: 'failed' | 'quarantined'): Applied {
  const { cell, answer } = situation;
  // A batch whose end was not seen is loaded again.
  const attempts = cell.attemptedAtMs === answer.sentAtMs ? cell.attempts : cell.attempts + 1;
  const keepsReason = cell.standing === 'accepted' || cell.standing === 'in_doubt';
  const read = {
    ...cell,
    standing: standingAfterFailure(cell),
    attemptedAtMs: answer.sentAtMs,
    attempts,
    reason: keepsReason ? cell.reason : problem.code,
    message: keepsReason ? cell.message : problem.message,
  };
  const retryMs = retryAtMs(answer.sentAtMs, attempts, problem.code);
  const next = { ...read, nextReadAtMs: nextReadMs(read, situation, retryMs) };
  return { result, cell: next, numbers: null, problem: { code: problem.code, message: problem.message } };
}

function standingAfterFailure({ standing, isStored }: Cell): Cell['standing'] {
  if (standing === 'accepted') return standing;
  if (!isStored) return 'missing';
  // It could no longer be read, and can again.
  return standing === 'unavailable' ? 'in_doubt' : standing;
}

/** Keeps an accepted cell as it is until Losant names the number. */
function keepAccepted(situation: Situation): Applied {
  const { cell, answer } = situation;
  const read = { ...readNow(cell, answer), verifiedAtMs: cell.verifiedAtMs, sha256: cell.sha256 };
  const next = { ...read, nextReadAtMs: nextReadMs(read, situation, null) };
  return { result: 'unchanged', cell: next, numbers: null, problem: null };
}

/** Leaves a cell as it is whose day is past the horizon or whose organization is gone. */
function stay({ cell }: Situation): Applied {
  const result = cell.isStored || cell.standing === 'accepted' ? 'unchanged' : 'unavailable';
  return { result, cell: { ...cell, nextReadAtMs: null }, numbers: null, problem: null };
}

function readNow(cell: Cell, { sentAtMs, sha256 }: CellAnswer): Cell {
  return { ...cell, verifiedAtMs: sentAtMs, attemptedAtMs: sentAtMs, attempts: 0, sha256 };
}

/**
 * Returns the time of the next read: the earliest of the next checkpoint, of `soonMs`, and of a time that was set after
 * the answer's request was sent. A cell that is neither final nor accepted has one a day until the horizon.
 */
function nextReadMs(
  cell: Cell,
  { cell: before, answer, policy }: Situation,
  soonMs: number | null,
): number | null {
  const { day, sentAtMs } = answer;
  if (day < horizonStart(sentAtMs, policy)) return null;
  const checkpointMs = nextCheckpointMs(day, sentAtMs, policy);
  const isClosed = cell.standing === 'final' || cell.standing === 'accepted';
  const dailyMs = checkpointMs === null && !isClosed ? wakeUpMs(sentAtMs + DAY_MS) : null;
  const setSince =
    before.nextReadAtMs !== null && before.nextReadAtMs > sentAtMs ? before.nextReadAtMs : null;
  const times = [checkpointMs, soonMs === null ? null : wakeUpMs(soonMs), dailyMs, setSince];
  const known = times.filter((each) => each !== null);
  return known.length === 0 ? null : Math.min(...known);
}

/** The most names in the message of a cell. */
const NAMES_SHOWN = 6;

function listNames(parts: readonly Part[]): string {
  const rest = parts.length > NAMES_SHOWN ? ` and ${parts.length - NAMES_SHOWN} more` : '';
  return parts.slice(0, NAMES_SHOWN).map(nameOf).join(', ') + rest;
}

function leftOut(what: string): Reason {
  return {
    code: 'left_out',
    message: `Losant left out ${what}, for which a number other than zero is stored`,
  };
}

function contradicted(why: string): Reason {
  return { code: 'contradicted', message: `Losant left out numbers of the day, but ${why}` };
}

/** Whether a person may accept a cell as it is now: it is no longer all right, or will not become final. */
export function isAcceptable({
  standing,
  isReadAgain,
}: {
  readonly standing: Standing;
  readonly isReadAgain: boolean;
}): boolean {
  return ['missing', 'in_doubt', 'unavailable'].includes(standing) || (standing === 'stored' && !isReadAgain);
}
