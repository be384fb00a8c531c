/** The table against every order in which the payloads of a day come, are left out, name zeros or numbers, or fail. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CellUpdate } from '../../src/usage/apply.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import { getNumber, hasNonzero } from '../../src/usage/numbers.ts';
import { nextCheckpointMs } from '../../src/usage/policy.ts';
import { getStream } from '../../src/usage/streams/catalog.ts';
import * as cells from './cells.ts';

const { age, applyTo, DAY, failed, HOUR_MS, hours, NUMBERS, named, POLICY, silence, totals, unread } = cells;

const STREAMS = ['payload_sources', 'payload_totals', 'payload_hours'] as const;

const hourParts = (column: string) => Array.from({ length: 24 }, (_, hour) => ({ column, hour }));
const PARTS: Readonly<Record<string, readonly Verdict[]>> = {
  payload_totals: [
    named(totals(0, 21, 900), 'payload_billable_count'),
    named(totals(17, 0, 900), 'payload_all_count'),
    named(totals(0, 0, 0), 'payload_all_count', 'payload_all_bytes'),
  ],
  payload_hours: [
    named(hours(0, 21, 900), ...hourParts('hours_billable_count')),
    named(hours(17, 0, 900), ...hourParts('hours_all_count')),
  ],
};

function verdictsOf(stream: string): Verdict[] {
  const whole = Object.values(NUMBERS[stream] ?? {}).map((numbers) => named(numbers));
  return [silence, silence, silence, failed, ...whole, ...(PARTS[stream] ?? [])];
}

/** One answer: the time since the one before in hours, the stream, and what Losant says. */
const step = fc.constantFrom(...STREAMS).chain((stream) =>
  fc.record({
    stream: fc.constant(stream),
    later: fc.constantFrom(0.02, 0.5, 1, 6, 24, 72),
    verdict: fc.constantFrom(...verdictsOf(stream)),
  }),
);

interface Judged {
  readonly applied: CellUpdate;
  readonly verdict: Verdict;
  readonly sentAtMs: number;
  readonly others: readonly cells.State[];
}

/** Judges what an answer made of a cell. Returns the cell as it is then. */
function judge(before: cells.State, { applied, verdict, sentAtMs, others }: Judged): cells.State {
  const { cell } = applied;
  const numbers = applied.numbers ?? before.numbers;
  if (verdict.kind === 'reported' && verdict.omitted.length === 0) expect(numbers).toEqual(verdict.numbers);
  if (verdict.kind === 'reported' && before.numbers !== null && applied.numbers !== null) {
    // A number other than zero is never replaced by silence.
    for (const part of verdict.omitted) expect(getNumber(before.numbers, part)).toBe(0);
  }
  if (verdict.kind !== 'reported' && before.numbers !== null) expect(numbers).toEqual(before.numbers);
  if (verdict.kind === 'omitted' && numbers !== null && !hasNonzero(numbers)) {
    // Zeros are never stored while a counterpart above zero is.
    if (others.some((other) => other.numbers !== null && hasNonzero(other.numbers))) {
      expect([applied.numbers, cell.standing]).toEqual([null, 'in_doubt']);
    }
  }
  if (cell.standing === 'final' && !cell.isReported) {
    expect(cell.omissions).toBe(3);
    expect(sentAtMs).toBeGreaterThanOrEqual(age(POLICY.finalAfterHours));
  }
  expect(cell.isStored).toBe(numbers !== null);
  expect(cell.revision - before.cell.revision).toBe(applied.numbers === null ? 0 : 1);
  // Every cell is read again, until it is final and has no checkpoint ahead.
  const checkpointMs = nextCheckpointMs(DAY, sentAtMs, POLICY);
  if (cell.nextReadAtMs === null) expect([cell.standing, checkpointMs]).toEqual(['final', null]);
  else expect(cell.nextReadAtMs).toBeLessThanOrEqual(checkpointMs ?? sentAtMs + 24 * HOUR_MS);
  return { cell, numbers };
}

// Guarantee (Numbers): Whatever Losant responds, in any order, no number is lost and no zero is invented; an omission
// never replaces a nonzero number.
test('whatever comes in whatever order, no number is lost and no zero is invented', () => {
  const fresh: cells.State = { cell: unread, numbers: null };
  const play = (steps: readonly { stream: string; later: number; verdict: Verdict }[]) => {
    const states = new Map<string, cells.State>();
    const stateOf = (stream: string) => states.get(stream) ?? fresh;
    let at = 0;
    for (const { stream, later, verdict } of steps) {
      at += later;
      const { cell, numbers } = stateOf(stream);
      const others = getStream(stream).counterparts.map((name) => ({ stream: name, ...stateOf(name) }));
      const applied = applyTo({ stream, cell, numbers, verdict, hours: at, counterparts: others });
      states.set(stream, judge(stateOf(stream), { applied, verdict, sentAtMs: age(at), others }));
    }
  };
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 14 }), play), { numRuns: 2_000 });
});
