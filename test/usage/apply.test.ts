/** The decision table: what an answer makes of a cell. Hours are those since the end of the day. */
import { describe, expect, test } from 'vitest';
import { isAcceptable } from '../../src/usage/apply.ts';
import type { Verdict } from '../../src/usage/cell.ts';
import type { Standing } from '../../src/usage/standing.ts';
import {
  age,
  applyTo,
  cell,
  devices,
  failed,
  hours,
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

const STREAMS = Object.keys(NUMBERS);
const FLOWS = STREAMS.filter((stream) => stream !== 'device_counts');
const numbersOf = (stream: string) => NUMBERS[stream] as (typeof NUMBERS)[string];
const GONE = { nextReadAtMs: null, reason: 'org_deleted', message: 'the organization was deleted' };

describe.each(STREAMS)('all numbers named, of %s', (stream) => {
  const { some, other, zero } = numbersOf(stream);
  const stored = cell('stored');

  test.each([
    ['an unread cell stores them', unread, null, some, 'loaded: stored, revision 1, next at 48, numbers'],
    ['zeros are numbers too', unread, null, zero, 'loaded: stored, revision 1, next at 48, zeros'],
    [
      'a missing one stores them',
      cell('missing', { attempts: 3 }),
      null,
      some,
      'loaded: stored, revision 1, next at 48, numbers',
    ],
    ['equal ones are verified', stored, some, some, 'unchanged: stored, revision 1, next at 48'],
    ['equal zeros are verified', stored, zero, zero, 'unchanged: stored, revision 1, next at 48'],
    ['others replace a number', stored, some, other, 'loaded: stored, revision 2, next at 48, numbers'],
    ['others replace zeros', stored, zero, some, 'loaded: stored, revision 2, next at 48, numbers'],
    ['named zeros replace a number', stored, some, zero, 'loaded: stored, revision 2, next at 48, zeros'],
    [
      'they end a doubt',
      cell('in_doubt', { attempts: 2 }),
      some,
      some,
      'unchanged: stored, revision 1, next at 48',
    ],
    [
      'they end a waiver of a missing number',
      cell('accepted', { isStored: false }),
      null,
      some,
      'loaded: stored, revision 1, next at 48, numbers',
    ],
    [
      'they end a waiver of a stored one',
      cell('accepted', { isStored: true }),
      some,
      some,
      'unchanged: stored, revision 1, next at 48',
    ],
    [
      'they name zeros that nobody had named',
      cell('stored', { isReported: false, silences: 2 }),
      zero,
      zero,
      'unchanged: stored, revision 1, next at 48',
    ],
    [
      'a final one that is equal stays final',
      cell('final'),
      some,
      some,
      'unchanged: final, revision 1, next at 48',
    ],
    [
      'a final one is restated and final again',
      cell('final'),
      some,
      other,
      'loaded: final, revision 2, next at 48, numbers',
    ],
    [
      'what came back from a deletion is read',
      cell('unavailable', { reason: 'org_deleted' }),
      null,
      some,
      'loaded: stored, revision 1, next at 48, numbers',
    ],
  ] as const)('%s', (_, before, numbers, next, expected) => {
    expect(show(applyTo({ stream, before, numbers, verdict: named(next), hours: 24 }))).toBe(expected);
  });

  test.each([
    ['past the horizon, nothing stored', unread, null, 91 * 24, 'loaded: final, revision 1, closed, numbers'],
    ['past the horizon, stored', cell('stored'), other, 91 * 24, 'unchanged: stored, revision 1, closed'],
    ['past the horizon, final', cell('final'), other, 91 * 24, 'unchanged: final, revision 1, closed'],
    [
      'past the horizon, in doubt',
      cell('in_doubt'),
      other,
      91 * 24,
      'unchanged: in_doubt given, revision 1, closed',
    ],
    [
      'past the horizon, unavailable',
      cell('unavailable', { reason: 'past_horizon' }),
      null,
      91 * 24,
      'loaded: final, revision 1, closed, numbers',
    ],
    [
      'past the horizon, accepted as stored',
      cell('accepted', { isStored: true }),
      other,
      91 * 24,
      'unchanged: accepted waived, revision 1, closed',
    ],
    [
      'of a deleted organization, stored',
      cell('unavailable', { ...GONE, isStored: true }),
      other,
      24,
      'unchanged: unavailable org_deleted, revision 1, closed',
    ],
    [
      'of a deleted organization, nothing stored',
      cell('unavailable', GONE),
      null,
      100,
      'loaded: final, revision 1, next at 168, numbers',
    ],
  ] as const)('%s', (_, before, numbers, at, expected) => {
    expect(show(applyTo({ stream, before, numbers, verdict: named(some), hours: at }))).toBe(expected);
  });

  test('the whole row of an accepted answer', () => {
    const before = cell('missing', { attempts: 3, attemptedAtMs: age(20), reason: 'server_error' });
    const {
      cell: after,
      numbers,
      problem,
    } = applyTo({ stream, before, numbers: null, verdict: named(some), hours: 72 });
    expect(after).toEqual({
      standing: 'final',
      isStored: true,
      isReported: true,
      silences: 0,
      revision: 1,
      verifiedAtMs: age(72),
      attemptedAtMs: age(72),
      attempts: 0,
      nextReadAtMs: age(168),
      wasFinal: true,
      reason: null,
      message: null,
      sha256: 'a'.repeat(64),
    });
    expect(numbers).toEqual(some);
    expect(problem).toBeNull();
  });
});

describe.each(FLOWS)('a day left out, of %s', (stream) => {
  const { some, zero } = numbersOf(stream);
  const silent = { isReported: false, silences: 1 };

  test.each([
    [
      'nothing stored: zeros that nobody named',
      unread,
      null,
      'loaded: stored, revision 1, silences 1, next at 48, zeros',
    ],
    [
      'missing: the same',
      cell('missing', { attempts: 2 }),
      null,
      'loaded: stored, revision 1, silences 1, next at 48, zeros',
    ],
    ['named zeros: verified', cell('stored'), zero, 'unchanged: stored, revision 1, next at 48'],
    [
      'zeros nobody named: one more silence',
      cell('stored', silent),
      zero,
      'unchanged: stored, revision 1, silences 2, next at 48',
    ],
    ['final zeros stay final', cell('final'), zero, 'unchanged: final, revision 1, next at 48'],
    [
      'a number stays, in doubt',
      cell('stored'),
      some,
      'failed: in_doubt left_out, revision 1, attempts 1, next at 26',
    ],
    [
      'a final number stays, in doubt',
      cell('final'),
      some,
      'failed: in_doubt left_out, revision 1, attempts 1, next at 26',
    ],
    [
      'an accepted number stays accepted',
      cell('accepted', { isStored: true }),
      some,
      'unchanged: accepted waived, revision 1, next at 48',
    ],
    [
      'an accepted zero stays accepted',
      cell('accepted', { isStored: true }),
      zero,
      'unchanged: accepted waived, revision 1, next at 48',
    ],
    [
      'an accepted gap stays accepted',
      cell('accepted', { isStored: false }),
      null,
      'unchanged: accepted waived, revision 0, next at 48',
    ],
  ] as const)('%s', (_, before, numbers, expected) => {
    expect(show(applyTo({ stream, before, numbers, verdict: silence, hours: 24 }))).toBe(expected);
  });

  test.each([
    ['nothing stored', unread, null, 'unavailable: waiting never_read, revision 0, closed'],
    ['a number', cell('stored'), some, 'unchanged: stored, revision 1, closed'],
    ['zeros', cell('final'), zero, 'unchanged: final, revision 1, closed'],
    [
      'an accepted gap',
      cell('accepted', { isStored: false }),
      null,
      'unchanged: accepted waived, revision 0, closed',
    ],
  ] as const)('past the horizon changes nothing: %s', (_, before, numbers, expected) => {
    expect(show(applyTo({ stream, before, numbers, verdict: silence, hours: 91 * 24 }))).toBe(expected);
  });

  test.each([72, 100, 720, 1_000])('never replaces a number at the age of %d hours', (at) => {
    const before = cell('final', { nextReadAtMs: age(at) });
    const applied = applyTo({ stream, before, numbers: some, verdict: silence, hours: at });
    expect(applied).toMatchObject({ result: 'failed', numbers: null, problem: { code: 'left_out' } });
    expect(applied.cell).toMatchObject({
      standing: 'in_doubt',
      wasFinal: true,
      verifiedAtMs: age(1),
      isReported: true,
    });
  });
});

describe('a level left out is no zero', () => {
  const { some, zero } = numbersOf('device_counts');

  test.each([
    ['nothing stored', unread, null, 24, 'left_out: waiting left_out, revision 0, next at 48'],
    [
      'nothing stored, after the last checkpoint',
      unread,
      null,
      720,
      'left_out: waiting left_out, revision 0, next at 744',
    ],
    [
      'missing',
      cell('missing', { attempts: 2 }),
      null,
      24,
      'left_out: waiting left_out, revision 0, next at 48',
    ],
    ['zeros', cell('stored'), zero, 24, 'failed: in_doubt left_out, revision 1, attempts 1, next at 26'],
    ['a number', cell('final'), some, 80, 'failed: in_doubt left_out, revision 1, attempts 1, next at 82'],
    [
      'accepted',
      cell('accepted', { isStored: false }),
      null,
      24,
      'unchanged: accepted waived, revision 0, next at 48',
    ],
    ['past the horizon', unread, null, 91 * 24, 'unavailable: waiting never_read, revision 0, closed'],
  ] as const)('%s', (_, before, numbers, at, expected) => {
    expect(show(applyTo({ stream: 'device_counts', before, numbers, verdict: silence, hours: at }))).toBe(
      expected,
    );
  });
});

describe('a column left out', () => {
  const noBillable = named(totals(0, 21, 900), 'payload_billable_count');
  const noAll = named(totals(17, 0, 900), 'payload_all_count');
  const noBytes = named(totals(17, 21, 0), 'payload_all_bytes');
  const all = named(totals(0, 0, 0), 'payload_all_count', 'payload_all_bytes');
  const silent = { isReported: false, silences: 1 };

  test.each([
    [
      'billable: a zero',
      unread,
      null,
      noBillable,
      'loaded: stored, revision 1, silences 1, next at 48, numbers',
    ],
    [
      'billable, zero before: the others are taken',
      cell('stored'),
      totals(0, 20, 900),
      noBillable,
      'loaded: stored, revision 2, next at 48, numbers',
    ],
    [
      'billable, zero before that nobody named',
      cell('stored', silent),
      totals(0, 21, 900),
      noBillable,
      'unchanged: stored, revision 1, silences 2, next at 48',
    ],
    [
      'billable, a number before: in doubt',
      cell('stored'),
      totals(17, 20, 900),
      noBillable,
      'failed: in_doubt left_out, revision 1, attempts 1, next at 26',
    ],
    [
      'all beside billable: contradicted, not stored',
      unread,
      null,
      noAll,
      'left_out: waiting contradicted, revision 0, next at 48',
    ],
    [
      'all beside billable, zero before: in doubt',
      cell('stored'),
      totals(0, 0, 900),
      noAll,
      'failed: in_doubt contradicted, revision 1, attempts 1, next at 26',
    ],
    [
      'bytes beside counts: contradicted',
      unread,
      null,
      noBytes,
      'left_out: waiting contradicted, revision 0, next at 48',
    ],
    [
      'all and bytes beside named zeros: zeros',
      unread,
      null,
      all,
      'loaded: stored, revision 1, silences 1, next at 48, zeros',
    ],
    [
      'accepted: stays',
      cell('accepted', { isStored: true }),
      totals(0, 20, 900),
      noBillable,
      'unchanged: accepted waived, revision 1, next at 48',
    ],
  ] as const)('%s', (_, before, numbers, verdict, expected) => {
    expect(show(applyTo({ stream: 'payload_totals', before, numbers, verdict, hours: 24 }))).toBe(expected);
  });

  test('past the horizon fills nothing', () => {
    const given = {
      stream: 'payload_totals',
      before: unread,
      numbers: null,
      verdict: noBillable,
      hours: 91 * 24,
    };
    expect(show(applyTo(given))).toBe('unavailable: waiting never_read, revision 0, closed');
  });

  test('of hours: a zero, unless the same hour of another column is above zero', () => {
    const quiet = [{ column: 'hours_all_count', hour: 6 }];
    const busy = [{ column: 'hours_all_count', hour: 5 }];
    const given = { stream: 'payload_hours', before: unread, numbers: null, hours: 24 };
    expect(show(applyTo({ ...given, verdict: named(hours(17, 21, 900), ...quiet) }))).toContain(
      'loaded: stored',
    );
    expect(show(applyTo({ ...given, verdict: named(hours(17, 0, 900), ...busy) }))).toContain(
      'waiting contradicted',
    );
  });

  test('the doubt names the numbers, and not more than six', () => {
    const parts = Array.from({ length: 8 }, (_, hour) => ({ column: 'hours_billable_count', hour }));
    const stored = { ...hours(0, 9, 9), hours_billable_count: Array.from({ length: 24 }, () => 1) };
    const verdict = named({ ...stored, hours_billable_count: Array.from({ length: 24 }, () => 0) }, ...parts);
    const before = cell('stored');
    const { problem } = applyTo({ stream: 'payload_hours', before, numbers: stored, verdict, hours: 24 });
    expect(problem?.message).toBe(
      'Losant left out hours_billable_count 00:00, hours_billable_count 01:00, hours_billable_count 02:00, hours_billable_count 03:00, hours_billable_count 04:00, hours_billable_count 05:00 and 2 more, for which a number other than zero is stored',
    );
  });
});

describe('hours of which only midnights came', () => {
  const doubt = { code: 'not_hourly', message: 'only midnights came' };
  const verdict: Verdict = { kind: 'named', numbers: hours(17, 21, 900), leftOut: [], doubt };

  test.each([
    [unread, null, 24, 'failed: in_doubt not_hourly, revision 1, next at 48, numbers'],
    [unread, null, 800, 'failed: in_doubt not_hourly, revision 1, next at 824, numbers'],
    [cell('stored'), hours(17, 21, 900), 24, 'failed: in_doubt not_hourly, revision 1, next at 48'],
  ] as const)('are stored in doubt', (before, numbers, at, expected) => {
    expect(show(applyTo({ stream: 'payload_hours', before, numbers, verdict, hours: at }))).toBe(expected);
  });
});

describe.each([failed, quarantined])('a read that $kind', (verdict) => {
  const { code } = verdict as { code: string };
  const next = verdict === failed ? 24 : 26;
  const { some } = numbersOf('device_counts');

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
    expect(show(applied)).toBe(
      `${verdict.kind}: ${expected}, revision ${revision}, attempts 1, next at ${next}`,
    );
    expect(applied.cell.verifiedAtMs).toBe(before.verifiedAtMs);
    expect(applied.problem).toEqual({ code, message: (verdict as { message: string }).message });
  });

  test('past the horizon changes nothing', () => {
    const stored = cell('stored');
    const given = { stream: 'device_counts', verdict, hours: 91 * 24 };
    expect(show(applyTo({ ...given, before: stored, numbers: some }))).toBe(
      'unchanged: stored, revision 1, closed',
    );
    expect(show(applyTo({ ...given, before: unread, numbers: null }))).toBe(
      'unavailable: waiting never_read, revision 0, closed',
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

  test.each([
    ['a final cell is not read after the last checkpoint', cell('final'), named(numbers), 720, null],
    ['nor an accepted one', cell('accepted', { isStored: true }), silence, 720, null],
    ['one that is left out is, once a day', cell('stored'), silence, 1_000, 1_002],
    ['one without a number is, once a day', unread, silence, 721, 722],
    ['until the horizon', unread, { ...refused }, 90 * 24 - 2, 90 * 24],
    ['a checkpoint comes before a later retry', cell('stored', { attempts: 4 }), failed, 40, 48],
    ['a retry comes before a later checkpoint', cell('stored', { attempts: 1 }), failed, 80, 84],
  ] as const)('%s', (_, before, verdict, at, next) => {
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

  test.each([
    ['one', [0], 'stored', 1, 801],
    ['two an hour apart', [0, 60], 'stored', 2, 802],
    ['two less than an hour apart', [0, 55], 'stored', 1, 801],
    ['three, of which two are close', [0, 60, 90], 'stored', 2, 802],
    ['three an hour apart', [0, 60, 120], 'final', 3, null],
    ['three days apart', [0, 1440, 2880], 'final', 3, null],
    ['four', [0, 60, 120, 180], 'final', 3, null],
  ] as const)('%s', (_, several, standing, silences, next) => {
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
