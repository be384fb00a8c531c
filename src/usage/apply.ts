/**
 * The pure function that applies a response to a cell: its new row in the ledger, with its standing and next read, and
 * its new numbers. No other code decides a standing from a response. docs/architecture.md has the rules as a table.
 */
import {
  type CellResponse,
  type CellUpdate,
  OMITTED,
  ORG_DELETED,
  type Reason,
  type StoredCell,
  type Verdict,
} from './cell.ts';
import { DAY_MS } from './day.ts';
import { findDifferences, getNumber, hasNonzero, type Numbers } from './numbers.ts';
import { floorToWakeUp, horizonStart, isFinalRead, nextCheckpointMs, type Policy, retryAtMs } from './policy.ts';
import { isSettled } from './standing.ts';
import { getStream } from './streams/catalog.ts';

interface ApplyInput {
  readonly cell: StoredCell;
  readonly response: CellResponse;
  readonly policy: Policy;
}

type Change = Omit<CellUpdate, 'previous'>;

/** The verdict of a response that reports the day, or leaves out all of it or some of its numbers. */
type Report = Extract<Verdict, { kind: 'reported' | 'omitted' }>;

/**
 * Applies a response to a cell:
 * - Losant reports the day: stored, and final if the request was sent late enough.
 * - It leaves out a flow, and no other number than zero is stored: zeros, which are not reported.
 * - It leaves out a number that is stored: the cell stays as it is, in doubt.
 * - It leaves out a level that is not stored: the cell waits, because no level is ever assumed.
 * - The read fails, or the response is invalid: missing, or the stored number stays. It is retried.
 * - None is possible any more: the cell is not read again.
 */
export function applyResponse(input: ApplyInput): CellUpdate {
  return { previous: input.cell, ...applyVerdict(input) };
}

function applyVerdict(input: ApplyInput): Change {
  const { cell, response, policy } = input;
  const { verdict } = response;
  const isComplete = verdict.kind === 'reported' && verdict.omitted.length === 0;
  // If the organization has returned, the cell has a next read.
  const isDeleted = cell.reason === ORG_DELETED && cell.nextReadAtMs === null;
  const isPastHorizon = response.day < horizonStart(response.sentAtMs, policy);
  if ((isDeleted || isPastHorizon) && (cell.isStored || !isComplete)) return endReads(cell);
  if ('code' in verdict) return recordFailedRead(input, verdict, verdict.kind);
  return isComplete ? storeNumbers(input, verdict.numbers, { isReported: true }) : applyOmission(input, verdict);
}

function applyOmission(input: ApplyInput, verdict: Report): Change {
  const { cell, response } = input;
  if (cell.standing === 'waived') return keepNumbers(input, { standing: 'waived', problem: null });
  const isLevel = getStream(response.stream).kind === 'level';
  if (cell.numbers === null && isLevel) return leaveUnstored(input);
  const lostPart = cell.numbers === null ? null : isLevel ? 'the day' : describeLostPart(cell.numbers, verdict);
  if (lostPart !== null) {
    const detail = `Losant omitted ${lostPart}, but a number is stored`;
    return keepNumbers(input, { standing: 'in_doubt', problem: { code: OMITTED, detail } });
  }
  const numbers = verdict.kind === 'reported' ? verdict.numbers : createZeros(response.stream);
  return storeNumbers(input, numbers, { isReported: false });
}

/** Names what the response left out although a number other than zero is stored; null if there is none. */
function describeLostPart(numbers: Numbers, verdict: Report): string | null {
  if (verdict.kind === 'omitted') return hasNonzero(numbers) ? 'the day' : null;
  const lostParts = verdict.omitted.filter((part) => getNumber(numbers, part) !== 0);
  const columns = new Set(lostParts.map(({ column }) => column));
  return columns.size === 0 ? null : [...columns].join(', ');
}

/** Returns the numbers of a flow on a day without usage. */
export function createZeros(stream: string): Numbers {
  const createZero = (column: string) => {
    if (column === 'payload_sources') return {};
    return column.startsWith('hours_') ? Array.from({ length: 24 }, () => 0) : 0;
  };
  return Object.fromEntries(getStream(stream).columns.map((column) => [column, createZero(column)]));
}

