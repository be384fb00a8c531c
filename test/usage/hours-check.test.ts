/** The hours of a day beside its totals. */
import { describe, expect, test } from 'vitest';
import type { Cell } from '../../src/usage/cell.ts';
import { type ComparedAfter, type CountedCell, compareHours } from '../../src/usage/cross-check.ts';
import { HOURS } from '../../src/usage/streams/payload-hours.ts';
import { at, FINAL, PAST, row, stored, YOUNG } from '../database/answers.ts';

const EARLY = at('2026-11-21T12:00:00.000Z');
const LATE = at('2026-11-22T12:00:00.000Z');
const SOON = '2026-11-22T13:00:00.000Z';
const after = { sentAtMs: LATE, age: YOUNG };

const read = (ms: number, changes: Partial<Cell> = {}): Partial<Cell> => ({ verifiedAtMs: ms, ...changes });
const totals = (changes: Partial<Cell>, ...values: readonly number[]): CountedCell => ({
  cell: stored(changes.standing ?? 'stored', changes),
  numbers: [row(...values)],
});
/** A day whose numbers are all in one hour. */
const hours = (changes: Partial<Cell>, ...values: readonly number[]): CountedCell => ({
  cell: stored(changes.standing ?? 'stored', changes),
  numbers: HOURS.map((hour) => ({ key: [hour], values: hour === '05:00' ? values : [0, 0, 0] })),
});
const iso = (ms: number | null | undefined) => (ms == null ? null : new Date(ms).toISOString());

describe('hours that do not add up to the total put the one that was read later in doubt', () => {
  const message =
    'the hours do not add up to the total of the day: billable_count 17 by payload_hours, 18 by payload_totals; all_bytes 900 by payload_hours, 901 by payload_totals';

  test('the hours', () => {
    const effects = compareHours(totals(read(EARLY), 18, 21, 901), hours(read(LATE), 17, 21, 900), after);
    expect(effects.hours).toMatchObject({
      ...{ standing: 'in_doubt', reason: 'contradicted', message, attempts: 0 },
    });
    expect(iso(effects.hours?.nextReadAtMs)).toBe(SOON);
    expect(effects.totals).toMatchObject({ standing: 'stored', reason: null });
    expect(iso(effects.totals?.nextReadAtMs)).toBe(SOON);
  });

  test('the totals', () => {
    const effects = compareHours(totals(read(LATE), 18, 21, 901), hours(read(EARLY), 17, 21, 900), after);
    expect(effects.totals).toMatchObject({ standing: 'in_doubt', reason: 'contradicted', message });
    expect(effects.hours).toMatchObject({ standing: 'stored', reason: null });
  });

  test('and ends the doubt of the other one', () => {
    const doubted = read(EARLY, { standing: 'in_doubt', reason: 'contradicted', message: 'earlier' });
    const effects = compareHours(totals(read(LATE), 18, 21, 900), hours(doubted, 17, 21, 900), after);
    expect(effects.totals).toMatchObject({ standing: 'in_doubt' });
    expect(effects.hours).toMatchObject({ standing: 'stored', reason: null, message: null });
  });

  test('a final one stays on record as such and is read again a day later', () => {
    const effects = compareHours(
      totals(read(EARLY, { standing: 'final' }), 18, 21, 900),
      hours(read(LATE, { standing: 'final' }), 17, 21, 900),
      { sentAtMs: LATE, age: FINAL },
    );
    expect(effects.hours).toMatchObject({ standing: 'in_doubt', wasFinal: true });
    expect(effects.totals).toMatchObject({ standing: 'final' });
    expect(iso(effects.totals?.nextReadAtMs)).toBe('2026-11-23T12:00:00.000Z');
  });
});

test.each<[string, Partial<Cell>, Partial<Cell>, 'totals' | 'hours']>([
  [
    'hours that Losant left out in part',
    read(LATE),
    read(EARLY, { isReported: false, omissions: 1 }),
    'hours',
  ],
  [
    'totals that Losant left out in part',
    read(EARLY, { isReported: false, omissions: 1 }),
    read(LATE),
    'totals',
  ],
])('zeros that nobody named are in doubt rather than what was named: %s', (_, ofTotals, ofHours, suspect) => {
  const effects = compareHours(totals(ofTotals, 0, 21, 900), hours(ofHours, 17, 21, 900), after);
  const other = suspect === 'totals' ? 'hours' : 'totals';
  expect(effects[suspect]?.standing).toBe('in_doubt');
  expect(effects[other]?.standing).toBe('stored');
});

describe('hours that add up to the total', () => {
  const compare = (ofTotals: Partial<Cell>, ofHours: Partial<Cell>, age = YOUNG) =>
    compareHours(totals(ofTotals, 17, 21, 900), hours(ofHours, 17, 21, 900), { sentAtMs: LATE, age });

  test('change nothing of cells that are all right', () => {
    expect(compare(read(EARLY), read(LATE))).toEqual({ totals: null, hours: null });
  });

  test('confirm hours that were left out at once, final at the final age', () => {
    const lacking = read(LATE, { isReported: false, omissions: 1 });
    expect(compare(read(EARLY), lacking, FINAL).hours).toMatchObject({
      standing: 'final',
      isReported: false,
      omissions: 3,
    });
  });

  test('end a doubt about either', () => {
    const doubted = read(EARLY, { standing: 'in_doubt', reason: 'contradicted', message: 'earlier' });
    expect(compare(doubted, read(LATE)).totals).toMatchObject({ standing: 'stored', reason: null });
    expect(compare(read(LATE), doubted).hours).toMatchObject({ standing: 'stored', reason: null });
  });

  test.each<[string, Partial<Cell>]>([
    ['that was left out since', { standing: 'in_doubt', reason: 'left_out', attempts: 1 }],
    ['whose other numbers contradict it', { standing: 'in_doubt', reason: 'contradicted', attempts: 1 }],
    ['that was changed by hand', { standing: 'in_doubt', reason: 'changed_by_hand' }],
    ['that a person accepted', { standing: 'accepted', isStored: true, reason: 'waived' }],
  ])('leave a cell as it is %s', (_, changes) => {
    expect(compare(read(LATE), read(EARLY, changes)).hours).toBeNull();
  });
});

test.each<[string, Partial<Cell>, Partial<Cell>, ComparedAfter]>([
  ['past the horizon', {}, {}, { sentAtMs: LATE, age: PAST }],
  ['while the hours are not stored', {}, { isStored: false, standing: 'missing' }, after],
  ['while the totals are not stored', { isStored: false, standing: 'missing' }, {}, after],
  ['while the hours are due', {}, { nextReadAtMs: LATE }, after],
  ['while the totals are due', { nextReadAtMs: EARLY }, {}, after],
])('nothing is compared %s', (_, ofTotals, ofHours, when) => {
  const effects = compareHours(
    totals(read(EARLY, ofTotals), 18, 21, 900),
    hours(read(LATE, ofHours), 17, 21, 900),
    when,
  );
  expect(effects).toEqual({ totals: null, hours: null });
});
