/**
 * The effect of an answer on a cell: its new row in the ledger, with its standing and the time of its next read, and
 * its new numbers. Pure; nothing else decides a standing from an answer. docs/architecture.md has it as a table.
 */
import {
  type Cell,
  type CellResponse,
  type CellResult,
  ORG_DELETED,
  type Reason,
  type Verdict,
} from './cell.ts';
import { DAY_MS, HOUR_MS } from './day.ts';
import { differencesOf, hasAnyNumber, type NumberRef, type Numbers, numberAt } from './numbers.ts';
import {
  floorToWakeUp,
  horizonStart,
  isFinalRead,
  nextCheckpointMs,
  OMISSIONS_NEEDED,
  type Policy,
  recheckDelayMs,
  retryAtMs,
} from './policy.ts';
import { getStream } from './streams/catalog.ts';

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
export interface ApplyInput extends StoredCell {
  readonly answer: CellResponse;
  readonly counterparts: readonly Counterpart[];
  readonly policy: Policy;
}

export interface CellUpdate {
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
const NUMBERS_UNCHANGED = { numbers: null, differences: null } as const;

/** Applies a response to a cell. A stored number is never removed, and never replaced because a response omits it. */
export function applyResponse(situation: ApplyInput): CellUpdate {
  const { cell, answer, policy } = situation;
  const { verdict } = answer;
  const isComplete = verdict.kind === 'reported' && verdict.omitted.length === 0;
  // An organization that has returned has its cells due again.
  const isGone = cell.reason === ORG_DELETED && cell.nextReadAtMs === null;
  const isPast = answer.day < horizonStart(answer.sentAtMs, policy);
  if ((isGone || isPast) && (cell.isStored || !isComplete)) return leaveUnchanged(situation);
  if (isComplete) return storeNumbers(situation, verdict.numbers, { isReported: true, omissions: 0 });
  if ('code' in verdict) return recordFailedRead(situation, verdict, verdict.kind);
  return cell.standing === 'waived' ? keepAccepted(situation) : applyOmission(situation, verdict);
}

/** An answer that left out numbers of the day, or all of them. */
type Omission = Extract<Verdict, { kind: 'reported' | 'omitted' }>;

/** Takes the numbers that Losant left out for zeros, unless something speaks against them. */
function applyOmission(situation: ApplyInput, verdict: Omission): CellUpdate {
  const { cell, numbers, answer } = situation;
  if (getStream(answer.stream).kind === 'level') {
    if (numbers !== null) return markInDoubt(situation, omitted('the day'));
    return leaveUnstored(situation, { code: 'omitted', detail: 'Losant reports no number for this day' });
  }
  const lost = numbers === null ? null : describeLostNumbers(numbers, verdict);
  if (lost !== null) return markInDoubt(situation, omitted(lost));
  const objection = findObjection(situation, verdict);
  if (objection !== null && numbers === null) return leaveUnstored(situation, objection);
  if (objection?.code === 'contradicted') return markInDoubt(situation, objection);
  const next = verdict.kind === 'reported' ? verdict.numbers : (numbers ?? zerosOf(answer.stream));
  if (verdict.kind === 'reported' && verdict.doubt) return writeInDoubt(situation, next, verdict.doubt);
  const isReported = cell.isStored && cell.isReported;
  return storeNumbers(situation, next, { isReported, omissions: isReported ? 0 : countOmissions(situation) });
}

/** Names what was left out of stored numbers other than zero; null if nothing was. */
function describeLostNumbers(numbers: Numbers, verdict: Omission): string | null {
  if (verdict.kind === 'omitted') return hasAnyNumber(numbers) ? 'the day' : null;
  const lost = verdict.omitted.filter((part) => numberAt(numbers, part) !== 0);
  const columns = new Set(lost.map(({ column }) => column));
  return columns.size === 0 ? null : [...columns].join(', ');
}

/** Returns the zeros of a flow for a day that a response omitted. */
export function zerosOf(stream: string): Numbers {
  const zeroOf = (column: string) => {
    if (column === 'payload_sources') return {};
    return column.startsWith('hours_') ? Array.from({ length: 24 }, () => 0) : 0;
  };
  return Object.fromEntries(getStream(stream).columns.map((column) => [column, zeroOf(column)]));
}

/** Returns what contradicts zeros that were only omitted; null if nothing does. */
function findObjection({ answer, counterparts }: ApplyInput, verdict: Omission): Reason | null {
  const { includes = {}, waitsFor } = getStream(answer.stream);
  if (verdict.kind === 'reported') {
    const { numbers, omitted: parts } = verdict;
    const isIncluded = ({ column, hour }: NumberRef) =>
      (includes[column] ?? []).some((other) => numberAt(numbers, { column: other, hour }) > 0);
    if (parts.some(isIncluded)) return contradicted('other numbers in the same response are not zero');
    if (hasAnyNumber(numbers)) return null;
  }
  const counted = counterparts.find(({ numbers }) => numbers !== null && hasAnyNumber(numbers));
  if (counted) return contradicted(`${counted.stream} is not zero`);
  const awaited = counterparts.find(({ stream }) => stream === waitsFor);
  if (!awaited || awaited.numbers !== null || awaited.cell.nextReadAtMs === null) return null;
  const { reason } = awaited.cell;
  const why = reason === null || reason === 'never_read' ? '' : ` (${reason})`;
  const detail = `Losant omitted numbers, and ${waitsFor} is not stored for the day yet${why}`;
  return { code: 'unconfirmed', detail };
}

/**
 * Counts responses, an hour apart, that omitted the zeros, including this one. A counterpart that reported zero,
 * or that another endpoint omitted too, confirms them at once.
 */
function countOmissions({ cell, answer, counterparts }: ApplyInput): number {
  const endpointOf = (stream: string) => getStream(stream).requests[0]?.action;
  const isConfirmed = counterparts.some(
    ({ stream, cell: other, numbers }) =>
      numbers !== null &&
      !hasAnyNumber(numbers) &&
      (other.isReported || endpointOf(stream) !== endpointOf(answer.stream)),
  );
  if (isConfirmed) return OMISSIONS_NEEDED;
  const before = cell.isStored && !cell.isReported ? cell.omissions : 0;
  const isApart = cell.lastReadAtMs === null || answer.sentAtMs - cell.lastReadAtMs >= HOUR_MS;
  return before > 0 && !isApart ? before : Math.min(OMISSIONS_NEEDED, before + 1);
}

/** Writes the numbers of an accepted answer, final if it was sent late enough and nothing is left to confirm. */
function storeNumbers(
  situation: ApplyInput,
  next: Numbers,
  known: Pick<Cell, 'isReported' | 'omissions'>,
): CellUpdate {
  const { cell, numbers, answer, policy } = situation;
  const differences = numbers === null ? null : differencesOf(numbers, next);
  const isEqual = numbers !== null && differences === null;
  const isSure = known.isReported || known.omissions >= OMISSIONS_NEEDED;
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
    detail: null,
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
function writeInDoubt(situation: ApplyInput, next: Numbers, problem: Reason): CellUpdate {
  const applied = storeNumbers(situation, next, { isReported: false, omissions: 0 });
  const cell: Cell = { ...applied.cell, standing: 'in_doubt', ...reasonOf(problem) };
  return { ...applied, result: 'failed', cell: planNextRead(situation, cell), problem };
}

/** Leaves the cell without a number. */
function leaveUnstored(situation: ApplyInput, problem: Reason): CellUpdate {
  const { day, sentAtMs } = situation.answer;
  const read: Cell = { ...readNow(situation), ...reasonOf(problem), standing: 'waiting' };
  const soonMs = problem.code === 'unconfirmed' ? sentAtMs + recheckDelayMs(day, sentAtMs) : null;
  return { result: 'omitted', cell: planNextRead(situation, read, soonMs), ...NUMBERS_UNCHANGED, problem };
}

/** Puts a stored number in doubt. */
function markInDoubt(situation: ApplyInput, problem: Reason): CellUpdate {
  const cell: Cell = { ...situation.cell, ...reasonOf(problem), standing: 'in_doubt' };
  return recordFailedRead({ ...situation, cell }, problem, 'failed');
}

/** Records a failed read, which takes away no number and no standing. */
function recordFailedRead(
  situation: ApplyInput,
  problem: Reason,
  result: 'failed' | 'quarantined',
): CellUpdate {
  const { cell, answer } = situation;
  // A batch whose end was not seen is loaded again.
  const failedReads = cell.lastAttemptAtMs === answer.sentAtMs ? cell.failedReads : cell.failedReads + 1;
  const keepsReason = cell.standing === 'waived' || cell.standing === 'in_doubt';
  const read: Cell = {
    ...cell,
    ...(keepsReason ? {} : reasonOf(problem)),
    standing: standingAfterFailure(cell),
    lastAttemptAtMs: answer.sentAtMs,
    failedReads,
  };
  const retryMs = retryAtMs(answer.sentAtMs, failedReads, problem.code);
  const { code, detail } = problem;
  return {
    result,
    cell: planNextRead(situation, read, retryMs),
    ...NUMBERS_UNCHANGED,
    problem: { code, detail },
  };
}

function standingAfterFailure({ standing, isStored }: Cell): Cell['standing'] {
  if (standing === 'waived') return standing;
  if (!isStored) return 'missing';
  // The cell could no longer be read, and can again.
  return standing === 'unavailable' ? 'in_doubt' : standing;
}

/** Keeps an accepted cell as it is until Losant names the number. */
function keepAccepted(situation: ApplyInput): CellUpdate {
  const { lastReadAtMs, sha256 } = situation.cell;
  const read = { ...readNow(situation), lastReadAtMs, sha256 };
  return { result: 'unchanged', cell: planNextRead(situation, read), ...NUMBERS_UNCHANGED, problem: null };
}

/** Leaves a cell as it is whose day is past the horizon or whose organization is gone. */
function leaveUnchanged({ cell }: ApplyInput): CellUpdate {
  const result = cell.isStored || cell.standing === 'waived' ? 'unchanged' : 'unavailable';
  return { result, cell: { ...cell, nextReadAtMs: null }, ...NUMBERS_UNCHANGED, problem: null };
}

function readNow({ cell, answer: { sentAtMs, sha256 } }: ApplyInput): Cell {
  return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, failedReads: 0, sha256 };
}

/**
 * Returns the cell with its next read: the earliest of the next checkpoint, of `soonMs`, and of a time that was set
 * after the answer's request was sent. One that is neither final nor accepted has one a day until the horizon.
 */
function planNextRead(
  { cell: before, answer, policy }: ApplyInput,
  cell: Cell,
  soonMs: number | null = null,
): Cell {
  const { day, sentAtMs } = answer;
  if (day < horizonStart(sentAtMs, policy)) return { ...cell, nextReadAtMs: null };
  const checkpointMs = nextCheckpointMs(day, sentAtMs, policy);
  const isClosed = cell.standing === 'final' || cell.standing === 'waived';
  const dailyMs = checkpointMs === null && !isClosed ? sentAtMs + DAY_MS : null;
  const setMs = (before.nextReadAtMs ?? 0) > sentAtMs ? before.nextReadAtMs : null;
  const soon = [soonMs, dailyMs].filter((each) => each != null).map(floorToWakeUp);
  const times = [checkpointMs, setMs, ...soon].filter((each) => each !== null);
  return { ...cell, nextReadAtMs: times.length === 0 ? null : Math.min(...times) };
}

function reasonOf({ code, detail }: Reason): Pick<Cell, 'reason' | 'detail'> {
  return { reason: code, detail };
}

function omitted(what: string): Reason {
  const detail = `Losant omitted ${what}, but a nonzero number is stored`;
  return { code: 'omitted', detail };
}

function contradicted(why: string): Reason {
  return { code: 'contradicted', detail: `Losant omitted numbers for the day, but ${why}` };
}
