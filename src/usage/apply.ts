/**
 * Pure functions that apply a response to a cell: its new row in the ledger, with its standing and next read, and its
 * new numbers. No other code decides a standing from a response. docs/architecture.md has the rules as a table.
 */
import { type CellResponse, type CellUpdate, ORG_DELETED, type Reason, type StoredCell, type Verdict } from './cell.ts';
import { DAY_MS, HOUR_MS } from './day.ts';
import { findDifferences, getNumber, hasNonzero, type NumberRef, type Numbers, sumHours } from './numbers.ts';
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
import { isSettled } from './standing.ts';
import { getStream } from './streams/catalog.ts';

export interface ApplyInput {
  readonly cell: StoredCell;
  readonly response: CellResponse;
  /** The cells of other streams that count the same payloads, for the same organization and day. */
  readonly counterparts: readonly StoredCell[];
  readonly policy: Policy;
}

type Change = Omit<CellUpdate, 'previous'>;

/** What is known of the numbers of a cell: whether Losant reported all of them, or how often it omitted some. */
type Evidence = Pick<StoredCell, 'isReported' | 'omissions' | 'lastOmittedAtMs'>;

const REPORTED: Evidence = { isReported: true, omissions: 0, lastOmittedAtMs: null };

/**
 * Applies a response to a cell.
 *
 * Losant may omit zeros. A day without payloads is missing from a response, and so is a day that Losant has not
 * counted yet or has lost; the response alone cannot tell them apart. So an omission becomes a zero only if no
 * counterpart counted something (`contradicted`) or is still to be read (`unconfirmed`). The zero is final only once a
 * counterpart that is zero too confirms it, or three omissions an hour apart. A stored number other than zero is in
 * doubt while it is omitted; the third omission replaces it only if a counterpart has *reported* zero since, because
 * Losant may have no other way to say that a day became zero. A level is never assumed: an omitted device count is not
 * zero. A failed read of a stored number changes only its retry and its reason, except that unavailable becomes in
 * doubt.
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
  if ((isDeleted || isPastHorizon) && (cell.isStored || !isComplete)) return leaveUnchanged(input);
  if (isComplete) return storeNumbers(input, verdict.numbers, REPORTED);
  if ('code' in verdict) return recordFailedRead(input, verdict, verdict.kind);
  return applyOmission(input, verdict);
}

/** The verdict of a response that omitted some numbers of the day, or all of them. */
type Omission = Extract<Verdict, { kind: 'reported' | 'omitted' }>;

function applyOmission(input: ApplyInput, verdict: Omission): Change {
  const { cell, response } = input;
  const { numbers } = cell;
  const lostNumbers = describeLostNumbers(input, verdict);
  if (lostNumbers !== null) return applyLoss(input, verdict, lostNumbers);
  if (cell.standing === 'waived') return keepWaived(input);
  if (getStream(response.stream).kind === 'level') {
    return leaveUnstored(input, { code: 'omitted', detail: 'Losant reports no number for this day' });
  }
  const objection = findObjection(input, verdict);
  if (objection !== null && numbers === null) return leaveUnstored(input, objection);
  if (objection?.code === 'contradicted') return markInDoubt(input, objection);
  const next = verdict.kind === 'reported' ? verdict.numbers : (numbers ?? createZeros(response.stream));
  if (verdict.kind === 'reported' && verdict.doubt) return storeInDoubt(input, next, verdict.doubt);
  const isReported = cell.isStored && cell.isReported;
  return storeNumbers(input, next, isReported ? REPORTED : { isReported, ...countOmissions(input) });
}

/** Names the stored numbers that the response omitted and that an omission must not replace; null if there are none. */
function describeLostNumbers({ cell: { numbers }, response }: ApplyInput, verdict: Omission): string | null {
  if (numbers === null) return null;
  if (getStream(response.stream).kind === 'level') return 'the day';
  if (verdict.kind === 'omitted') return hasNonzero(numbers) ? 'the day' : null;
  const lostParts = verdict.omitted.filter((part) => getNumber(numbers, part) !== 0);
  const columns = new Set(lostParts.map(({ column }) => column));
  return columns.size === 0 ? null : [...columns].join(', ');
}

