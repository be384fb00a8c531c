/** The rules of responses, for random orders of reported, omitted and failed payloads of one day. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CellUpdate, StoredCell, Verdict } from '../../src/usage/cell.ts';
import { getNumber, hasNonzero, type Numbers } from '../../src/usage/numbers.ts';
import { nextCheckpointMs } from '../../src/usage/policy.ts';
import { getStream } from '../../src/usage/streams/catalog.ts';
import * as cells from './cells.ts';

const { age, applyTo, DAY, failed, HOUR_MS, hours, NUMBERS, omitted, POLICY, report, totals, unread } = cells;

const STREAMS = ['payload_sources', 'payload_totals', 'payload_hours'] as const;

const hourParts = (column: string) => Array.from({ length: 24 }, (_, hour) => ({ column, hour }));
const PARTS: Readonly<Record<string, readonly Verdict[]>> = {
  payload_totals: [
    report(totals(0, 21, 900), 'payload_billable_count'),
    report(totals(17, 0, 900), 'payload_all_count'),
    report(totals(0, 0, 0), 'payload_all_count', 'payload_all_bytes'),
  ],
  payload_hours: [
    report(hours(0, 21, 900), ...hourParts('hours_billable_count')),
    report(hours(17, 0, 900), ...hourParts('hours_all_count')),
  ],
};

function verdictsOf(stream: string): Verdict[] {
  const whole = Object.values(NUMBERS[stream] ?? {}).map((numbers) => report(numbers));
  return [omitted, omitted, omitted, failed, ...whole, ...(PARTS[stream] ?? [])];
}

/** One response: the hours since the previous one, the stream, and the verdict. */
const stepOf = (laterHours: readonly number[], verdictsBy: (stream: string) => readonly Verdict[]) =>
  fc.constantFrom(...STREAMS).chain((stream) => {
    const [later, verdict] = [fc.constantFrom(...laterHours), fc.constantFrom(...verdictsBy(stream))];
    return fc.record({ stream: fc.constant(stream), later, verdict });
  });
const step = stepOf([0.02, 0.5, 1, 6, 24, 72], verdictsOf);

const numbersOf = (stream: string, key: 'some' | 'zero') => report(NUMBERS[stream]?.[key] ?? {});

/** All streams are reported, then mostly omitted, and sometimes reported as zero: as for a day that became zero. */
const omission = stepOf([0.5, 1, 6], (stream) => [omitted, omitted, omitted, failed, numbersOf(stream, 'zero')]);
const restatedDay = fc
  .array(omission, { minLength: 6, maxLength: 14 })
  .map((steps) => [...STREAMS.map((stream) => ({ stream, later: 1, verdict: numbersOf(stream, 'some') })), ...steps]);

interface Step {
  readonly update: CellUpdate;
  readonly verdict: Verdict;
  readonly sentAtMs: number;
  readonly counterparts: readonly StoredCell[];
  /** When responses in a row omitted something, this one included; failed reads lie between them. */
  readonly omittedAtMs: readonly number[];
}

/** The numbers that the response omits and that are stored as other than zero, as long as it takes to lose them. */
function losesNumbers(before: StoredCell, verdict: Verdict): boolean {
  const { numbers } = before;
  if (numbers === null) return false;
  if (verdict.kind === 'omitted') return hasNonzero(numbers);
  return verdict.kind === 'reported' && verdict.omitted.some((part) => getNumber(numbers, part) !== 0);
}

const sumOf = (numbers: Numbers | null, column: string) =>
  [numbers?.[column] ?? []].flat().reduce<number>((sum, each) => sum + Number(each), 0);

/** Whether a counterpart was reported no earlier than the cell, as zero or as the sum of the hours. */
function isReportedElsewhere({ counterparts }: Step, before: StoredCell, next: Numbers): boolean {
  return counterparts.some(({ isReported, lastReadAtMs, numbers }) => {
    if (numbers === null || !isReported || (lastReadAtMs ?? 0) < (before.lastReadAtMs ?? 0)) return false;
    const isSum = ['billable_count', 'all_count', 'all_bytes'].every(
      (name) => 'hours_all_bytes' in next && sumOf(next, `hours_${name}`) === numbers[`payload_${name}`],
    );
    return isSum || (!hasNonzero(numbers) && !hasNonzero(next));
  });
}

