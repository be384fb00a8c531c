/** The table against every order in which the payloads of a day come, are left out, name zeros or numbers, or fail. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Applied, Counterpart } from '../../src/usage/apply.ts';
import type { Cell, Verdict } from '../../src/usage/cell.ts';
import { hasAnyNumber, type Numbers } from '../../src/usage/numbers.ts';
import { nextCheckpointMs } from '../../src/usage/policy.ts';
import { streamNamed } from '../../src/usage/streams/catalog.ts';
import {
  age,
  applyTo,
  DAY,
  failed,
  HOUR_MS,
  hours,
  NUMBERS,
  named,
  POLICY,
  type State,
  silence,
  totals,
  unread,
} from './cells.ts';

const STREAMS = ['payload_sources', 'payload_totals', 'payload_hours'] as const;
type StreamName = (typeof STREAMS)[number];

const hourParts = (column: string) => Array.from({ length: 24 }, (_, hour) => ({ column, hour }));
const PARTS: Readonly<Record<StreamName, readonly Verdict[]>> = {
  payload_sources: [],
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

function verdictsOf(stream: StreamName): Verdict[] {
  const { some = {}, other = {}, zero = {} } = NUMBERS[stream] ?? {};
  return [silence, silence, silence, failed, named(some), named(other), named(zero), ...PARTS[stream]];
}

/** One answer: the time since the one before in hours, the stream, and what Losant says. */
const step = fc.constantFrom(...STREAMS).chain((stream) =>
  fc.record({
    stream: fc.constant(stream),
    later: fc.constantFrom(0.02, 0.5, 1, 6, 24, 72),
    verdict: fc.constantFrom(...verdictsOf(stream)),
  }),
);

/** What the test knows of a cell by itself. */
interface Witness {
  /** The answers an hour apart that have left out its zeros. */
  silences: number;
  lastMs: number | null;
  isConfirmed: boolean;
  /** The newest numbers that Losant named. */
  newest: Numbers | null;
}

/** Judges what an answer made of a cell. */
function judge(witness: Witness, verdict: Verdict, judged: Judged): void {
  const { before, applied, sentAtMs, others } = judged;
  const { cell } = applied;
  const next = applied.numbers ?? before.numbers;
  const isNamed = verdict.kind === 'named' && verdict.leftOut.length === 0;
  count(witness, verdict, judged);
  if (isNamed) witness.newest = verdict.numbers;
  else if (applied.numbers !== null && verdict.kind === 'named') witness.newest = applied.numbers;
  // A number other than zero is never replaced by silence.
  if (verdict.kind !== 'named' && before.numbers !== null) expect(next).toEqual(before.numbers);
  if (verdict.kind === 'named' && before.numbers !== null && applied.numbers !== null) {
    for (const { column, hour } of verdict.leftOut) {
      const value = before.numbers[column];
      expect(hour === null ? value : (value as readonly number[])[hour]).toBe(0);
    }
  }
  // Zeros are never stored while a counterpart above zero is.
  if (verdict.kind === 'left_out' && next !== null && !hasAnyNumber(next) && others.some(isAboveZero)) {
    expect(applied.numbers).toBeNull();
    expect(cell.standing).toBe('in_doubt');
  }
  // Zeros that nobody named are final only after three silences, or once they are confirmed.
  if (cell.standing === 'final' && !cell.isReported) {
    expect(witness.silences >= 3 || witness.isConfirmed).toBe(true);
    expect(sentAtMs).toBeGreaterThanOrEqual(age(POLICY.finalAtHours));
  }
  // The cell has the newest named numbers.
  if (isNamed) expect(next).toEqual(verdict.numbers);
  if (witness.newest !== null) expect(next).toEqual(witness.newest);
  expect(cell.isStored).toBe(next !== null);
  expect(cell.revision - before.cell.revision).toBe(applied.numbers === null ? 0 : 1);
  expectReadAgain(cell, sentAtMs);
}

/** Counts the answers that have left out zeros. */
function count(witness: Witness, verdict: Verdict, { applied, others, sentAtMs }: Judged): void {
  if (verdict.kind === 'failed') return;
  if (verdict.kind === 'named' && verdict.leftOut.length === 0) {
    Object.assign(witness, { silences: 0, isConfirmed: false, lastMs: sentAtMs });
    return;
  }
  if (applied.cell.reason === 'contradicted' || !applied.cell.isStored) return;
  const isApart = witness.lastMs === null || sentAtMs - witness.lastMs >= HOUR_MS;
  if (isApart || witness.silences === 0) witness.silences += 1;
  witness.lastMs = sentAtMs;
  witness.isConfirmed ||= others.some(({ numbers }) => numbers !== null && !hasAnyNumber(numbers));
}

interface Judged {
  readonly before: State;
  readonly applied: Applied;
  readonly sentAtMs: number;
  readonly others: readonly State[];
}

function isAboveZero({ numbers }: State): boolean {
  return numbers !== null && hasAnyNumber(numbers);
}

/** Every cell is read again, until it is final and has no checkpoint ahead. */
function expectReadAgain(cell: Cell, sentAtMs: number): void {
  const checkpointMs = nextCheckpointMs(DAY, sentAtMs, POLICY);
  if (cell.nextReadAtMs === null) {
    expect([cell.standing, checkpointMs]).toEqual(['final', null]);
    return;
  }
  expect(cell.nextReadAtMs).toBeLessThanOrEqual(checkpointMs ?? sentAtMs + 24 * HOUR_MS);
}

function play(
  steps: readonly { stream: StreamName; later: number; verdict: Verdict }[],
): Map<StreamName, State> {
  const states = new Map<StreamName, State>(
    STREAMS.map((stream) => [stream, { cell: unread, numbers: null }]),
  );
  const witnesses = new Map(
    STREAMS.map((stream): [StreamName, Witness] => [
      stream,
      { silences: 0, lastMs: null, isConfirmed: false, newest: null },
    ]),
  );
  let at = 0;
  for (const { stream, later, verdict } of steps) {
    at += later;
    const before = states.get(stream) as State;
    const others = streamNamed(stream).counterparts.map((name) => {
      return { stream: name, ...(states.get(name as StreamName) as State) };
    }) satisfies Counterpart[];
    const given = { stream, ...before, verdict, hours: at };
    const applied = applyTo({ ...given, counterparts: others });
    const witness = witnesses.get(stream) as Witness;
    judge(witness, verdict, { before, applied, sentAtMs: age(at), others });
    states.set(stream, { cell: applied.cell, numbers: applied.numbers ?? before.numbers });
  }
  return states;
}

// Promise (Numbers): Whatever Losant answers in whatever order, no number is lost and no zero is invented; silence
// never replaces a number other than zero.
test('whatever comes in whatever order, no number is lost and no zero is invented', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 14 }), (steps) => {
      expect(play(steps).size).toBe(3);
    }),
    { numRuns: 2_000 },
  );
});