/** Applies an omission of stored numbers: in doubt, unless it is the third and a counterpart has reported the same. */
function applyLoss(input: ApplyInput, verdict: Omission, lostNumbers: string): Change {
  const { cell, response } = input;
  const isCounting = cell.standing === 'waived' || cell.reason === 'omitted';
  const count = addOmission(input, isCounting ? cell.omissions : 0);
  const isThird = count.omissions >= OMISSIONS_NEEDED;
  const next = verdict.kind === 'reported' ? verdict.numbers : createZeros(response.stream);
  const isDoubted = verdict.kind === 'reported' && verdict.doubt !== undefined;
  if (isThird && !isDoubted && isReportedElsewhere(input, next)) {
    return storeNumbers(input, next, { isReported: false, ...count });
  }
  const countedInput = { ...input, cell: { ...cell, ...count } };
  const recheckMs = isThird ? null : response.sentAtMs + HOUR_MS;
  if (cell.standing === 'waived') return keepWaived(countedInput, recheckMs);
  const stored = cell.numbers !== null && hasNonzero(cell.numbers) ? 'a nonzero number' : 'a number';
  const detail = `Losant omitted ${lostNumbers}, but ${stored} is stored`;
  return markInDoubt(countedInput, { code: 'omitted', detail }, recheckMs);
}

/**
 * Returns whether the newest counterpart that was reported since the last good read of the cell says the same: zero,
 * or, for hours, the totals that they add up to.
 */
function isReportedElsewhere({ cell, response, counterparts }: ApplyInput, next: Numbers): boolean {
  const { totals } = getStream(response.stream);
  const reports = counterparts.flatMap(({ isReported, lastReadAtMs, numbers }) => {
    const isSince = isReported && (lastReadAtMs ?? 0) >= (cell.lastReadAtMs ?? 0);
    return isSince && numbers !== null ? [{ numbers, atMs: lastReadAtMs ?? 0 }] : [];
  });
  if (totals !== undefined) {
    const columns = Object.entries(totals);
    return reports.some(({ numbers }) => columns.every(([column, total]) => sumHours(next[column]) === numbers[total]));
  }
  const newestMs = Math.max(...reports.map(({ atMs }) => atMs));
  return !hasNonzero(next) && reports.some(({ numbers, atMs }) => atMs === newestMs && !hasNonzero(numbers));
}

/** Returns the numbers of a flow on a day without usage. */
export function createZeros(stream: string): Numbers {
  const createZero = (column: string) => {
    if (column === 'payload_sources') return {};
    return column.startsWith('hours_') ? Array.from({ length: 24 }, () => 0) : 0;
  };
  return Object.fromEntries(getStream(stream).columns.map((column) => [column, createZero(column)]));
}

/** Returns what contradicts zeros that were only omitted; null if nothing does. */
function findObjection({ response, counterparts }: ApplyInput, verdict: Omission): Reason | null {
  const { includes = {}, waitsFor } = getStream(response.stream);
  if (verdict.kind === 'reported') {
    const { numbers, omitted: parts } = verdict;
    const isIncluded = ({ column, hour }: NumberRef) =>
      (includes[column] ?? []).some((other) => getNumber(numbers, { column: other, hour }) > 0);
    if (parts.some(isIncluded)) return describeContradiction('other numbers in the same response are not zero');
    if (hasNonzero(numbers)) return null;
  }
  const nonzero = counterparts.find((each) => each.numbers !== null && hasNonzero(each.numbers));
  if (nonzero) return describeContradiction(`${nonzero.stream} is not zero`);
  const pending = counterparts.find(({ stream }) => stream === waitsFor);
  if (!pending || pending.numbers !== null || pending.nextReadAtMs === null) return null;
  const { reason } = pending;
  const cause = reason === null || reason === 'never_read' ? '' : ` (${reason})`;
  const detail = `Losant omitted numbers, and ${waitsFor} is not stored for the day yet${cause}`;
  return { code: 'unconfirmed', detail };
}

