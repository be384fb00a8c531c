/** Answers of one cell in any order: slices overtake each other, and a backfill runs beside the worker. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { Cell, CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { streamNamed } from '../../src/usage/streams/catalog.ts';
import { payloadSources } from '../../src/usage/streams/payload-sources.ts';
import type { Fact, Stream } from '../../src/usage/streams/stream.ts';
import { answer, at, closed, FINAL, failed, missing, quarantined, row, values } from '../database/answers.ts';

interface Loaded {
  readonly cell: Cell | null;
  readonly facts: readonly Fact[];
  /** Every version the cell had, as the record of revisions keeps them. */
  readonly versions: readonly { readonly revision: number; readonly facts: readonly Fact[] }[];
}

const nothing: Loaded = { cell: null, facts: [], versions: [] };

function load(answers: readonly CellAnswer[], before = nothing): Loaded {
  return answers.reduce<Loaded>((loaded, next) => {
    const { cell, facts } = apply(loaded.cell, loaded.facts, next);
    const versions =
      facts && cell ? [...loaded.versions, { revision: cell.revision, facts }] : loaded.versions;
    return { cell: cell ?? loaded.cell, facts: facts ?? loaded.facts, versions };
  }, before);
}

const sent = (hour: number, outcome: CellOutcome, changes: Partial<CellAnswer> = {}) =>
  answer(outcome, { sentAtMs: at('2026-11-22T00:00:00.000Z') + hour * 3_600_000, ...changes });

const five = values(row(5, 0, 5));
const six = values(row(6, 0, 6));
const zeros = values(row(0, 0, 0));

describe('two answers end in the same state and numbers whichever is loaded first', () => {
  const pairs: [string, CellAnswer, CellAnswer, Cell['standing'], Fact[]][] = [
    ['a number, then another', sent(1, five), sent(2, six), 'stored', [row(6, 0, 6)]],
    ['a number, then zero', sent(1, five), sent(2, zeros), 'stored', [row(0, 0, 0)]],
    ['a number, then a final one', sent(1, five), sent(2, six, { age: FINAL }), 'final', [row(6, 0, 6)]],
    ['a number, then a failure', sent(1, five), sent(2, failed), 'stored', [row(5, 0, 5)]],
    ['a failure, then a number', sent(1, failed), sent(2, five), 'stored', [row(5, 0, 5)]],
    ['a number, then a quarantined body', sent(1, five), sent(2, quarantined), 'stored', [row(5, 0, 5)]],
    ['a failure, then a quarantined body', sent(1, failed), sent(2, quarantined), 'missing', []],
    ['a number, then nothing for the day', sent(1, five), sent(2, missing), 'in_doubt', [row(5, 0, 5)]],
    ['nothing for the day, then a number', sent(1, missing), sent(2, five), 'stored', [row(5, 0, 5)]],
    ['nothing for the day, then a failure', sent(1, missing), sent(2, failed), 'missing', []],
    ['a failure, then nothing for the day', sent(1, failed), sent(2, missing), 'missing', []],
    ['nothing for the day, then given up', sent(1, missing), sent(2, closed), 'unavailable', []],
    ['given up, then nothing for the day', sent(1, closed), sent(2, missing), 'unavailable', []],
    ['given up, then a number', sent(1, closed), sent(2, five), 'stored', [row(5, 0, 5)]],
    ['a number, then given up', sent(1, five), sent(2, closed), 'stored', [row(5, 0, 5)]],
  ];

  test.each(pairs)('%s', (_, first, second, ...[standing, facts]) => {
    for (const loaded of [load([first, second]), load([second, first])]) {
      expect(loaded.cell?.standing).toBe(standing);
      expect(loaded.facts).toEqual(facts);
    }
  });

  const silent: [string, string, CellOutcome, Fact[]][] = [
    ['a level', 'device_counts', five, [row(5, 0, 5)]],
    ['events', 'notebook_minutes', values(row(0, 3, 0, 0, 0)), [row(0, 3, 0, 0, 0)]],
    [
      'a set of rows',
      'payload_sources',
      values({ key: ['timer', 'timer.flow'], values: [3] }),
      [{ key: ['timer', 'timer.flow'], values: [3] }],
    ],
  ];

  test.each(silent)(
    'a number of %s outlives a newer silence, which shows as a failed read',
    (_, stream, named, facts) => {
      const first = sent(1, named, { stream });
      const second = sent(2, missing, { stream, age: FINAL });
      for (const loaded of [load([first, second]), load([second, first])]) {
        expect(loaded.facts).toEqual(facts);
        expect(loaded.cell).toMatchObject({
          standing: 'in_doubt',
          isReported: true,
          verifiedAtMs: at('2026-11-22T01:00:00.000Z'),
          attemptedAtMs: at('2026-11-22T02:00:00.000Z'),
          attempts: 1,
          nextReadAtMs: at('2026-11-22T04:00:00.000Z'),
          reason: 'left_out',
        });
      }
    },
  );

  test('all three totals outlive a newer answer that lacks one of them', () => {
    const first = sent(1, values(row(17, 21, 900)), { stream: 'payload_totals' });
    const lacking = { kind: 'values', facts: [row(0, 22, 950)], missingColumns: ['billable_count'] } as const;
    const second = sent(2, lacking, { stream: 'payload_totals' });
    for (const loaded of [load([first, second]), load([second, first])]) {
      expect(loaded.facts).toEqual([row(17, 21, 900)]);
      expect(loaded.cell).toMatchObject({ standing: 'in_doubt', reason: 'left_out' });
    }
  });

  test('a newer answer that lacks a total stands when that total was zero', () => {
    const first = sent(1, values(row(0, 21, 900)), { stream: 'payload_totals' });
    const lacking = { kind: 'values', facts: [row(0, 22, 950)], missingColumns: ['billable_count'] } as const;
    const second = sent(2, lacking, { stream: 'payload_totals' });
    for (const loaded of [load([first, second]), load([second, first])]) {
      expect(loaded.facts).toEqual([row(0, 22, 950)]);
      expect(loaded.cell).toMatchObject({ standing: 'stored', reason: null });
    }
  });

  test('a quarantined body still stands when an older good answer comes late', () => {
    const loaded = load([sent(2, quarantined), sent(1, five)]);
    expect(loaded.cell).toMatchObject({ standing: 'stored', attempts: 1, reason: 'invalid_value' });
  });
});