let replacements = 0;

/** An omission replaces numbers other than zero only as the third in a row, and as a counterpart reported. */
function checkLoss(before: StoredCell, step: Step, next: Numbers): void {
  const { update, omittedAtMs } = step;
  replacements += 1;
  expect(update.cell).toMatchObject({ isReported: false, omissions: 3 });
  expect(omittedAtMs.length).toBeGreaterThanOrEqual(3);
  expect((omittedAtMs.at(-1) ?? 0) - (omittedAtMs[0] ?? 0)).toBeGreaterThanOrEqual(2 * HOUR_MS);
  expect(isReportedElsewhere(step, before, next)).toBe(true);
}

/** Checks an update against the rules. Returns the new cell. */
function checkStep(before: StoredCell, step: Step): StoredCell {
  const { update, verdict, sentAtMs, counterparts } = step;
  const { cell } = update;
  const { numbers } = cell;
  const newNumbers = cells.getNewNumbers(update);
  if (verdict.kind === 'reported' && verdict.omitted.length === 0) expect(numbers).toEqual(verdict.numbers);
  const isLoss = losesNumbers(before, verdict);
  if (isLoss && newNumbers !== null) checkLoss(before, step, newNumbers);
  if (isLoss && newNumbers === null) expect(cell.standing).toBe('in_doubt');
  if (!isLoss && verdict.kind !== 'reported' && before.numbers !== null) expect(numbers).toEqual(before.numbers);
  if (verdict.kind === 'omitted' && !isLoss && numbers !== null && !hasNonzero(numbers)) {
    // Omitted zeros are never stored while a counterpart is above zero.
    if (counterparts.some((other) => other.numbers !== null && hasNonzero(other.numbers))) {
      expect([newNumbers, cell.standing]).toEqual([null, 'in_doubt']);
    }
  }
  if (cell.standing === 'final' && !cell.isReported) {
    expect(cell.omissions).toBe(3);
    expect(sentAtMs).toBeGreaterThanOrEqual(age(POLICY.finalAfterHours));
  }
  expect(cell.isStored).toBe(numbers !== null);
  expect(cell.revision - before.revision).toBe(newNumbers === null ? 0 : 1);
  // Every cell has a next read until it is final and past its last checkpoint.
  const checkpointMs = nextCheckpointMs(DAY, sentAtMs, POLICY);
  if (cell.nextReadAtMs === null) expect([cell.standing, checkpointMs]).toEqual(['final', null]);
  else expect(cell.nextReadAtMs).toBeLessThanOrEqual(checkpointMs ?? sentAtMs + 24 * HOUR_MS);
  return cell;
}

// Guarantee (Numbers): Whatever Losant responds, in any order, no number is lost and no zero is invented: an omission
// replaces a number only next to a zero that was reported.
test('no number is lost and no zero is invented, in any order of responses', () => {
  const play = (steps: readonly { stream: string; later: number; verdict: Verdict }[]) => {
    const states = new Map<string, StoredCell>();
    const omissionTimes = new Map<string, readonly number[]>();
    const stateOf = (stream: string) => states.get(stream) ?? { ...unread, stream };
    let at = 0;
    for (const { stream, later, verdict } of steps) {
      at += later;
      const counterparts = getStream(stream).counterparts.map(stateOf);
      const update = applyTo({ stream, cell: stateOf(stream), verdict, hours: at, counterparts });
      const isOmission = losesNumbers(stateOf(stream), verdict);
      const earlier = isOmission || verdict.kind === 'failed' ? (omissionTimes.get(stream) ?? []) : [];
      const omittedAtMs = isOmission ? [...earlier, age(at)] : earlier;
      omissionTimes.set(stream, omittedAtMs);
      const step = { update, verdict, sentAtMs: age(at), counterparts, omittedAtMs };
      states.set(stream, checkStep(stateOf(stream), step));
    }
  };
  const anyDay = fc.array(step, { minLength: 1, maxLength: 14 });
  fc.assert(fc.property(fc.oneof(anyDay, restatedDay), play), { numRuns: 1_000 });
  expect(replacements).toBeGreaterThan(25);
});