/**
 * Counts responses, an hour apart, that omitted the zeros, including this one. A counterpart that reported zero,
 * or that another endpoint omitted too, confirms them at once.
 */
function countOmissions(input: ApplyInput): OmissionCount {
  const { cell, response, counterparts } = input;
  const getEndpoint = (stream: string) => getStream(stream).requests[0]?.action;
  const isConfirmed = counterparts.some(
    ({ stream, isReported, numbers }) =>
      numbers !== null && !hasNonzero(numbers) && (isReported || getEndpoint(stream) !== getEndpoint(response.stream)),
  );
  if (isConfirmed) return { omissions: OMISSIONS_NEEDED, lastOmittedAtMs: response.sentAtMs };
  return addOmission(input, cell.isStored && !cell.isReported ? cell.omissions : 0);
}

type OmissionCount = Pick<StoredCell, 'omissions' | 'lastOmittedAtMs'>;

/** Adds this omission to earlier ones, unless it is within the hour after the last one, as that is planned. */
function addOmission({ cell, response: { sentAtMs } }: ApplyInput, earlierOmissions: number): OmissionCount {
  const { lastOmittedAtMs } = cell;
  const isHourLater = lastOmittedAtMs === null || sentAtMs >= floorToWakeUp(lastOmittedAtMs + HOUR_MS);
  if (earlierOmissions > 0 && !isHourLater) return { omissions: earlierOmissions, lastOmittedAtMs };
  return { omissions: Math.min(OMISSIONS_NEEDED, earlierOmissions + 1), lastOmittedAtMs: sentAtMs };
}

/** Stores numbers: final if the request was sent late enough and no zero is left to confirm. */
function storeNumbers(input: ApplyInput, next: Numbers, evidence: Evidence): Change {
  const { cell, response, policy } = input;
  const { numbers } = cell;
  const differences = numbers === null ? null : findDifferences(numbers, next);
  const isEqual = numbers !== null && differences === null;
  const isConfirmed = evidence.isReported || evidence.omissions >= OMISSIONS_NEEDED;
  const isLate = isFinalRead(response.day, response.sentAtMs, policy);
  const isFinal = isConfirmed && (cell.wasFinal || isLate);
  const newCell: StoredCell = {
    ...recordRead(input),
    ...evidence,
    isStored: true,
    numbers: isEqual ? numbers : next,
    revision: cell.revision + (isEqual ? 0 : 1),
    standing: isFinal ? 'final' : 'stored',
    wasFinal: cell.wasFinal || isFinal,
    reason: null,
    detail: null,
  };
  const recheckMs = isLate && !isConfirmed ? response.sentAtMs + HOUR_MS : null;
  return {
    result: isEqual ? 'unchanged' : 'loaded',
    cell: planNextRead(input, newCell, recheckMs),
    differences,
    problem: null,
  };
}

/** Stores reported numbers in doubt, because something contradicts the response. */
function storeInDoubt(input: ApplyInput, next: Numbers, problem: Reason): Change {
  const update = storeNumbers(input, next, { ...REPORTED, isReported: false });
  const cell: StoredCell = { ...update.cell, standing: 'in_doubt', ...toReasonColumns(problem) };
  return { ...update, result: 'failed', cell: planNextRead(input, cell), problem };
}

/**
 * Leaves the cell without a number. Once it waits for its sources it is due again at once, because the same run may
 * have read them by its next pass.
 */
function leaveUnstored(input: ApplyInput, problem: Reason): Change {
  const { day, sentAtMs } = input.response;
  const newCell: StoredCell = { ...recordRead(input), ...toReasonColumns(problem), standing: 'waiting' };
  const recheckMs = problem.code === 'unconfirmed' ? sentAtMs + recheckDelayMs(day, sentAtMs) : null;
  const beginsToWait = problem.code === 'unconfirmed' && input.cell.reason !== 'unconfirmed';
  const cell = planNextRead(input, newCell, recheckMs);
  const nextReadAtMs = beginsToWait ? sentAtMs + 1 : cell.nextReadAtMs;
  return { result: 'omitted', cell: { ...cell, nextReadAtMs }, differences: null, problem };
}

