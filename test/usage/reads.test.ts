/** Reads that fail, the next read, and zeros that nobody named. Hours are those since the end of the day. */
import { describe, expect, test } from 'vitest';
import { isAcceptable } from '../../src/usage/apply.ts';
import type { Cell, Verdict } from '../../src/usage/cell.ts';
import type { Standing } from '../../src/usage/standing.ts';
import {
  age,
  applyTo,
  cell,
  devices,
  failed,
  minutes,
  NUMBERS,
  named,
  quarantined,
  refused,
  show,
  silence,
  totals,
  unread,
} from './cells.ts';

describe.each([failed, quarantined])('a read that $kind', (verdict) => {
  const { code } = verdict as { code: string };
  const next = verdict === failed ? 24 : 26;
  const { some } = NUMBERS['device_counts'] as (typeof NUMBERS)[string];

  test.each<[string, Standing, boolean, string]>([
    ['nothing stored is missing', 'waiting', false, `missing ${code}`],
    ['missing stays missing', 'missing', false, `missing ${code}`],
    ['a stored number stays', 'stored', true, `stored ${code}`],
    ['a final number stays final', 'final', true, `final ${code}`],
    ['a doubt stays, with its reason', 'in_doubt', true, 'in_doubt given'],
    ['accepted stays, with its reason', 'accepted', false, 'accepted waived'],
    ['what came back and cannot be read is missing', 'unavailable', false, `missing ${code}`],
    ['what came back and is stored is in doubt', 'unavailable', true, `in_doubt ${code}`],
  ])('%s', (_, standing, isStored, expected) => {
    const before = cell(standing, { isStored });
    const numbers = isStored ? some : null;
    const applied = applyTo({ stream: 'device_counts', before, numbers, verdict, hours: 24 });
    const revision = isStored ? 1 : 0;
    expect(show(applied)).toBe(`${verdict.kind}: ${expected}, r${revision}, a1, ${next} h`);
    expect(applied.cell.verifiedAtMs).toBe(before.verifiedAtMs);
    expect(applied.problem).toEqual({ code, message: (verdict as { message: string }).message });
  });

  test('past the horizon changes nothing', () => {
    const stored = cell('stored');
    const given = { stream: 'device_counts', verdict, hours: 91 * 24 };
    expect(show(applyTo({ ...given, before: stored, numbers: some }))).toBe('unchanged: stored, r1, closed');
    expect(show(applyTo({ ...given, before: unread, numbers: null }))).toBe(
      'unavailable: waiting never_read, r0, closed',
    );
  });
});

describe('the next read', () => {
  const stream = 'notebook_minutes';
  const numbers = minutes(17, 4);

  test.each([
    [0, 6],
    [5.99, 6],
    [6, 24],
    [30, 48],
    [72, 168],
    [300, 720],
  ])('after a good answer at %d hours is the checkpoint at %d', (at, next) => {
    const applied = applyTo({ stream, before: unread, numbers: null, verdict: named(numbers), hours: at });
    expect(applied.cell.nextReadAtMs).toBe(age(next));
  });

  test.each<[string, Cell, Verdict, number, number | null]>([
    ['a final cell is not read after the last checkpoint', cell('final'), named(numbers), 720, null],
    ['nor an accepted one', cell('accepted', { isStored: true }), silence, 720, null],
    ['one that is left out is, once a day', cell('stored'), silence, 1_000, 1_002],
    ['one without a number is, once a day', unread, silence, 721, 722],
    ['until the horizon', unread, { ...refused }, 90 * 24 - 2, 90 * 24],
    ['a checkpoint comes before a later retry', cell('stored', { attempts: 4 }), failed, 40, 48],
    ['a retry comes before a later checkpoint', cell('stored', { attempts: 1 }), failed, 80, 84],
  ])('%s', (_, ...[before, verdict, at, next]) => {
    const known = before.isStored ? numbers : null;
    const applied = applyTo({ stream, before, numbers: known, verdict, hours: at });
    expect(applied.cell.nextReadAtMs).toBe(next === null ? null : age(next));
  });

  test.each([
    [0, 'server_error', 0],
    [0, 'timeout', 0],
    [0, 'refused', 2],
    [1, 'server_error', 4],
    [2, 'server_error', 8],
    [3, 'server_error', 16],
    [4, 'server_error', 24],
    [99, 'server_error', 24],
  ])('after %d failures and a %s comes %d hours later', (attempts, code, hoursLater) => {
    const verdict: Verdict = { kind: 'failed', code, message: code };
    const applied = applyTo({
      stream,
      before: cell('missing', { attempts }),
      numbers: null,
      verdict,
      hours: 200,
    });
    expect(applied.cell).toMatchObject({ attempts: attempts + 1, nextReadAtMs: age(200 + hoursLater) });
  });

  test('a time that was set after the request was sent is kept', () => {
    const before = cell('stored', { nextReadAtMs: age(24) + 1_000 });
    for (const verdict of [named(numbers), silence, failed]) {
      const applied = applyTo({ stream, before, numbers, verdict, hours: 24 });
      expect(applied.cell.nextReadAtMs).toBeLessThanOrEqual(age(24) + 1_000);
    }
  });

  test('one that was set before it is done', () => {
    const before = cell('final', { nextReadAtMs: age(800) - 1 });
    const applied = applyTo({ stream, before, numbers, verdict: named(numbers), hours: 800 });
    expect(applied.cell.nextReadAtMs).toBeNull();
  });

  test('is at most a day away for what is neither final nor accepted, with whatever checkpoints', () => {
    const policy = { readAtHours: [6], finalAtHours: 6, horizonDays: 3 };
    const given = { stream: 'device_counts', before: unread, numbers: null, verdict: silence, policy };
    expect(applyTo({ ...given, hours: 7 }).cell.nextReadAtMs).toBe(age(31));
    expect(applyTo({ ...given, hours: 70 }).cell.nextReadAtMs).toBe(age(94));
    expect(applyTo({ ...given, hours: 96 }).cell.nextReadAtMs).toBeNull();
  });
});

