/**
 * The effect of an answer on a cell: its new row in the ledger, with its standing and the time of its
 * next read, and the numbers that change. Pure; nothing else decides a standing.
 */
import {
  type Applied,
  type Cell,
  type CellAnswer,
  type CellOutcome,
  CHANGED_BY_HAND,
  earliest,
  hasAnyNumber,
  NOT_TRACKED,
  type Reason,
  said,
  sameFacts,
  stand,
  unchanged,
  WAIVED,
} from './cell.ts';
import {
  applyCrossCheck,
  type CrossCheck,
  reasonAgainstPart,
  reasonAgainstZero,
  zerosOf,
} from './cross-check.ts';
import { HOUR_MS } from './day.ts';
import { OMISSIONS_NEEDED, retryAtMs } from './policy.ts';
import { streamNamed } from './streams/catalog.ts';
import type { Fact } from './streams/stream.ts';

/** The most names in the message of a cell. */
const NAMES_SHOWN = 6;

/** A cell before its first answer. */
const neverRead: Cell = {
  standing: 'missing',
  isStored: false,
  isReported: false,
  omissions: 0,
  revision: 0,
  verifiedAtMs: null,
  attemptedAtMs: null,
  attempts: 0,
  nextReadAtMs: null,
  wasFinal: false,
  reason: null,
  message: null,
  sha256: null,
};

const pastHorizon: Reason = {
  code: 'past_horizon',
  message: 'Losant no longer keeps the detail of this day',
};

/** A cell with its numbers and an answer for it. */
interface Situation {
  readonly cell: Cell;
  readonly numbers: readonly Fact[];
  readonly answer: CellAnswer;
}

/**
 * `apply` applies an answer to a cell; `stored` is its locked row in the ledger, null if it has none. Answers may come
 * in any order, more than once, or beside each other: a cell ends with the newest number that Losant named. A number
 * that Losant left out never stands against one it named, so an older answer still counts where the newer one left
 * the day out.
 */
export function apply(
  stored: Cell | null,
  numbers: readonly Fact[],
  answer: CellAnswer,
  crossCheck: CrossCheck = { kind: 'none' },
): Applied {
  const applied = applyAnswer({ cell: stored ?? neverRead, numbers, answer }, crossCheck);
  const cell = applied.cell ?? stored;
  if (crossCheck.kind !== 'counted' || cell === null) return applied;
  const { by, count } = crossCheck;
  return joinEffects(applied, applyCrossCheck(cell, applied.facts ?? numbers, { ...answer, by, count }));
}

/** `joinEffects` joins the effect of an answer with the effect of a cross-check after it. */
export function joinEffects(first: Applied, then: Applied | null): Applied {
  if (then === null) return first;
  if (then.facts === null && then.problem === null) return { ...first, cell: then.cell };
  return { ...then, facts: then.facts ?? first.facts };
}

function applyAnswer(situation: Situation, crossCheck: CrossCheck): Applied {
  const { cell, answer } = situation;
  const { outcome, age, sentAtMs } = answer;
  const isClosed = outcome.kind === 'closed';
  if (cell.isStored && (age.isPastHorizon || isClosed)) return closeStored(cell);
  if (isClosed) return close(cell, outcome);
  if (cell.verifiedAtMs !== null && cell.verifiedAtMs >= sentAtMs) return fillSilence(situation);
  switch (outcome.kind) {
    case 'values':
      return applyValues(situation, outcome, crossCheck);
    case 'missing':
      return cell.isStored ? keepStored(situation) : applyOmission(situation, crossCheck);
    case 'failed':
    case 'quarantined':
      if (age.isPastHorizon && outcome.code === 'refused') return close(cell, outcome);
      return recordFailure(situation, outcome);
  }
}

/**
 * `applyValues` applies numbers of which some columns may have been left out. Columns left out are zeros unless
 * something contradicts them.
 */
