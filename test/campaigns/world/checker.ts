/**
 * Compares the tables with the truth of the platforms and with their previous state. Written from the guarantees about
 * the tables, without code of the program. Each violation is a line of text.
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
/** No policy of the worlds makes a day final earlier. */
const FINAL_AFTER_MS = 48 * HOUR_MS;
/** The number of responses that must omit a zero before it is final, or a number before it becomes zero. */
const OMISSIONS_NEEDED = 3;
const COUNTERPARTS = { payload_sources: 'payload_totals', payload_totals: 'payload_sources' } as const;

/** Returns what is wrong with the tables and with their changes since the previous state. */
export function checkTables(ledger: Ledger, previous: Ledger, book: TruthBook): string[] {
  const lines = [...ledger.cells.values()].flatMap((cell) => {
    const name = cellName(cell);
    const violations = [
      ...checkTimes(cell, ledger),
      ...checkNumbers(cell, book),
      ...checkChain(cell, ledger.revisions.get(name) ?? []),
      ...checkChange(previous.cells.get(name), cell, { ledger, book }),
      ...(isGap(cell, ledger.nowMs) === ledger.gaps.has(name) ? [] : ['is a gap, or not, unlike in coverage_gaps']),
    ];
    return violations.map((line) => `${name}: ${line}`);
  });
  const missingRows = [...previous.cells].filter(([name, { hasRow }]) => hasRow && !ledger.cells.get(name)?.hasRow);
  return [...ledger.breaches, ...lines, ...missingRows.map(([name]) => `${name} had a row, and has none`)];
}

/** Whether an expected cell is missing or in doubt: what `gaps` must show. */
export function isGap({ standing, day }: LedgerCell, atMs: number): boolean {
  if (standing === 'waiting') return atMs >= dayEndMs(day) + LATE_AFTER_MS;
  return standing === 'in_doubt' || standing === 'missing';
}

/** No read is in the future or before the end of its day, and unsettled cells are read again. */
function checkTimes(cell: LedgerCell, { nowMs, instances, tracks }: Ledger): string[] {
  const { day, standing, lastReadAtMs, nextReadAtMs } = cell;
  const violations: string[] = [];
  if (dayEndMs(day) > nowMs) violations.push('is of a day that has not ended');
  if (lastReadAtMs !== null) {
    if (lastReadAtMs > nowMs + SKEW_MS) violations.push('was read in the future');
    if (lastReadAtMs < dayEndMs(day) - SKEW_MS) violations.push('was read before the day ended');
    const isEarly = lastReadAtMs < dayEndMs(day) + FINAL_AFTER_MS - SKEW_MS;
    if (standing === 'final' && isEarly) violations.push('is final too early');
  }
  const { horizonDays } = instances.get(cell.instanceId) ?? {};
  const isPastHorizon = day < dayAt(nowMs - (horizonDays ?? 0) * DAY_MS);
  const isOrgDeleted = tracks.some(({ orgId, isDeleted }) => isDeleted && orgId === cell.orgId);
  const isNeverRead = nextReadAtMs === null && cell.hasRow;
  if (isNeverRead && !['final', 'waived'].includes(standing) && !isPastHorizon && !isOrgDeleted)
    violations.push('is never read again');
  return violations;
}

/** Stored numbers are those that Losant had when it responded, and an omission alone confirms nothing. */
function checkNumbers(cell: LedgerCell, book: TruthBook): string[] {
  const { stream, standing, isStored, isReported, numbers, lastReadAtMs } = cell;
  if (isStored !== (numbers !== null)) return [`is ${standing}, and its numbers are ${JSON.stringify(numbers)}`];
  if (numbers === null) return [];
  const violations: string[] = [];
  if (lastReadAtMs === null) return ['is stored, but was never read'];
  const versions = book.at(cell, lastReadAtMs);
  if (!versions.some((version) => canResultFrom(numbers, version))) {
    const possible = JSON.stringify(versions);
    violations.push(`has ${JSON.stringify(numbers)}, but Losant could only report ${possible} at ${lastReadAtMs}`);
  }
  const isUndoubted = standing === 'stored' || standing === 'final';
  if (stream === 'device_counts' && isUndoubted && !isReported) violations.push('is a level that Losant omitted');
  if (standing === 'final' && !isReported && cell.omissions < OMISSIONS_NEEDED)
    violations.push(`is a final zero that only ${cell.omissions} responses omitted`);
  return violations;
}

/** Whether a response with this version can have led to these numbers: what it omits may be zero. */
function canResultFrom(numbers: Numbers, { numbers: reported, omitted }: Version): boolean {
  const isCompared = (key: string) => !omitted.some((column) => key.startsWith(column)) || (numbers[key] ?? 0) !== 0;
  const expected = Object.entries(reported).filter(([key]) => isCompared(key));
  const stored = Object.entries(numbers).filter(([key]) => isCompared(key));
  return toSortedText(expected) === toSortedText(stored);
}

const toSortedText = (entries: readonly (readonly [string, number])[]) =>
  JSON.stringify(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));

const areEqual = (a: Numbers, b: Numbers) => toSortedText(Object.entries(a)) === toSortedText(Object.entries(b));

