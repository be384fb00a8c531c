/**
 * Compares what the reader sees with the truth of the platform and with what was seen before. Written from the rows of
 * docs/architecture.md that say what a response does to a cell, without code of the program. Each violation is a line.
 */
import type { Ledger, LedgerCell, Revision } from './ledger.ts';
import {
  COLUMNS,
  cellName,
  DAY_MS,
  dayAt,
  dayEndMs,
  HOUR_MS,
  type Numbers,
  SKEW_MS,
  type TruthBook,
  type Version,
} from './truth.ts';

/** The time after the end of a day from which an expected cell that is not stored is late. */
const LATE_AFTER_MS = 6 * HOUR_MS;

interface CheckInput {
  readonly ledger: Ledger;
  readonly previous: Ledger;
  readonly book: TruthBook;
  readonly policy: { readonly finalAfterHours: number; readonly horizonDays: number };
}

/** Returns what is wrong with the tables and with their changes since the previous state. */
export function checkTables(input: CheckInput): string[] {
  const { ledger, previous, book } = input;
  const deletedOrgs = new Set(ledger.orgs.filter(({ isDeleted }) => isDeleted).map(({ orgId }) => orgId));
  const lines = [...ledger.cells.values()].flatMap((cell) => {
    const name = cellName(cell);
    const revisions = ledger.revisions.get(name) ?? [];
    const previousCell = previous.cells.get(name);
    const violations = [
      ...(cell.isStored ? checkStored(cell, revisions, input) : checkUnstored(cell, ledger)),
      ...(isGap(cell) === ledger.gaps.has(name) ? [] : ['is a gap, or not, unlike in coverage_gaps']),
      ...checkNextRead(cell, input, deletedOrgs.has(cell.orgId)),
      ...checkRevisions(cell, revisions),
      ...(previousCell === undefined ? [] : checkChange(previousCell, cell, revisions, book)),
    ];
    return violations.map((line) => `${name}: ${line}`);
  });
  const lostCells = [...previous.cells].filter(([name, cell]) => cell.lastAttemptAtMs && !ledger.cells.has(name));
  return [...ledger.breaches, ...lines, ...lostCells.map(([name]) => `${name} was read, and is no longer expected`)];
}

/** Whether a cell is missing or in doubt: what `gaps` must show. */
export const isGap = ({ standing }: LedgerCell) => standing === 'in_doubt' || standing === 'missing';

/** What is not stored is missing or waiting, or nobody waits for it any more; and says why. */
function checkUnstored({ standing, reason, numbers, day }: LedgerCell, { nowMs }: Ledger): string[] {
  const violations: string[] = [];
  if (numbers !== null) violations.push(`is not stored, but has ${JSON.stringify(numbers)}`);
  if (!['waiting', 'missing', 'unavailable', 'waived'].includes(standing))
    violations.push(`is ${standing} without numbers`);
  if (reason === null) violations.push(`is ${standing} without a reason`);
  if (standing === 'waiting' && nowMs >= dayEndMs(day) + LATE_AFTER_MS) violations.push('is late, and only waiting');
  return violations;
}

