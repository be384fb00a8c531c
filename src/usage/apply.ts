/**
 * The effect of an answer on a cell: its new row in the ledger, with its standing and the time of its next read, and
 * its new numbers. Pure; nothing else decides a standing from an answer. docs/architecture.md has it as a table.
 */
import {
  type Cell,
  type CellAnswer,
  type CellResult,
  ORG_DELETED,
  type Reason,
  type Verdict,
} from './cell.ts';
import { DAY_MS, HOUR_MS } from './day.ts';
import { differencesOf, hasAnyNumber, type Numbers, numberAt, type Part } from './numbers.ts';
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
import { streamNamed } from './streams/catalog.ts';

/** A cell as it is in the ledger. */
export interface StoredCell {
  readonly cell: Cell;
  /** The stored numbers; null if none are. */
  readonly numbers: Numbers | null;
}

/** Another stream's cell of the same organization and day, which counts the same payloads. */
export interface Counterpart extends StoredCell {
  readonly stream: string;
}

/** A cell, an answer for it, and what its counterparts have on the same day. */
export interface Situation extends StoredCell {
  readonly answer: CellAnswer;
  readonly counterparts: readonly Counterpart[];
  readonly policy: Policy;
}

export interface Applied {
  readonly result: CellResult;
  readonly cell: Cell;
  /** The new numbers; null if they stay. */
  readonly numbers: Numbers | null;
  /** The differences of the new numbers from stored ones; null if there are none. */
  readonly differences: ReturnType<typeof differencesOf>;
  /** The reason and its message; null if nothing was wrong. */
  readonly problem: Reason | null;
}

/** The numbers of a cell that stay as they are. */
const KEPT = { numbers: null, differences: null } as const;

/** Applies an answer to a cell. A number that was stored is never taken away, and never replaced by silence. */
export function apply(situation: Situation): Applied {
  const { cell, answer, policy } = situation;
  const { verdict } = answer;
  const isComplete = verdict.kind === 'named' && verdict.leftOut.length === 0;
  // An organization that has returned has its cells due again.
  const isGone = cell.reason === ORG_DELETED && cell.nextReadAtMs === null;
  const isPast = answer.day < horizonStart(answer.sentAtMs, policy);
  if ((isGone || isPast) && (cell.isStored || !isComplete)) return stay(situation);
  if (isComplete) return write(situation, verdict.numbers, { isReported: true, silences: 0 });
  if ('code' in verdict) return fail(situation, verdict, verdict.kind);
  return cell.standing === 'accepted' ? keepAccepted(situation) : applySilence(situation, verdict);
}

/** An answer that left out numbers of the day, or all of them. */
type Silence = Extract<Verdict, { kind: 'named' | 'left_out' }>;

/** Takes the numbers that Losant left out for zeros, unless something speaks against them. */
function applySilence(situation: Situation, verdict: Silence): Applied {
  const { cell, numbers, answer } = situation;
  if (streamNamed(answer.stream).kind === 'level') {
    if (numbers !== null) return doubt(situation, leftOut('the day'));
    return leaveOpen(situation, { code: 'left_out', message: 'Losant has no number for this day' });
  }
  const lost = numbers === null ? null : nameLost(numbers, verdict);
  if (lost !== null) return doubt(situation, leftOut(lost));
  const objection = objectionTo(situation, verdict);
  if (objection !== null && numbers === null) return leaveOpen(situation, objection);
  if (objection?.code === 'contradicted') return doubt(situation, objection);
  const next = verdict.kind === 'named' ? verdict.numbers : (numbers ?? zerosOf(answer.stream));
  if (verdict.kind === 'named' && verdict.doubt) return writeInDoubt(situation, next, verdict.doubt);
  const isReported = cell.isStored && cell.isReported;
  return write(situation, next, { isReported, silences: isReported ? 0 : silencesAfter(situation) });
}