function applyValues(
  situation: Situation,
  outcome: CellOutcome & { kind: 'values' },
  crossCheck: CrossCheck,
): Applied {
  const { cell, numbers, answer } = situation;
  const { missingColumns } = outcome;
  if (answer.age.isPastHorizon && missingColumns.length > 0) return close(cell, pastHorizon);
  const against = reasonAgainstPart(outcome, answer.stream, crossCheck);
  if (!cell.isStored) {
    return against === null ? acceptValues(situation, outcome) : recordOmission(situation, against);
  }
  const stored = namesOf(answer.stream, numbers);
  const lacking = missingColumns.filter((name) => stored.has(name));
  if (lacking.length > 0) return doubt(situation, leftOut(listNames(lacking)));
  // Stored zeros need no confirmation, but nothing may contradict them.
  return against?.code === 'contradicted' ? doubt(situation, against) : acceptValues(situation, outcome);
}

function acceptValues(
  situation: Situation,
  { facts, missingColumns }: CellOutcome & { kind: 'values' },
): Applied {
  const { cell, numbers, answer } = situation;
  const isEqual = cell.isStored && sameFacts(numbers, facts);
  if (isEqual && missingColumns.length > 0 && cell.standing === 'accepted') return keepAccepted(situation);
  const isReported = (cell.isStored && cell.isReported) || missingColumns.length === 0;
  return {
    result: isEqual ? 'unchanged' : 'loaded',
    cell: acceptNumbers(cell, answer, { isReported, revision: cell.revision + (isEqual ? 0 : 1) }),
    facts: isEqual ? null : facts,
    problem: null,
  };
}

/**
 * `keepStored` keeps what is stored when the day is left out: zeros stay as they are, a number other than zero is
 * in doubt.
 */
function keepStored(situation: Situation): Applied {
  const { cell, numbers, answer } = situation;
  if (hasAnyNumber(numbers)) return doubt(situation, leftOut('the day'));
  if (cell.standing === 'accepted') return keepAccepted(situation);
  return { ...unchanged, cell: acceptNumbers(cell, answer, {}) };
}

/**
 * `applyOmission` applies a day that was left out while nothing is stored: zeros where they are allowed, otherwise no
 * number.
 */
function applyOmission(situation: Situation, crossCheck: CrossCheck): Applied {
  const { cell, answer } = situation;
  if (answer.age.isPastHorizon) return close(cell, pastHorizon);
  const reason = reasonAgainstZero(answer.stream, crossCheck);
  if (reason !== null) return recordOmission(situation, reason);
  const zeros = acceptNumbers(cell, answer, { isReported: false, revision: cell.revision + 1 });
  return { result: 'loaded', cell: zeros, facts: zerosOf(answer.stream), problem: null };
}

/**
 * `recordOmission` records an accepted answer that leaves the cell without a number. The cell is read again until its
 * last checkpoint.
 */
function recordOmission({ cell, answer }: Situation, reason: Reason): Applied {
  if (cell.standing === 'accepted') return { ...unchanged, result: 'left_out' };
  const isUnavailable = answer.age.isLastRead || cell.standing === 'unavailable';
  const read = readNow(cell, answer);
  return {
    result: isUnavailable ? 'unavailable' : 'left_out',
    cell: {
      ...read,
      standing: isUnavailable ? 'unavailable' : 'missing',
      // A failure since then keeps its reason; a day that waits for its cross-check keeps waiting.
      ...(read.reason === null || reason.code === 'unconfirmed' ? said(reason) : {}),
      nextReadAtMs: isUnavailable ? null : read.nextReadAtMs,
    },
    facts: null,
    problem: reason,
  };
}

/**
 * `fillSilence` applies an answer older than the accepted one. It counts only if the accepted one left the day out,
 * and then as if it had come first: the later answer that left the number out puts it in doubt.
 */
function fillSilence({ cell, numbers, answer }: Situation): Applied {
  const { outcome, stream, sentAtMs } = answer;
  const { verifiedAtMs } = cell;
  if (outcome.kind !== 'values' || outcome.missingColumns.length > 0) return unchanged;
  if (cell.standing === 'accepted') return unchanged;
  if (cell.isReported || verifiedAtMs === null || verifiedAtMs === sentAtMs) return unchanged;
  const stored = namesOf(stream, numbers);
  const lacked = [...namesOf(stream, outcome.facts)].filter((name) => !stored.has(name));
  const isSilent = !hasAnyNumber(numbers);
  if (lacked.length === 0 && !isSilent) return unchanged;
  const filled = acceptValues({ cell, numbers, answer }, outcome);
  if (lacked.length === 0 || filled.cell === null) return filled;
  const silence = { ...answer, sentAtMs: verifiedAtMs };
  const inDoubt = { cell: filled.cell, numbers: outcome.facts, answer: silence };
  return { ...filled, cell: doubt(inDoubt, leftOut(listNames(lacked))).cell };
}