/** Revisions have no gap, and undoing them one by one from the stored numbers always meets their new values. */
function checkChain({ revision, numbers }: LedgerCell, chain: readonly Revision[]): string[] {
  const recorded = chain.map((change) => change.revision).join();
  const expected = Array.from({ length: Math.max(0, revision - 1) }, (_, index) => index + 2).join();
  if (recorded !== expected) return [`revision ${revision} with the revisions ${recorded} on record`];
  const state: Record<string, number> = { ...numbers };
  for (const change of chain.toReversed()) {
    const [old, now] = [flattenChange(change.old), flattenChange(change.now)];
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

/** Returns the numbers of a change; null for those that it adds or removes. */
function flattenChange(change: object): Record<string, number | null> {
  const leaves: Record<string, number | null> = {};
  const walk = (value: unknown, key: string) => {
    if (typeof value !== 'object' || value === null) leaves[key] = value === null ? null : Number(value);
    else for (const [part, inner] of Object.entries(value)) walk(inner, key === '' ? part : `${key} ${part}`);
  };
  walk(change, '');
  return leaves;
}

/** Whether enough responses omitted the numbers, and the counterpart has reported zero since they were last read. */
function isOmittedZero(previous: LedgerCell, cell: LedgerCell, { cells }: Ledger): boolean {
  const stream = Object.entries(COUNTERPARTS).find(([name]) => name === cell.stream)?.[1];
  const counterpart = stream && cells.get(cellName({ ...cell, stream }));
  if (!counterpart?.isReported || (counterpart.lastReadAtMs ?? 0) < (previous.lastReadAtMs ?? 0)) return false;
  const isZero = Object.values(counterpart.numbers ?? { none: 1 }).every((value) => value === 0);
  return isZero && !cell.isReported && cell.omissions === OMISSIONS_NEEDED;
}

/**
 * A number changes only by a response that reports the new one, or by omissions next to a counterpart of zero; and a
 * doubt ends by a response or a person.
 */
function checkChange(
  previous: LedgerCell | undefined,
  cell: LedgerCell,
  { ledger, book }: { readonly ledger: Ledger; readonly book: TruthBook },
): string[] {
  if (!previous?.hasRow) return [];
  const { revision, standing, lastReadAtMs, numbers } = cell;
  const violations: string[] = [];
  if (revision < previous.revision) violations.push(`went back from revision ${previous.revision} to ${revision}`);
  if ((lastReadAtMs ?? 0) < (previous.lastReadAtMs ?? 0)) violations.push('was read later than it is now');
  if (previous.numbers !== null && numbers !== null) {
    if (revision === previous.revision && !areEqual(previous.numbers, numbers))
      violations.push('changed without a record');
    const zeroedColumns = Object.values(COLUMNS[cell.stream]).filter(
      (column) => previous.numbers?.[column] && numbers[column] === 0,
    );
    const versions = book.at(cell, lastReadAtMs ?? 0);
    const isZeroReported = (column: string) =>
      versions.some((version) => version.numbers[column] === 0 && !version.omitted.includes(column));
    for (const column of zeroedColumns)
      if (!isZeroReported(column) && !isOmittedZero(previous, cell, ledger))
        violations.push(`${column} became zero, but Losant only omitted it`);
  }
  const isRead = cell.lastAttemptAtMs !== previous.lastAttemptAtMs || lastReadAtMs !== previous.lastReadAtMs;
  const isDecided = ['in_doubt', 'waived', 'unavailable'].includes(standing);
  if (previous.standing === 'in_doubt' && !isRead && !isDecided)
    violations.push(`was in doubt, and is ${standing} although nobody read it`);
  const isNewlyReported = cell.isReported && lastReadAtMs !== previous.lastReadAtMs;
  const isLifted = isNewlyReported || isOmittedZero(previous, cell, ledger);
  if (previous.reason === 'waived' && standing !== 'waived' && !isLifted)
    violations.push(`was waived, and is ${standing} although Losant reported nothing`);
  return violations;
}

/** Once all problems have ended and everything was read again, stored numbers are true and all cells are settled. */
export function checkHealed(
  ledger: Ledger,
  { book, existingOrgIds, lastDay }: { book: TruthBook; existingOrgIds: ReadonlySet<string>; lastDay: string },
): string[] {
  return [...ledger.cells.values()].flatMap((cell) => {
    const { standing, reason, orgId, numbers } = cell;
    // Later cells are not final yet.
    if (cell.day > lastDay) return [];
    const isDeleted = !existingOrgIds.has(orgId);
    if (standing === 'waived' || (standing === 'unavailable' && (isDeleted || reason === 'past_horizon'))) return [];
    if (standing !== 'final') return [`${cellName(cell)} is ${standing} (${reason}) in the end`];
    const truth = book.current(cell);
    const isTrue = numbers !== null && truth !== undefined && areEqual(numbers, truth.numbers);
    // A cell that was final when its organization was deleted, or its day passed the horizon, does not change.
    if (isTrue || isDeleted || cell.nextReadAtMs === null) return [];
    return [`${cellName(cell)}: ${JSON.stringify(numbers)} in the end, but true is ${JSON.stringify(truth?.numbers)}`];
  });
}