function markInDoubt(input: ApplyInput, problem: Reason, recheckMs: number | null = null): Change {
  const cell: StoredCell = { ...input.cell, ...toReasonColumns(problem), standing: 'in_doubt' };
  return recordFailedRead({ ...input, cell }, problem, 'failed', recheckMs);
}

function recordFailedRead(
  input: ApplyInput,
  problem: Reason,
  result: 'failed' | 'quarantined',
  recheckMs: number | null = null,
): Change {
  const { cell, response } = input;
  // A batch is loaded a second time if the outcome of its commit is unknown.
  const failedReads = cell.lastAttemptAtMs === response.sentAtMs ? cell.failedReads : cell.failedReads + 1;
  const keepsReason = cell.standing === 'waived' || cell.standing === 'in_doubt';
  const newCell: StoredCell = {
    ...cell,
    ...(keepsReason ? {} : toReasonColumns(problem)),
    standing: toStandingAfterFailure(cell),
    lastAttemptAtMs: response.sentAtMs,
    failedReads,
  };
  const retryMs = recheckMs ?? retryAtMs(response.sentAtMs, failedReads, problem.code);
  const { code, detail } = problem;
  return { result, cell: planNextRead(input, newCell, retryMs), differences: null, problem: { code, detail } };
}

function toStandingAfterFailure({ standing, isStored }: StoredCell): StoredCell['standing'] {
  if (standing === 'waived') return standing;
  if (!isStored) return 'missing';
  // The cell is read again, so it is no longer unavailable; its number is in doubt until a read succeeds.
  return standing === 'unavailable' ? 'in_doubt' : standing;
}

/** Keeps a waived cell waived until Losant reports its numbers. */
function keepWaived(input: ApplyInput, recheckMs: number | null = null): Change {
  const { lastReadAtMs, sha256 } = input.cell;
  const newCell = { ...recordRead(input), lastReadAtMs, sha256 };
  const cell = planNextRead(input, newCell, recheckMs);
  return { result: 'unchanged', cell, differences: null, problem: null };
}

/** Only ends the reads of a cell whose day is past the horizon or whose organization is deleted. */
function leaveUnchanged({ cell }: ApplyInput): Change {
  const result = cell.isStored || cell.standing === 'waived' ? 'unchanged' : 'unavailable';
  return { result, cell: { ...cell, nextReadAtMs: null }, differences: null, problem: null };
}

function recordRead({ cell, response: { sentAtMs, sha256 } }: ApplyInput): StoredCell {
  return { ...cell, lastReadAtMs: sentAtMs, lastAttemptAtMs: sentAtMs, failedReads: 0, sha256 };
}

/**
 * Returns the cell with its next read: the earliest of the next checkpoint, of `recheckMs`, and of a time that was set
 * after the request was sent. After the last checkpoint a cell that is not settled is read daily until the horizon.
 */
function planNextRead(
  { cell: oldCell, response, policy }: ApplyInput,
  cell: StoredCell,
  recheckMs: number | null = null,
): StoredCell {
  const { day, sentAtMs } = response;
  if (day < horizonStart(sentAtMs, policy)) return { ...cell, nextReadAtMs: null };
  const checkpointMs = nextCheckpointMs(day, sentAtMs, policy);
  const dailyMs = checkpointMs === null && !isSettled(cell.standing) ? sentAtMs + DAY_MS : null;
  const requeuedMs = (oldCell.nextReadAtMs ?? 0) > sentAtMs ? oldCell.nextReadAtMs : null;
  const roundedMs = [recheckMs, dailyMs].filter((each) => each !== null).map(floorToWakeUp);
  const times = [checkpointMs, requeuedMs, ...roundedMs].filter((each) => each !== null);
  return { ...cell, nextReadAtMs: times.length === 0 ? null : Math.min(...times) };
}

function toReasonColumns({ code, detail }: Reason): Pick<StoredCell, 'reason' | 'detail'> {
  return { reason: code, detail };
}

function describeContradiction(evidence: string): Reason {
  return { code: 'contradicted', detail: `Losant omitted numbers for the day, but ${evidence}` };
}