/** Stores numbers: final if the request was sent late enough, or if the cell was final before. */
function storeNumbers(input: ApplyInput, next: Numbers, { isReported }: Pick<StoredCell, 'isReported'>): Change {
  const { cell, response, policy } = input;
  const differences = cell.numbers === null ? null : findDifferences(cell.numbers, next);
  const isEqual = cell.numbers !== null && differences === null;
  const isFinal = cell.wasFinal || isFinalRead(response.day, response.sentAtMs, policy);
  const newCell: StoredCell = {
    ...cell,
    ...RESOLVED,
    ...recordGoodRead(response),
    isStored: true,
    isReported,
    numbers: isEqual ? cell.numbers : next,
    revision: cell.revision + (isEqual ? 0 : 1),
    standing: isFinal ? 'final' : 'stored',
    wasFinal: isFinal,
  };
  return { result: isEqual ? 'unchanged' : 'loaded', cell: planNextRead(input, newCell), differences, problem: null };
}

const RESOLVED = { reason: null, detail: null } as const;

/** Leaves the cell without a number: it waits, and once it is late it is missing. */
function leaveUnstored(input: ApplyInput): Change {
  const { cell, response } = input;
  const problem = { code: OMITTED, detail: 'Losant reports no number for this day' };
  const newCell: StoredCell = {
    ...cell,
    ...recordGoodRead(response),
    ...toReasonColumns(problem),
    standing: 'waiting',
  };
  return { result: 'omitted', cell: planNextRead(input, newCell), differences: null, problem };
}

/** Keeps a cell, in doubt or waived, until Losant reports its numbers; its last good read does not change. */
function keepNumbers(
  input: ApplyInput,
  { standing, problem }: { readonly standing: 'in_doubt' | 'waived'; readonly problem: Reason | null },
): Change {
  const { cell, response } = input;
  const newCell: StoredCell = {
    ...cell,
    ...(problem && toReasonColumns(problem)),
    standing,
    lastAttemptAtMs: response.sentAtMs,
    failedReads: 0,
  };
  const result = problem === null ? 'unchanged' : 'omitted';
  return { result, cell: planNextRead(input, newCell), differences: null, problem };
}

function recordFailedRead(input: ApplyInput, problem: Reason, result: 'failed' | 'quarantined'): Change {
  const { cell, response } = input;
  // A batch is loaded a second time if the outcome of its commit is unknown.
  const failedReads = cell.lastAttemptAtMs === response.sentAtMs ? cell.failedReads : cell.failedReads + 1;
  const standing = cell.isStored || cell.standing === 'waived' ? cell.standing : 'missing';
  // Any other standing has a reason of its own.
  const hasNewReason = standing === 'missing' || standing === 'stored' || standing === 'final';
  const newCell: StoredCell = {
    ...cell,
    ...(hasNewReason ? toReasonColumns(problem) : {}),
    standing,
    lastAttemptAtMs: response.sentAtMs,
    failedReads,
  };
  const retryMs = retryAtMs(response.sentAtMs, failedReads, problem.code);
  const { code, detail } = problem;
  return { result, cell: planNextRead(input, newCell, retryMs), differences: null, problem: { code, detail } };
}

/** Ends the reads of a cell whose day is past the horizon or whose organization is deleted. */
function endReads(cell: StoredCell): Change {
  const result = cell.isStored || cell.standing === 'waived' ? 'unchanged' : 'unavailable';
  return { result, cell: { ...cell, nextReadAtMs: null }, differences: null, problem: null };
}

function recordGoodRead({ sentAtMs, sha256 }: CellResponse) {
  return { lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, failedReads: 0, sha256 };
}

/**
 * Returns the cell with its next read: the earliest of the next checkpoint, the retry, and tomorrow while it is not
 * settled. No day past the horizon is read.
 */
function planNextRead(
  { response: { day, sentAtMs }, policy }: ApplyInput,
  cell: StoredCell,
  retryMs: number | null = null,
): StoredCell {
  if (day < horizonStart(sentAtMs, policy)) return { ...cell, nextReadAtMs: null };
  const tomorrowMs = isSettled(cell.standing) ? null : floorToWakeUp(sentAtMs + DAY_MS);
  const times = [nextCheckpointMs(day, sentAtMs, policy), retryMs, tomorrowMs].filter((each) => each !== null);
  return { ...cell, nextReadAtMs: times.length === 0 ? null : Math.min(...times) };
}

function toReasonColumns({ code, detail }: Reason): Pick<StoredCell, 'reason' | 'detail'> {
  return { reason: code, detail };
}
