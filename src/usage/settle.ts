/**
 * The one place that decides what an answer does to a cell: which state it
 * ends in, which rows change, and whether a number is restated. Pure.
 */
import { isHeldState } from './cell.ts';
import {
  accept,
  bucketMissing,
  type CellAnswer,
  type CellOutcome,
  close,
  closeHeld,
  hasNumber,
  pastHorizon,
  recordFailure,
  type Settlement,
  type StoredCell,
  sameFacts,
  UNWITNESSED,
  unchanged,
  WAIVED,
  type Witness,
} from './settlement.ts';
import type { Fact } from './streams/stream.ts';
import { contradicts, reasonAgainstZero, settleByWitness, zerosOf } from './witness.ts';

/**
 * Answers may come in any order, more than once, or beside each other: a cell
 * ends with the newest number Losant named. What Losant left out never stands
 * against a number it named, so an older answer still counts where the newer
 * one was silent.
 *
 * @param stored the cell's row in coverage, locked; null if the cell was never settled
 * @param held the numbers stored for the cell
 * @param witness what may stand against a zero, for a stream that has one
 */
export function settleCell(
  stored: StoredCell | null,
  held: readonly Fact[],
  answer: CellAnswer,
  witness: Witness = { kind: 'none' },
): Settlement {
  const settlement = settleAnswer(stored, held, answer, witness);
  const cell = settlement.cell ?? stored;
  if (witness.kind !== 'counted' || cell === null) return settlement;
  const { stream, age, sentAtMs } = answer;
  const facts = settlement.facts ?? held;
  const effect = settleByWitness(cell, facts, { stream, count: witness.count, age, atMs: sentAtMs });
  return effect ? { ...effect, facts: effect.facts ?? settlement.facts } : settlement;
}

function settleAnswer(
  stored: StoredCell | null,
  held: readonly Fact[],
  answer: CellAnswer,
  witness: Witness,
): Settlement {
  const { outcome, age, sentAtMs } = answer;
  const isHeld = stored !== null && isHeldState(stored.state);
  if (stored && isHeld && (age.isPastHorizon || outcome.kind === 'closed')) return closeHeld(stored);
  if (outcome.kind === 'closed') return close(stored, outcome);
  const verifiedAtMs = stored?.verifiedAtMs ?? null;
  if (stored && verifiedAtMs !== null && verifiedAtMs >= sentAtMs) {
    return fillSilence({ ...stored, verifiedAtMs }, held, { answer, isHeld });
  }
  switch (outcome.kind) {
    case 'values':
      if (age.isPastHorizon && outcome.missingColumns.length > 0) return close(stored, pastHorizon);
      if (contradicts(outcome, answer.stream, witness)) {
        if (!stored || !isHeld) return acceptMissing(stored, answer, witness);
        return recordSilence(stored, answer, outcome.missingColumns.join(', '));
      }
      return acceptValues(stored, held, { answer, outcome, isHeld });
    case 'missing':
      return stored && isHeld ? keepHeld(stored, held, answer) : acceptMissing(stored, answer, witness);
    case 'failed':
    case 'quarantined':
      if (age.isPastHorizon && outcome.code === 'refused') return close(stored, outcome);
      return recordFailure(stored, answer, outcome);
  }
}

function acceptValues(
  stored: StoredCell | null,
  held: readonly Fact[],
  {
    answer,
    outcome,
    isHeld,
  }: { answer: CellAnswer; outcome: CellOutcome & { kind: 'values' }; isHeld: boolean },
): Settlement {
  const lacking = outcome.missingColumns.filter((column) =>
    hasNumber(held, answer.stream.columns.indexOf(column)),
  );
  if (stored && isHeld && lacking.length > 0) return recordSilence(stored, answer, lacking.join(', '));
  const isEqual = isHeld && sameFacts(held, outcome.facts);
  return {
    result: isEqual ? 'unchanged' : 'loaded',
    cell: accept(stored, answer, {
      reported: (isHeld && stored?.reported === true) || outcome.missingColumns.length === 0,
      revision: (stored?.revision ?? 0) + (isEqual ? 0 : 1),
    }),
    facts: isEqual ? null : outcome.facts,
    error: null,
  };
}

/**
 * An answer older than the accepted one counts only where that one left the day
 * out, and then as if it had come first: the silence after it is a failed read.
 */
function fillSilence(
  stored: StoredCell & { readonly verifiedAtMs: number },
  held: readonly Fact[],
  { answer, isHeld }: { answer: CellAnswer; isHeld: boolean },
): Settlement {
  const { outcome } = answer;
  if (outcome.kind !== 'values' || outcome.missingColumns.length > 0) return unchanged;
  if (stored.reported || stored.verifiedAtMs === answer.sentAtMs) return unchanged;
  const lacked = answer.stream.columns.filter(
    (_, index) => !hasNumber(held, index) && hasNumber(outcome.facts, index),
  );
  const isSilent = !answer.stream.columns.some((_, index) => hasNumber(held, index));
  if (lacked.length === 0 && !isSilent) return unchanged;
  const before: StoredCell = { ...stored, state: lacked.length > 0 ? 'loaded' : stored.state };
  const filled = acceptValues(before, held, { answer, outcome, isHeld });
  if (lacked.length === 0) return filled;
  const silence = { ...answer, sentAtMs: stored.verifiedAtMs };
  const { cell } = recordFailure(filled.cell, silence, bucketMissing(lacked.join(', ')));
  return { ...filled, cell: cell ?? filled.cell };
}

/** A day that is left out never replaces a held number other than zero. */
function keepHeld(stored: StoredCell, held: readonly Fact[], answer: CellAnswer): Settlement {
  if (answer.stream.columns.some((_, index) => hasNumber(held, index))) {
    return recordSilence(stored, answer, 'the day');
  }
  return { ...unchanged, cell: accept(stored, answer, {}) };
}

function acceptMissing(stored: StoredCell | null, answer: CellAnswer, witness: Witness): Settlement {
  const { age } = answer;
  if (age.isPastHorizon) return close(stored, pastHorizon);
  const reason = reasonAgainstZero(answer, witness);
  if (reason === null) return acceptZeros(stored, answer);
  if (stored?.state === 'waived') return { ...unchanged, result: 'absent' };
  const state = age.isLastRead || stored?.state === 'unavailable' ? 'unavailable' : 'absent';
  const accepted = accept(stored, answer, { state });
  const isWaiting = reason.code === UNWITNESSED;
  const failedSince = accepted.error !== null && stored !== null && state === 'absent' && !isWaiting;
  return {
    result: state,
    cell: {
      ...accepted,
      state: failedSince ? stored.state : state,
      error: isWaiting ? reason : (accepted.error ?? reason),
      nextReadAtMs: state === 'unavailable' ? null : accepted.nextReadAtMs,
    },
    facts: null,
    error: reason,
  };
}

/** The cell's first numbers: zeros that nobody reported. */
function acceptZeros(stored: StoredCell | null, answer: CellAnswer): Settlement {
  return {
    result: 'loaded',
    // Also where a number was reported once, and somebody has deleted it.
    cell: accept(stored, answer, { reported: false, revision: (stored?.revision ?? 0) + 1 }),
    facts: zerosOf(answer.stream),
    error: null,
  };
}

/** A number that is held was left out: a gap, unless that was waived. */
function recordSilence(stored: StoredCell, answer: CellAnswer, what: string): Settlement {
  if (stored.error?.code === WAIVED) {
    return { ...unchanged, cell: { ...stored, nextReadAtMs: answer.age.nextCheckpointMs } };
  }
  return recordFailure(stored, answer, bucketMissing(what));
}