/**
 * Puts a stored number in doubt, because something contradicts it, unless a person accepted it as it
 * stands.
 */
function doubt(situation: Situation, reason: Reason): Applied {
  const { cell } = situation;
  if (cell.standing === 'accepted') return keepAccepted(situation);
  const failure = recordFailure(situation, { kind: 'failed', ...reason });
  return { ...failure, cell: { ...(failure.cell ?? cell), standing: 'in_doubt', ...said(reason) } };
}

/** `namesOf` returns the names of the numbers other than zero, as readings name what was left out. */
function namesOf(stream: string, facts: readonly Fact[]): ReadonlySet<string> {
  const { columns } = streamNamed(stream);
  const namesIn = ({ key, values }: Fact) =>
    columns.filter((_, index) => values[index] !== 0).map((column) => [column, ...key].join(' '));
  return new Set(facts.flatMap(namesIn));
}

function listNames(names: readonly string[]): string {
  const rest = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  return names.slice(0, NAMES_SHOWN).join(', ') + rest;
}

function leftOut(what: string): Reason {
  const message = `Losant left out ${what}, for which a number other than zero is stored`;
  return { code: 'left_out', message };
}

/**
 * `keepAccepted` keeps an accepted cell as it is until Losant names the number. A cell whose stream is no longer
 * tracked is not read again.
 */
function keepAccepted({ cell, answer }: Situation): Applied {
  const nextReadAtMs = cell.nextReadAtMs === null ? null : answer.age.nextCheckpointMs;
  return { ...unchanged, cell: { ...cell, nextReadAtMs } };
}

/**
 * `recordFailure` records a failed read, which changes neither number nor standing. A cell that is accepted, in doubt
 * or given up keeps its reason, and one that waits for its cross-check keeps waiting.
 */
function recordFailure(
  { cell, answer }: Situation,
  { kind, ...problem }: Reason & { readonly kind: 'failed' | 'quarantined' },
): Applied {
  const { sentAtMs, age } = answer;
  if (cell.attemptedAtMs !== null && cell.attemptedAtMs >= sentAtMs) {
    return { result: kind, cell: null, facts: null, problem };
  }
  const attempts = cell.attempts + 1;
  const isGivenUp = cell.standing === 'unavailable';
  const isClosed = isGivenUp || (cell.standing === 'accepted' && cell.nextReadAtMs === null);
  const isWaiting = cell.reason === 'unconfirmed' && !cell.isStored && !age.isPastHorizon;
  const keepsStanding = cell.isStored || isClosed || isWaiting || isByHand(cell);
  const keepsReason =
    isWaiting || isGivenUp || ['accepted', 'in_doubt'].includes(cell.standing) || isByHand(cell);
  return {
    result: kind,
    cell: {
      ...cell,
      standing: keepsStanding ? cell.standing : age.isPastHorizon ? 'unavailable' : 'missing',
      attemptedAtMs: sentAtMs,
      attempts,
      nextReadAtMs: isClosed || age.isPastHorizon ? null : retryAtMs(sentAtMs, attempts, problem.code),
      ...(keepsReason ? {} : said(problem)),
    },
    facts: null,
    problem,
  };
}

/** `closeStored` keeps a stored cell as it stands and stops reading it. */
function closeStored(cell: Cell): Applied {
  return { ...unchanged, cell: { ...cell, nextReadAtMs: null } };
}

/**
 * Whether a person has removed the numbers in SQL. This stands until they are read again or somebody
 * accepts it.
 */
function isByHand(cell: Cell): boolean {
  return !cell.isStored && cell.reason === CHANGED_BY_HAND;
}