/** Stored numbers are those that Losant reported last: zeros for a flow that it left out, and never for a level. */
function checkStored(cell: LedgerCell, revisions: readonly Revision[], { ledger, book, policy }: CheckInput): string[] {
  const { stream, day, standing, reason, isReported, numbers, lastReadAtMs } = cell;
  if (numbers === null) return ['is stored without numbers'];
  if (lastReadAtMs === null) return ['is stored, but was never read'];
  const violations: string[] = [];
  if (lastReadAtMs > ledger.nowMs + SKEW_MS) violations.push('was read in the future');
  if (lastReadAtMs < dayEndMs(day) - SKEW_MS) violations.push('was read before the day ended');
  const finalAtMs = dayEndMs(day) + policy.finalAfterHours * HOUR_MS;
  if (standing === 'final' && lastReadAtMs < finalAtMs - SKEW_MS) violations.push('is final too early');
  if (standing === 'stored' && lastReadAtMs > finalAtMs + SKEW_MS) violations.push('was read late, and is not final');
  if (standing === 'in_doubt' && (reason !== 'omitted' || (stream !== 'device_counts' && isZero(numbers))))
    violations.push(`is in doubt (${reason}) with ${JSON.stringify(numbers)}`);
  if (stream === 'device_counts' && !isReported) violations.push('is a level that Losant omitted');
  const versions = book.at(cell, lastReadAtMs);
  const isTrue = revisions.at(-1)?.isByPerson
    ? isZero(numbers)
    : versions.some((version) => canResultFrom(numbers, version));
  if (!isTrue)
    violations.push(`has ${JSON.stringify(numbers)}, but Losant could only report ${JSON.stringify(versions)}`);
  return violations;
}

const isZero = (numbers: Numbers) => Object.values(numbers).every((value) => value === 0);

/** Whether a response with this version leads to these numbers: what it omits is zero. */
function canResultFrom(numbers: Numbers, { numbers: reported, omitted }: Version): boolean {
  const zeros = Object.fromEntries(omitted.map((column) => [column, 0]));
  return areEqual(numbers, omitted.includes('payload_source_count') ? zeros : { ...reported, ...zeros });
}

const toSortedText = (numbers: Numbers) =>
  JSON.stringify(Object.entries(numbers).toSorted(([a], [b]) => (a < b ? -1 : 1)));

const areEqual = (a: Numbers, b: Numbers) => toSortedText(a) === toSortedText(b);

/** Whether Losant no longer reports a day. Such a day is never due, and what is not settled is unavailable. */
export function isPastHorizon(day: string, nowMs: number, { horizonDays }: Pick<CheckInput['policy'], 'horizonDays'>) {
  return day < dayAt(nowMs - horizonDays * DAY_MS);
}

/** What is not settled is read again within a day of its last read, as long as it can be read. */
function checkNextRead(cell: LedgerCell, { ledger, policy }: CheckInput, isDeleted: boolean): string[] {
  const { day, standing, lastAttemptAtMs, nextReadAtMs } = cell;
  if (standing === 'final' || standing === 'waived' || isPastHorizon(day, ledger.nowMs, policy) || isDeleted) return [];
  if (nextReadAtMs === null) return [`is ${standing}, and never read again`];
  // A cell that has become due is read by the next run, whenever it was read last.
  const latestMs = Math.max(ledger.nowMs, (lastAttemptAtMs ?? 0) + DAY_MS);
  return lastAttemptAtMs !== null && nextReadAtMs > latestMs ? [`is ${standing}, and not read within a day`] : [];
}

/** Every change is a revision: undoing them one by one from the stored numbers always meets their new values. */
function checkRevisions({ revision, numbers }: LedgerCell, revisions: readonly Revision[]): string[] {
  const recorded = revisions.map((change) => change.revision).join();
  const expected = Array.from({ length: Math.max(0, revision - 1) }, (_, index) => index + 2).join();
  if (recorded !== expected) return [`revision ${revision} with the revisions ${recorded} on record`];
  const state: Record<string, number> = { ...numbers };
  for (const change of revisions.toReversed()) {
    const [old, now] = [flatten(change.old), flatten(change.now)];
    if (Object.keys(now).length === 0) return ['a revision changes nothing'];
    for (const [key, value] of Object.entries(now)) {
      if ((state[key] ?? null) !== value) return [`${key} became ${value} on record, but is ${state[key]}`];
      const oldValue = old[key] ?? null;
      if (oldValue === null) delete state[key];
      else state[key] = oldValue;
    }
  }
  return [];
}

