/**
 * Holds the tables against the platforms' truth, and against what they had before. Written from what is promised of the
 * tables; shares no code with the program. A broken promise is a line of text; no line means that all of them hold.
 */
import type { Ledger, LedgerCell, Revision } from './ledger.ts';
import {
  COLUMNS,
  DAY_MS,
  dayAt,
  endOf,
  HOUR_MS,
  type Numbers,
  nameOf,
  SKEW_MS,
  type TruthBook,
  type Version,
} from './truth.ts';

/** The time after its day from which a wanted number that is not stored is late. */
const LATE_AFTER_MS = 6 * HOUR_MS;
/** No policy of the worlds makes a day final earlier. */
const FINAL_AFTER_MS = 48 * HOUR_MS;
/** The number of answers that leave a zero out before it is final. */
const SILENCES_NEEDED = 3;

/** Returns what is wrong with the tables, and with what has changed in them since `before`. */
export function checkTables(ledger: Ledger, before: Ledger, book: TruthBook): string[] {
  const lines = [...ledger.cells.values()].flatMap((cell) => {
    const name = nameOf(cell);
    const wrong = [
      ...checkTimes(cell, ledger),
      ...checkNumbers(cell, book),
      ...checkChain(cell, ledger.revisions.get(name) ?? []),
      ...checkChange(before.cells.get(name), cell, book),
      ...(isGap(cell, ledger.nowMs) === ledger.gaps.has(name)
        ? []
        : ['is a gap, or is none, against the view of gaps']),
    ];
    return wrong.map((line) => `${name}: ${line}`);
  });
  const gone = [...before.cells].filter(([name, { hasRow }]) => hasRow && !ledger.cells.get(name)?.hasRow);
  return [...ledger.breaches, ...lines, ...gone.map(([name]) => `${name} had a row, and has none`)];
}

/** Whether a wanted cell is required or in doubt: what `gaps` must show. */
export function isGap({ standing, day }: LedgerCell, atMs: number): boolean {
  if (standing === 'waiting') return atMs >= endOf(day) + LATE_AFTER_MS;
  return standing === 'in_doubt' || standing === 'missing';
}

/** No answer comes from the future, none too early, and what is not settled is read again. */
function checkTimes(cell: LedgerCell, { nowMs, instances, tracks }: Ledger): string[] {
  const { day, standing, lastReadAtMs, nextReadAtMs } = cell;
  const wrong: string[] = [];
  if (endOf(day) > nowMs) wrong.push('is of a day that is not over');
  if (lastReadAtMs !== null) {
    if (lastReadAtMs > nowMs + SKEW_MS) wrong.push('was verified in the future');
    if (lastReadAtMs < endOf(day) - SKEW_MS) wrong.push('was verified before the day was over');
    const isEarly = lastReadAtMs < endOf(day) + FINAL_AFTER_MS - SKEW_MS;
    if (standing === 'final' && isEarly) wrong.push('is final too early');
  }
  const { horizonDays } = instances.get(cell.instanceId) ?? {};
  const isPast = day < dayAt(nowMs - (horizonDays ?? 0) * DAY_MS);
  const isGone = tracks.some(({ orgId, removed }) => removed && orgId === cell.orgId);
  const isClosed = nextReadAtMs === null && cell.hasRow;
  if (isClosed && !['final', 'waived'].includes(standing) && !isPast && !isGone)
    wrong.push('is never read again');
  return wrong;
}

/** What is stored is what Losant said at the time of the answer, and nothing is sure by silence alone. */
function checkNumbers(cell: LedgerCell, book: TruthBook): string[] {
  const { stream, standing, isStored, isReported, numbers, lastReadAtMs } = cell;
  if (isStored !== (numbers !== null))
    return [`is ${standing}, and its numbers are ${JSON.stringify(numbers)}`];
  if (numbers === null) return [];
  const wrong: string[] = [];
  if (lastReadAtMs === null) return ['is stored, and no answer was accepted'];
  const versions = book.at(cell, lastReadAtMs);
  if (!versions.some((version) => canBe(numbers, version))) {
    const known = JSON.stringify(versions);
    wrong.push(`has ${JSON.stringify(numbers)}, and Losant could only say ${known} at ${lastReadAtMs}`);
  }
  const isSure = standing === 'stored' || standing === 'final';
  if (stream === 'device_counts' && isSure && !isReported) wrong.push('is a level that nobody named');
  if (standing === 'final' && !isReported && cell.omissions < SILENCES_NEEDED)
    wrong.push(`is a final zero that ${cell.omissions} answers left out`);
  return wrong;
}

/** Whether an answer with this version can have led to these numbers: what it leaves out may be zero. */
function canBe(numbers: Numbers, { numbers: said, omitted }: Version): boolean {
  const isThere = (key: string) =>
    !omitted.some((column) => key.startsWith(column)) || (numbers[key] ?? 0) !== 0;
  const expected = Object.entries(said).filter(([key]) => isThere(key));
  const stored = Object.entries(numbers).filter(([key]) => isThere(key));
  return inOrder(expected) === inOrder(stored);
}