/** What a read of a day may come to. */
const SAYS: Record<string, (stream: Stream) => CellOutcome> = {
  zeros: (stream) => values(...rowsOf(stream, [0])),
  one: (stream) => values(...rowsOf(stream, [1])),
  two: (stream) => values(...rowsOf(stream, [2, 1])),
  silence: () => missing,
  failure: () => failed,
  nonsense: () => quarantined,
};

function rowsOf(stream: Stream, numbers: readonly number[]): Fact[] {
  if (stream !== payloadSources) return [row(...stream.columns.map(() => numbers[0] as number))];
  return numbers.map((number, index) => ({ key: ['timer', `source.${index}`], values: [number] }));
}

describe('answers from a mixed-up history of one cell', () => {
  // Silence and named zeros do not mix: when silence has confirmed a zero, the ledger
  // no longer knows since when it was named, and a number sent in between comes too late.
  const says = fc.constantFrom('zeros', 'silence').chain((nothing) => {
    const something = fc.constantFrom(nothing, 'one', 'two', 'failure', 'nonsense');
    return fc.array(something, { minLength: 1, maxLength: 6 });
  });
  const history = fc.record({
    stream: fc.constantFrom('device_counts', 'notebook_minutes', 'payload_sources'),
    says,
  });
  /** Hours in the order of loading; each answer is loaded twice. */
  const shuffled = history.chain(({ stream, says: told }) => {
    const hours = [...told.keys(), ...told.keys()];
    const order = fc.shuffledSubarray(hours, { minLength: hours.length });
    return fc.record({ stream: fc.constant(stream), says: fc.constant(told), order });
  });

  function answersOf({ stream: name, says, order }: { stream: string; says: string[]; order: number[] }) {
    const stream = streamNamed(name);
    const answers = says.map((what, hour) => sent(hour, SAYS[what]?.(stream) ?? missing, { stream: name }));
    return { answers, loaded: order.map((hour) => answers[hour] as CellAnswer) };
  }

  /** What was named last, or zeros for silence about events, or nothing. */
  function expected(answers: readonly CellAnswer[]): readonly Fact[] {
    const named = answers.map(({ outcome }) => outcome).findLast((outcome) => outcome.kind === 'values');
    if (named) return named.facts;
    const isSilent = answers.some(({ outcome }) => outcome.kind === 'missing');
    return isSilent && answers[0]?.stream === 'notebook_minutes' ? [row(0, 0, 0, 0, 0)] : [];
  }

  test('end in the newest number Losant named, in whatever order and however often they are loaded', () => {
    fc.assert(
      fc.property(shuffled, (mixed) => {
        const { answers, loaded } = answersOf(mixed);
        expect(load(answers).facts).toEqual(expected(answers));
        expect(load(loaded).facts).toEqual(expected(answers));
      }),
      { numRuns: 2000 },
    );
  });

  test('leave a chain of revisions without a gap, each different from the one before', () => {
    fc.assert(
      fc.property(shuffled, (mixed) => {
        const { loaded } = answersOf(mixed);
        const { versions, cell, facts } = load(loaded);
        expect(versions.map(({ revision }) => revision)).toEqual(versions.map((_, index) => index + 1));
        for (const [index, version] of versions.entries()) {
          if (index > 0) expect(version.facts).not.toEqual(versions[index - 1]?.facts);
        }
        expect(versions.at(-1)?.facts ?? []).toEqual(facts);
        expect(cell?.revision).toBe(versions.length);
      }),
      { numRuns: 1000 },
    );
  });

  test('never lose a number to a read that failed or was silent', () => {
    fc.assert(
      fc.property(shuffled, (mixed) => {
        const { answers, loaded } = answersOf(mixed);
        const isNamed = answers.some(({ outcome }) => outcome.kind === 'values');
        const { cell } = load(loaded);
        if (isNamed) expect(['stored', 'in_doubt', 'final']).toContain(cell?.standing);
      }),
      { numRuns: 1000 },
    );
  });

  test('change nothing when they are all loaded again', () => {
    fc.assert(
      fc.property(shuffled, (mixed) => {
        const { loaded } = answersOf(mixed);
        const once = load(loaded);
        const twice = load(loaded, once);
        expect(twice.facts).toEqual(once.facts);
        expect(twice.cell?.revision).toBe(once.cell?.revision);
      }),
      { numRuns: 1000 },
    );
  });
});
