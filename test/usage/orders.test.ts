/** The rules of responses, for random orders of reported, omitted and failed payloads of one day. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CellUpdate } from '../../src/usage/apply.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import { getNumber, hasNonzero } from '../../src/usage/numbers.ts';
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
const step = fc.constantFrom(...STREAMS).chain((stream) =>
  fc.record({
    stream: fc.constant(stream),
    later: fc.constantFrom(0.02, 0.5, 1, 6, 24, 72),
    verdict: fc.constantFrom(...verdictsOf(stream)),
  }),
);

interface Step {
  readonly update: CellUpdate;
  readonly verdict: Verdict;
  readonly sentAtMs: number;
  readonly counterparts: readonly cells.State[];
}

/** Checks an update against the rules. Returns the new state. */
function checkStep(before: cells.State, { update, verdict, sentAtMs, counterparts }: Step): cells.State {
  const { cell } = update;
  const numbers = update.numbers ?? before.numbers;
  if (verdict.kind === 'reported' && verdict.omitted.length === 0) expect(numbers).toEqual(verdict.numbers);
  if (verdict.kind === 'reported' && before.numbers !== null && update.numbers !== null) {
    // An omission never replaces a nonzero number.
    for (const part of verdict.omitted) expect(getNumber(before.numbers, part)).toBe(0);
  }
  if (verdict.kind !== 'reported' && before.numbers !== null) expect(numbers).toEqual(before.numbers);
  if (verdict.kind === 'omitted' && numbers !== null && !hasNonzero(numbers)) {
    // Omitted zeros are never stored while a counterpart is above zero.
    if (counterparts.some((other) => other.numbers !== null && hasNonzero(other.numbers))) {
      expect([update.numbers, cell.standing]).toEqual([null, 'in_doubt']);
    }
  }
  if (cell.standing === 'final' && !cell.isReported) {
    expect(cell.omissions).toBe(3);
    expect(sentAtMs).toBeGreaterThanOrEqual(age(POLICY.finalAfterHours));
  }
  expect(cell.isStored).toBe(numbers !== null);
  expect(cell.revision - before.cell.revision).toBe(update.numbers === null ? 0 : 1);
  // Every cell has a next read until it is final and past its last checkpoint.
  const checkpointMs = nextCheckpointMs(DAY, sentAtMs, POLICY);
  if (cell.nextReadAtMs === null) expect([cell.standing, checkpointMs]).toEqual(['final', null]);
  else expect(cell.nextReadAtMs).toBeLessThanOrEqual(checkpointMs ?? sentAtMs + 24 * HOUR_MS);
  return { cell, numbers };
}

// Guarantee (Numbers): Whatever Losant responds, in any order, no number is lost and no zero is invented; an omission
// never replaces a nonzero number.
test('no number is lost and no zero is invented, in any order of responses', () => {
  const fresh: cells.State = { cell: unread, numbers: null };
  const play = (steps: readonly { stream: string; later: number; verdict: Verdict }[]) => {
    const states = new Map<string, cells.State>();
    const stateOf = (stream: string) => states.get(stream) ?? fresh;
    let at = 0;
    for (const { stream, later, verdict } of steps) {
      at += later;
      const { cell, numbers } = stateOf(stream);
      const counterparts = getStream(stream).counterparts.map((name) => ({ stream: name, ...stateOf(name) }));
      const update = applyTo({ stream, cell, numbers, verdict, hours: at, counterparts });
      states.set(stream, checkStep(stateOf(stream), { update, verdict, sentAtMs: age(at), counterparts }));
    }
  };
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 14 }), play), { numRuns: 2_000 });
});