/** Returns the numbers of a change by column, type and source; null for those that it adds or removes. */
function flatten(change: object): Record<string, number | null> {
  const numbers: Record<string, number | null> = {};
  const walk = (value: unknown, key: string) => {
    if (typeof value !== 'object' || value === null) numbers[key] = value === null ? null : Number(value);
    else for (const [part, inner] of Object.entries(value)) walk(inner, key === '' ? part : `${key} ${part}`);
  };
  walk(change, '');
  return numbers;
}

/** A number changes only by a response that reports the new one, or by a person; so does a doubt end. */
function checkChange(
  previous: LedgerCell,
  cell: LedgerCell,
  revisions: readonly Revision[],
  book: TruthBook,
): string[] {
  const { revision, standing, lastReadAtMs, lastAttemptAtMs, nextReadAtMs, failedReads, numbers } = cell;
  const violations: string[] = [];
  if (revision < previous.revision) violations.push(`went back from revision ${previous.revision} to ${revision}`);
  if ((lastReadAtMs ?? 0) < (previous.lastReadAtMs ?? 0)) violations.push('was read later than it is now');
  if (previous.isStored && !cell.isStored) violations.push('was stored, and is not');
  if (previous.standing === 'final' && standing === 'stored') violations.push('was final, and is not');
  const isRead = lastReadAtMs !== previous.lastReadAtMs;
  const isDecided = ['in_doubt', 'waived', 'unavailable'].includes(standing);
  if (previous.standing === 'in_doubt' && !isRead && !isDecided)
    violations.push(`was in doubt, and is ${standing} although nobody read it`);
  if (previous.standing === 'waived' && !isRead && standing !== 'waived')
    violations.push(`was waived, and is ${standing} although Losant reported nothing`);
  const isAttempted = lastAttemptAtMs !== previous.lastAttemptAtMs && failedReads === 0 && nextReadAtMs !== null;
  if (isAttempted && cell.isStored && !isRead && !isDecided)
    violations.push(`was omitted although a number is stored, and is ${standing}`);
  if (previous.numbers === null || numbers === null || revisions.at(-1)?.isByPerson) return violations;
  if (revision === previous.revision && !areEqual(previous.numbers, numbers))
    violations.push('changed without a record');
  const versions = book.at(cell, lastReadAtMs ?? 0);
  for (const column of Object.values(COLUMNS[cell.stream])) {
    const isZeroed = numbers[column] === 0 && (previous.numbers[column] ?? 0) > 0;
    const isReported = versions.some((each) => each.numbers[column] === 0 && !each.omitted.includes(column));
    if (isZeroed && !isReported) violations.push(`${column} became zero, but Losant only omitted it`);
  }
  return violations;
}

interface HealedInput extends Pick<CheckInput, 'book' | 'policy'> {
  readonly existingOrgIds: ReadonlySet<string>;
  /** Later cells are not final yet. */
  readonly lastDay: string;
}

/** Once all problems have ended and everything was read again, stored numbers are true and all cells are settled. */
export function checkHealed(ledger: Ledger, { book, policy, existingOrgIds, lastDay }: HealedInput): string[] {
  return [...ledger.cells.values()].flatMap((cell) => {
    const { standing, reason, orgId, numbers, day } = cell;
    if (day > lastDay) return [];
    const isDeleted = !existingOrgIds.has(orgId);
    const isUnreadable = isDeleted || isPastHorizon(day, ledger.nowMs, policy);
    if (standing === 'waived' || (standing === 'unavailable' && isUnreadable)) return [];
    if (standing !== 'final') return [`${cellName(cell)} is ${standing} (${reason}) in the end`];
    const truth = book.current(cell);
    const isTrue = numbers !== null && truth !== undefined && areEqual(numbers, truth.numbers);
    // A cell that was final when its organization was deleted, or its day passed the horizon, does not change.
    if (isTrue || isUnreadable) return [];
    return [`${cellName(cell)}: ${JSON.stringify(numbers)} in the end, but true is ${JSON.stringify(truth?.numbers)}`];
  });
}