describe('a zero that nobody named is final after three answers, an hour apart', () => {
  const NOTEBOOK = { stream: 'notebook_minutes', verdict: silence };
  const NO_BILLABLE = {
    stream: 'payload_totals',
    verdict: named(totals(0, 21, 900), 'payload_billable_count'),
  };
  const TOTALS = { stream: 'payload_totals', verdict: silence };
  const SOURCES = { stream: 'payload_sources', verdict: silence };

  /** Reads at these minutes of the age of 800 hours. */
  function readAt(given: { stream: string; verdict: Verdict }, several: readonly number[], base = 800) {
    let state = { before: unread, numbers: null as ReturnType<typeof minutes> | null };
    for (const minute of several) {
      const applied = applyTo({ ...given, ...state, hours: base + minute / 60 });
      state = { before: applied.cell, numbers: applied.numbers ?? state.numbers };
    }
    return state;
  }

  test.each<[string, number[], Standing, number, number | null]>([
    ['one', [0], 'stored', 1, 801],
    ['two an hour apart', [0, 60], 'stored', 2, 802],
    ['two less than an hour apart', [0, 55], 'stored', 1, 801],
    ['three, of which two are close', [0, 60, 90], 'stored', 2, 802],
    ['three an hour apart', [0, 60, 120], 'final', 3, null],
    ['three days apart', [0, 1440, 2880], 'final', 3, null],
    ['four', [0, 60, 120, 180], 'final', 3, null],
  ])('%s', (_, several, ...[standing, silences, next]) => {
    for (const given of [NOTEBOOK, NO_BILLABLE, TOTALS, SOURCES]) {
      const { before } = readAt(given, several);
      expect(before).toMatchObject({ standing, silences, isReported: false, revision: 1 });
      expect(before.nextReadAtMs).toBe(next === null ? null : age(next));
    }
  });

  test('silences before the final age count, and only the age decides then', () => {
    expect(readAt(NOTEBOOK, [0, 60, 120], 30).before).toMatchObject({
      standing: 'stored',
      silences: 3,
      nextReadAtMs: age(48),
    });
    expect(readAt(NOTEBOOK, [0, 60, 120, 2520], 30).before).toMatchObject({
      standing: 'final',
      nextReadAtMs: age(168),
    });
  });

  test('a number that is named meanwhile ends the count', () => {
    const before = cell('stored', { isReported: false, silences: 2 });
    const zeros = minutes(0, 0);
    const applied = applyTo({
      ...NOTEBOOK,
      before,
      numbers: zeros,
      verdict: named(minutes(1, 0)),
      hours: 80,
    });
    expect(applied.cell).toMatchObject({ standing: 'final', isReported: true, silences: 0 });
  });
});

test('no answer changes the cell or the numbers that it was given', () => {
  const before = Object.freeze(cell('stored'));
  const numbers = Object.freeze(devices(4, 1, 17));
  for (const verdict of [named(devices(5, 1, 18)), silence, failed, quarantined]) {
    expect(() => applyTo({ stream: 'device_counts', before, numbers, verdict, hours: 24 })).not.toThrow();
  }
});

test.each<[Standing, boolean, boolean]>([
  ['missing', true, true],
  ['in_doubt', true, true],
  ['unavailable', false, true],
  ['stored', false, true],
  ['stored', true, false],
  ['waiting', true, false],
  ['final', false, false],
  ['accepted', false, false],
])('what is %s and read again: %s, may be accepted by a person: %s', (standing, isReadAgain, may) => {
  expect(isAcceptable({ standing, isReadAgain })).toBe(may);
});