/** `close` closes a cell without a number: it is no longer read. */
function close(cell: Cell, { code, message }: Reason): Applied {
  const problem = { code, message };
  if (code === NOT_TRACKED) {
    return { ...unchanged, cell: cell === neverRead ? null : { ...cell, nextReadAtMs: null } };
  }
  const isKept = cell.standing === 'accepted' || isByHand(cell);
  const closed = { ...cell, attempts: 0, nextReadAtMs: null };
  return {
    result: 'unavailable',
    cell: isKept ? closed : { ...closed, standing: 'unavailable', ...said(problem) },
    facts: null,
    problem,
  };
}

/** `acceptNumbers` returns the row of a cell that has numbers after an accepted answer. */
function acceptNumbers(
  cell: Cell,
  answer: CellAnswer,
  changes: Partial<Pick<Cell, 'isReported' | 'revision'>>,
): Cell {
  const { sentAtMs, age } = answer;
  const read = { ...readNow(cell, answer), isStored: true, ...changes };
  const omissions = read.isReported ? 0 : omissionsAfter(cell, sentAtMs);
  // A later answer has left the number out, so it stays in doubt.
  if (cell.standing === 'in_doubt' && read.attempts > 0) return { ...read, omissions, standing: 'in_doubt' };
  return stand({ ...read, omissions }, age);
}

/**
 * `omissionsAfter` returns the number of answers that have left out unconfirmed zeros, counting only answers an hour
 * apart.
 */
function omissionsAfter(cell: Cell, sentAtMs: number): number {
  const before = cell.isStored && !cell.isReported ? cell.omissions : 0;
  const isApart = cell.verifiedAtMs === null || sentAtMs - cell.verifiedAtMs >= HOUR_MS;
  return before > 0 && !isApart ? before : Math.min(OMISSIONS_NEEDED, before + 1);
}

/**
 * `readNow` returns the row after an accepted answer. A failure of a later read that was recorded first stays on
 * it.
 */
function readNow(cell: Cell, { age, sentAtMs, sha256 }: CellAnswer): Cell {
  const isFailing = cell.attempts > 0 && cell.standing !== 'accepted';
  const isOvertaken = isFailing && cell.attemptedAtMs !== null && cell.attemptedAtMs > sentAtMs;
  const read = { ...cell, verifiedAtMs: sentAtMs, sha256 };
  if (isOvertaken) return { ...read, nextReadAtMs: earliest(cell.nextReadAtMs, age.nextCheckpointMs) };
  return {
    ...read,
    attemptedAtMs: sentAtMs,
    attempts: 0,
    nextReadAtMs: age.nextCheckpointMs,
    reason: null,
    message: null,
  };
}

/** The terms on which a person accepts a cell. */
export interface Acceptance {
  readonly message: string;
  /** Whether to store the zero that Losant's omission stands for instead of the stored number. */
  readonly asZero: boolean;
  /** Whether the tracking of its stream has ended, so that it is never read again. */
  readonly isEnded: boolean;
}

/**
 * `acceptByPerson` returns the row of a cell that a person accepts as it stands or as zero; for zero the
 * facts are the stream's zeros.
 */
export function acceptByPerson(
  cell: Cell | null,
  numbers: readonly Fact[],
  { message, asZero, isEnded }: Acceptance,
): Cell {
  const before = cell ?? neverRead;
  const isChanged = !before.isStored || hasAnyNumber(numbers);
  const zero = { isStored: true, isReported: false, revision: before.revision + (isChanged ? 1 : 0) };
  return {
    ...before,
    ...(asZero ? zero : {}),
    standing: 'accepted',
    attempts: 0,
    nextReadAtMs: before.isStored && !isEnded ? before.nextReadAtMs : null,
    ...said({ code: WAIVED, message }),
  };
}

/**
 * Whether a person may accept the cell: it is a gap, unavailable, already accepted, or will not become
 * final.
 */
export function isAcceptable(cell: Cell | null, { isEnded }: Pick<Acceptance, 'isEnded'>): boolean {
  if (cell === null || !cell.isStored) return true;
  if (cell.standing === 'in_doubt' || cell.standing === 'accepted') return true;
  return cell.standing === 'stored' && (isEnded || cell.nextReadAtMs === null);
}
