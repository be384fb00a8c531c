/** Cross-checks: what a stream that counts the same says about zeros that Losant never named. Pure. */
import type { Cell, CellAnswer, CellOutcome, Reason } from './cell.ts';
import { OMISSIONS_NEEDED } from './policy.ts';
import type { Fact, Stream } from './streams/stream.ts';

/** What another stream of the same organization and day says about a number that Losant left out. */
export type CrossCheck =
  /** That stream is not collected, or this one has none. */
  | { readonly kind: 'none' }
  /** That stream is not stored yet. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'counted'; readonly count: number };

/**
 * Whether columns that Losant left out beside others cannot be zeros: another number of the day, or the cross-check,
 * shows that there was something.
 */
export function contradicts(
  outcome: CellOutcome & { kind: 'values' },
  { columns, crossCheck }: Stream,
  check: CrossCheck,
): boolean {
  if (!crossCheck?.isRequired || outcome.missingColumns.length === 0) return false;
  const isChecked = outcome.missingColumns.some((column) => crossCheck.columns.includes(column));
  const hasOther = columns.some((_, index) => outcome.facts.some(({ values }) => values[index] !== 0));
  const isCounted = check.kind === 'counted' && check.count > 0;
  if (!isChecked) return isCounted && !hasOther;
  return hasOther || isCounted || check.kind === 'unknown';
}

export function zerosOf({ keyColumns, columns }: Stream): Fact[] {
  return keyColumns.length === 0 ? [{ key: [], values: columns.map(() => 0) }] : [];
}

/** Why a day that was left out may not be stored as zeros; null if it may. */
export function reasonAgainstZero({ stream, outcome }: CellAnswer, check: CrossCheck): Reason | null {
  if (stream.missingMeans === 'absent') {
    return { code: 'left_out', message: 'Losant has no number for this day' };
  }
  if (outcome.kind === 'values' && hasAnyNumber(outcome.facts)) {
    return { code: 'contradicted', message: 'Losant left out numbers of the day while it names others' };
  }
  if (!stream.crossCheck?.isRequired || check.kind === 'none') return null;
  if (check.kind === 'counted') return check.count === 0 ? null : contradictedBy(stream, check.count);
  return {
    code: 'unconfirmed',
    message: `Losant left out numbers of the day, and its ${stream.crossCheck.stream} are not stored yet`,
  };
}

type Verdict =
  | { readonly kind: 'nothing' | 'makes_zeros' | 'confirms_zeros' }
  | { readonly kind: 'contradicts_wait' | 'takes_zeros_back'; readonly reason: Reason };

/** What a count says about the cell. */
export function confirm(
  cell: Cell,
  numbers: readonly Fact[],
  { stream, count }: { readonly stream: Stream; readonly count: number },
): Verdict {
  const isRequired = stream.crossCheck?.isRequired ?? false;
  if (cell.reason === 'unconfirmed' && !cell.isStored) {
    if (count === 0) return { kind: 'makes_zeros' };
    return { kind: 'contradicts_wait', reason: contradictedBy(stream, count) };
  }
  const isZero = cell.isStored && !cell.isReported && !hasAnyNumber(numbers);
  if (!isZero || cell.standing === 'accepted') return { kind: 'nothing' };
  if (count > 0) {
    return isRequired
      ? { kind: 'takes_zeros_back', reason: contradictedBy(stream, count) }
      : { kind: 'nothing' };
  }
  return cell.standing === 'stored' && cell.omissions < OMISSIONS_NEEDED
    ? { kind: 'confirms_zeros' }
    : { kind: 'nothing' };
}

function contradictedBy({ crossCheck }: Stream, count: number): Reason {
  const message = `Losant left out numbers of the day, but its ${crossCheck?.stream} add up to ${count}`;
  return { code: 'contradicted', message };
}

function hasAnyNumber(facts: readonly Fact[]): boolean {
  return facts.some(({ values }) => values.some((value) => value !== 0));
}