/** Names what was left out of stored numbers other than zero; null if nothing was. */
function nameLost(numbers: Numbers, verdict: Silence): string | null {
  if (verdict.kind === 'left_out') return hasAnyNumber(numbers) ? 'the day' : null;
  const lost = verdict.leftOut.filter((part) => numberAt(numbers, part) !== 0);
  const columns = new Set(lost.map(({ column }) => column));
  return columns.size === 0 ? null : [...columns].join(', ');
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
function objectionTo({ answer, counterparts }: Situation, verdict: Silence): Reason | null {
  const { includes = {}, waitsFor } = streamNamed(answer.stream);
  if (verdict.kind === 'named') {
    const { numbers, leftOut: parts } = verdict;
    const isIncluded = ({ column, hour }: Part) =>
      (includes[column] ?? []).some((other) => numberAt(numbers, { column: other, hour }) > 0);
    if (parts.some(isIncluded)) return contradicted('other numbers of the same answer are not zero');
    if (hasAnyNumber(numbers)) return null;
  }
  const counted = counterparts.find(({ numbers }) => numbers !== null && hasAnyNumber(numbers));
  if (counted) return contradicted(`its ${counted.stream} are not zero`);
  const awaited = counterparts.find(({ stream }) => stream === waitsFor);
  if (!awaited || awaited.numbers !== null || awaited.cell.nextReadAtMs === null) return null;
  const { reason } = awaited.cell;
  const why = reason === null || reason === 'never_read' ? '' : ` (${reason})`;
  const message = `Losant left out numbers, and the ${waitsFor} of the day are not stored yet${why}`;
  return { code: 'unconfirmed', message };
}

/**
 * Returns how often zeros have been left out, with this answer: answers count that are an hour apart. A counterpart
 * that named zero, or that another endpoint left out too, confirms them at once.
 */
function silencesAfter({ cell, answer, counterparts }: Situation): number {
  const endpointOf = (stream: string) => streamNamed(stream).requests[0]?.action;
  const isConfirmed = counterparts.some(
    ({ stream, cell: other, numbers }) =>
      numbers !== null &&
      !hasAnyNumber(numbers) &&
      (other.isReported || endpointOf(stream) !== endpointOf(answer.stream)),
  );
  if (isConfirmed) return SILENCES_NEEDED;
  const before = cell.isStored && !cell.isReported ? cell.silences : 0;
  const isApart = cell.verifiedAtMs === null || answer.sentAtMs - cell.verifiedAtMs >= HOUR_MS;
  return before > 0 && !isApart ? before : Math.min(SILENCES_NEEDED, before + 1);
}

/** Writes the numbers of an accepted answer, final if it was sent late enough and nothing is left to confirm. */
function write(situation: Situation, next: Numbers, known: Pick<Cell, 'isReported' | 'silences'>): Applied {
  const { cell, numbers, answer, policy } = situation;
  const differences = numbers === null ? null : differencesOf(numbers, next);
  const isEqual = numbers !== null && differences === null;
  const isSure = known.isReported || known.silences >= SILENCES_NEEDED;
  const isLate = isFinalRead(answer.day, answer.sentAtMs, policy);
  const isFinal = isSure && (cell.wasFinal || isLate);
  const read: Cell = {
    ...readNow(situation),
    ...known,
    isStored: true,
    revision: cell.revision + (isEqual ? 0 : 1),
    standing: isFinal ? 'final' : 'stored',
    wasFinal: cell.wasFinal || isFinal,
    reason: null,
    message: null,
  };
  const soonMs = isLate && !isSure ? answer.sentAtMs + HOUR_MS : null;
  return {
    result: isEqual ? 'unchanged' : 'loaded',
    cell: planNextRead(situation, read, soonMs),
    numbers: isEqual ? null : next,
    differences,
    problem: null,
  };
}

/** Writes numbers although something speaks against the answer that named them. */
function writeInDoubt(situation: Situation, next: Numbers, problem: Reason): Applied {
  const applied = write(situation, next, { isReported: false, silences: 0 });
  const cell: Cell = { ...applied.cell, standing: 'in_doubt', ...reasonOf(problem) };
  return { ...applied, result: 'failed', cell: planNextRead(situation, cell), problem };
}

/** Leaves the cell without a number, after an answer that does not give one. */
function leaveOpen(situation: Situation, problem: Reason): Applied {
  const { day, sentAtMs } = situation.answer;
  const read: Cell = { ...readNow(situation), ...reasonOf(problem), standing: 'waiting' };
  const soonMs = problem.code === 'unconfirmed' ? sentAtMs + waitMs(day, sentAtMs) : null;
  return { result: 'left_out', cell: planNextRead(situation, read, soonMs), ...KEPT, problem };
}

/** Puts a stored number in doubt. */
function doubt(situation: Situation, problem: Reason): Applied {
  const cell: Cell = { ...situation.cell, ...reasonOf(problem), standing: 'in_doubt' };
  return fail({ ...situation, cell }, problem, 'failed');
}

/** Records a failed read, which takes away no number and no standing. */
function fail(situation: Situation, problem: Reason, result: 'failed' | 'quarantined'): Applied {
  const { cell, answer } = situation;
  // A batch whose end was not seen is loaded again.
  const attempts = cell.attemptedAtMs === answer.sentAtMs ? cell.attempts : cell.attempts + 1;
  const keepsReason = cell.standing === 'accepted' || cell.standing === 'in_doubt';
  const read: Cell = {
    ...cell,
    ...(keepsReason ? {} : reasonOf(problem)),
    standing: standingAfterFailure(cell),
    attemptedAtMs: answer.sentAtMs,
    attempts,
  };
  const retryMs = retryAtMs(answer.sentAtMs, attempts, problem.code);
  const { code, message } = problem;
  return { result, cell: planNextRead(situation, read, retryMs), ...KEPT, problem: { code, message } };
}

function standingAfterFailure({ standing, isStored }: Cell): Cell['standing'] {
  if (standing === 'accepted') return standing;
  if (!isStored) return 'missing';
  // The cell could no longer be read, and can again.
  return standing === 'unavailable' ? 'in_doubt' : standing;
}

/** Keeps an accepted cell as it is until Losant names the number. */
function keepAccepted(situation: Situation): Applied {
  const { verifiedAtMs, sha256 } = situation.cell;
  const read = { ...readNow(situation), verifiedAtMs, sha256 };
  return { result: 'unchanged', cell: planNextRead(situation, read), ...KEPT, problem: null };
}

/** Leaves a cell as it is whose day is past the horizon or whose organization is gone. */
function stay({ cell }: Situation): Applied {
  const result = cell.isStored || cell.standing === 'accepted' ? 'unchanged' : 'unavailable';
  return { result, cell: { ...cell, nextReadAtMs: null }, ...KEPT, problem: null };
}

function readNow({ cell, answer: { sentAtMs, sha256 } }: Situation): Cell {
  return { ...cell, verifiedAtMs: sentAtMs, attemptedAtMs: sentAtMs, attempts: 0, sha256 };
}

/**
 * Returns the cell with its next read: the earliest of the next checkpoint, of `soonMs`, and of a time that was set
 * after the answer's request was sent. One that is neither final nor accepted has one a day until the horizon.
 */
function planNextRead(
  { cell: before, answer, policy }: Situation,
  cell: Cell,
  soonMs: number | null = null,
): Cell {
  const { day, sentAtMs } = answer;
  if (day < horizonStart(sentAtMs, policy)) return { ...cell, nextReadAtMs: null };
  const checkpointMs = nextCheckpointMs(day, sentAtMs, policy);
  const isClosed = cell.standing === 'final' || cell.standing === 'accepted';
  const dailyMs = checkpointMs === null && !isClosed ? sentAtMs + DAY_MS : null;
  const setMs = (before.nextReadAtMs ?? 0) > sentAtMs ? before.nextReadAtMs : null;
  const soon = [soonMs, dailyMs].filter((each) => each != null).map(wakeUpMs);
  const times = [checkpointMs, setMs, ...soon].filter((each) => each !== null);
  return { ...cell, nextReadAtMs: times.length === 0 ? null : Math.min(...times) };
}

function reasonOf({ code, message }: Reason): Pick<Cell, 'reason' | 'message'> {
  return { reason: code, message };
}

function leftOut(what: string): Reason {
  const message = `Losant left out ${what}, for which a number other than zero is stored`;
  return { code: 'left_out', message };
}

function contradicted(why: string): Reason {
  return { code: 'contradicted', message: `Losant left out numbers of the day, but ${why}` };
}