const inOrder = (entries: readonly (readonly [string, number])[]) =>
  JSON.stringify(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));

const sameNumbers = (a: Numbers, b: Numbers) => inOrder(Object.entries(a)) === inOrder(Object.entries(b));

/** No revision is skipped, and back from what is stored each change begins with what it says it led to. */
function checkChain({ revision, numbers }: LedgerCell, chain: readonly Revision[]): string[] {
  const onRecord = chain.map((change) => change.revision).join();
  const expected = Array.from({ length: Math.max(0, revision - 1) }, (_, index) => index + 2).join();
  if (onRecord !== expected) return [`revision ${revision} with ${onRecord} on record`];
  const state: Record<string, number> = { ...numbers };
  for (const change of chain.toReversed()) {
    const [old, now] = [leavesOf(change.old), leavesOf(change.now)];
    if (Object.keys(now).length === 0) return ['a change of nothing is on record'];
    for (const [key, value] of Object.entries(now)) {
      if ((state[key] ?? null) !== value) return [`${key} became ${value} on record, and is ${state[key]}`];
      const before = old[key] ?? null;
      if (before === null) delete state[key];
      else state[key] = before;
    }
  }
  return [];
}

/** Returns the numbers of a change; null for what is not there. */
function leavesOf(change: object): Record<string, number | null> {
  const leaves: Record<string, number | null> = {};
  const walk = (value: unknown, key: string) => {
    if (typeof value !== 'object' || value === null) leaves[key] = value === null ? null : Number(value);
    else for (const [part, inner] of Object.entries(value)) walk(inner, key === '' ? part : `${key} ${part}`);
  };
  walk(change, '');
  return leaves;
}

/** A number changes by an answer that names the new one, and a doubt ends by an answer or a person. */
function checkChange(before: LedgerCell | undefined, cell: LedgerCell, book: TruthBook): string[] {
  if (!before?.hasRow) return [];
  const { revision, standing, lastReadAtMs, numbers } = cell;
  const wrong: string[] = [];
  if (revision < before.revision) wrong.push(`went back from revision ${before.revision} to ${revision}`);
  if ((lastReadAtMs ?? 0) < (before.lastReadAtMs ?? 0)) wrong.push('was verified later than it is now');
  if (before.numbers !== null && numbers !== null) {
    if (revision === before.revision && !sameNumbers(before.numbers, numbers))
      wrong.push('changed without a record');
    const lost = Object.values(COLUMNS[cell.stream]).filter(
      (column) => before.numbers?.[column] && numbers[column] === 0,
    );
    const versions = book.at(cell, lastReadAtMs ?? 0);
    const isNamed = (column: string) =>
      versions.some((version) => version.numbers[column] === 0 && !version.omitted.includes(column));
    for (const column of lost)
      if (!isNamed(column)) wrong.push(`${column} became zero, and Losant only left it out`);
  }
  const isRead = cell.lastAttemptAtMs !== before.lastAttemptAtMs || lastReadAtMs !== before.lastReadAtMs;
  const isDecided = ['in_doubt', 'waived', 'unavailable'].includes(standing);
  if (before.standing === 'in_doubt' && !isRead && !isDecided)
    wrong.push(`was in doubt, and is ${standing} though nobody read it`);
  const isNamed = cell.isReported && lastReadAtMs !== before.lastReadAtMs;
  if (before.reason === 'waived' && standing !== 'waived' && !isNamed)
    wrong.push(`was accepted, and is ${standing} though Losant named nothing`);
  return wrong;
}

/** After all troubles, when everything was read again, what is stored is what is true now, and all is settled. */
export function checkHealed(
  ledger: Ledger,
  { book, living, lastDay }: { book: TruthBook; living: ReadonlySet<string>; lastDay: string },
): string[] {
  return [...ledger.cells.values()].flatMap((cell) => {
    const { standing, reason, orgId, numbers } = cell;
    // Later ones are not final yet.
    if (cell.day > lastDay) return [];
    const isGone = !living.has(orgId);
    if (standing === 'waived' || (standing === 'unavailable' && (isGone || reason === 'past_horizon')))
      return [];
    if (standing !== 'final') return [`${nameOf(cell)} is ${standing} (${reason}) in the end`];
    const truth = book.now(cell);
    const isRight = numbers !== null && truth !== undefined && sameNumbers(numbers, truth.numbers);
    // What was final when its organization went, or its day left the horizon, stays as it was.
    if (isRight || isGone || cell.nextReadAtMs === null) return [];
    return [
      `${nameOf(cell)}: ${JSON.stringify(numbers)} in the end, and it is ${JSON.stringify(truth?.numbers)}`,
    ];
  });
}
