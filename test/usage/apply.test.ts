/** The decision table: what an answer makes of a cell. Hours are those since the end of the day. */
import { describe, expect, test } from 'vitest';
import type { Cell, Verdict } from '../../src/usage/cell.ts';
import type { Numbers } from '../../src/usage/numbers.ts';
import { age, applyTo, cell, hours, NUMBERS, named, show, silence, totals, unread } from './cells.ts';

const STREAMS = Object.keys(NUMBERS);
const FLOWS = STREAMS.filter((stream) => stream !== 'device_counts');
const numbersOf = (stream: string) => NUMBERS[stream] as (typeof NUMBERS)[string];
const GONE = { nextReadAtMs: null, reason: 'org_deleted', message: 'the organization was deleted' };

describe.each(STREAMS)('all numbers named, of %s', (stream) => {
  const { some, other, zero } = numbersOf(stream);
  const stored = cell('stored');

  test.each<[string, Cell, Numbers | null, Numbers, string]>([
    ['an unread cell stores them', unread, null, some, 'loaded: stored, r1, 48 h, numbers'],
    ['zeros are numbers too', unread, null, zero, 'loaded: stored, r1, 48 h, zeros'],
    [
      'a missing one stores them',
      cell('missing', { attempts: 3 }),
      null,
      some,
      'loaded: stored, r1, 48 h, numbers',
    ],
    ['equal ones are verified', stored, some, some, 'unchanged: stored, r1, 48 h'],
    ['equal zeros are verified', stored, zero, zero, 'unchanged: stored, r1, 48 h'],
    ['others replace a number', stored, some, other, 'loaded: stored, r2, 48 h, numbers'],
    ['others replace zeros', stored, zero, some, 'loaded: stored, r2, 48 h, numbers'],
    ['named zeros replace a number', stored, some, zero, 'loaded: stored, r2, 48 h, zeros'],
    ['they end a doubt', cell('in_doubt', { attempts: 2 }), some, some, 'unchanged: stored, r1, 48 h'],
    [
      'they end a waiver of a missing number',
      cell('accepted', { isStored: false }),
      null,
      some,
      'loaded: stored, r1, 48 h, numbers',
    ],
    [
      'they end a waiver of a stored one',
      cell('accepted', { isStored: true }),
      some,
      some,
      'unchanged: stored, r1, 48 h',
    ],
    [
      'they name zeros that nobody had named',
      cell('stored', { isReported: false, silences: 2 }),
      zero,
      zero,
      'unchanged: stored, r1, 48 h',
    ],
    ['a final one that is equal stays final', cell('final'), some, some, 'unchanged: final, r1, 48 h'],
    [
      'a final one is restated and final again',
      cell('final'),
      some,
      other,
      'loaded: final, r2, 48 h, numbers',
    ],
    [
      'what came back from a deletion is read',
      cell('unavailable', { reason: 'org_deleted' }),
      null,
      some,
      'loaded: stored, r1, 48 h, numbers',
    ],
  ])('%s', (_, ...[before, numbers, next, expected]) => {
    expect(show(applyTo({ stream, before, numbers, verdict: named(next), hours: 24 }))).toBe(expected);
  });

  test.each<[string, Cell, Numbers | null, number, string]>([
    ['past the horizon, nothing stored', unread, null, 91 * 24, 'loaded: final, r1, closed, numbers'],
    ['past the horizon, stored', cell('stored'), other, 91 * 24, 'unchanged: stored, r1, closed'],
    ['past the horizon, final', cell('final'), other, 91 * 24, 'unchanged: final, r1, closed'],
    ['past the horizon, in doubt', cell('in_doubt'), other, 91 * 24, 'unchanged: in_doubt given, r1, closed'],
    [
      'past the horizon, unavailable',
      cell('unavailable', { reason: 'past_horizon' }),
      null,
      91 * 24,
      'loaded: final, r1, closed, numbers',
    ],
    [
      'past the horizon, accepted as stored',
      cell('accepted', { isStored: true }),
      other,
      91 * 24,
      'unchanged: accepted waived, r1, closed',
    ],
    [
      'of a deleted organization, stored',
      cell('unavailable', { ...GONE, isStored: true }),
      other,
      24,
      'unchanged: unavailable org_deleted, r1, closed',
    ],
    [
      'of a deleted organization, nothing stored',
      cell('unavailable', GONE),
      null,
      100,
      'loaded: final, r1, 168 h, numbers',
    ],
  ])('%s', (_, ...[before, numbers, at, expected]) => {
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
    ['nothing stored: zeros that nobody named', unread, null, 'loaded: stored, r1, s1, 48 h, zeros'],
    ['missing: the same', cell('missing', { attempts: 2 }), null, 'loaded: stored, r1, s1, 48 h, zeros'],
    ['named zeros: verified', cell('stored'), zero, 'unchanged: stored, r1, 48 h'],
    ['zeros nobody named: one more silence', cell('stored', silent), zero, 'unchanged: stored, r1, s2, 48 h'],
    ['final zeros stay final', cell('final'), zero, 'unchanged: final, r1, 48 h'],
    ['a number stays, in doubt', cell('stored'), some, 'failed: in_doubt left_out, r1, a1, 26 h'],
    ['a final number stays, in doubt', cell('final'), some, 'failed: in_doubt left_out, r1, a1, 26 h'],
    [
      'an accepted number stays accepted',
      cell('accepted', { isStored: true }),
      some,
      'unchanged: accepted waived, r1, 48 h',
    ],
    [
      'an accepted zero stays accepted',
      cell('accepted', { isStored: true }),
      zero,
      'unchanged: accepted waived, r1, 48 h',
    ],
    [
      'an accepted gap stays accepted',
      cell('accepted', { isStored: false }),
      null,
      'unchanged: accepted waived, r0, 48 h',
    ],
  ] as const)('%s', (_, before, numbers, expected) => {
    expect(show(applyTo({ stream, before, numbers, verdict: silence, hours: 24 }))).toBe(expected);
  });

  test.each([
    ['nothing stored', unread, null, 'unavailable: waiting never_read, r0, closed'],
    ['a number', cell('stored'), some, 'unchanged: stored, r1, closed'],
    ['zeros', cell('final'), zero, 'unchanged: final, r1, closed'],
    [
      'an accepted gap',
      cell('accepted', { isStored: false }),
      null,
      'unchanged: accepted waived, r0, closed',
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

  test.each<[string, Cell, Numbers | null, number, string]>([
    ['nothing stored', unread, null, 24, 'left_out: waiting left_out, r0, 48 h'],
    ['nothing stored, after the last checkpoint', unread, null, 720, 'left_out: waiting left_out, r0, 744 h'],
    ['missing', cell('missing', { attempts: 2 }), null, 24, 'left_out: waiting left_out, r0, 48 h'],
    ['zeros', cell('stored'), zero, 24, 'failed: in_doubt left_out, r1, a1, 26 h'],
    ['a number', cell('final'), some, 80, 'failed: in_doubt left_out, r1, a1, 82 h'],
    ['accepted', cell('accepted', { isStored: false }), null, 24, 'unchanged: accepted waived, r0, 48 h'],
    ['past the horizon', unread, null, 91 * 24, 'unavailable: waiting never_read, r0, closed'],
  ])('%s', (_, ...[before, numbers, at, expected]) => {
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

  test.each<[string, Cell, Numbers | null, Verdict, string]>([
    ['billable: a zero', unread, null, noBillable, 'loaded: stored, r1, s1, 48 h, numbers'],
    [
      'billable, zero before: the others are taken',
      cell('stored'),
      totals(0, 20, 900),
      noBillable,
      'loaded: stored, r2, 48 h, numbers',
    ],
    [
      'billable, zero before that nobody named',
      cell('stored', silent),
      totals(0, 21, 900),
      noBillable,
      'unchanged: stored, r1, s2, 48 h',
    ],
    [
      'billable, a number before: in doubt',
      cell('stored'),
      totals(17, 20, 900),
      noBillable,
      'failed: in_doubt left_out, r1, a1, 26 h',
    ],
    [
      'all beside billable: contradicted, not stored',
      unread,
      null,
      noAll,
      'left_out: waiting contradicted, r0, 48 h',
    ],
    [
      'all beside billable, zero before: in doubt',
      cell('stored'),
      totals(0, 0, 900),
      noAll,
      'failed: in_doubt contradicted, r1, a1, 26 h',
    ],
    ['bytes beside counts: contradicted', unread, null, noBytes, 'left_out: waiting contradicted, r0, 48 h'],
    ['all and bytes beside named zeros: zeros', unread, null, all, 'loaded: stored, r1, s1, 48 h, zeros'],
    [
      'accepted: stays',
      cell('accepted', { isStored: true }),
      totals(0, 20, 900),
      noBillable,
      'unchanged: accepted waived, r1, 48 h',
    ],
  ])('%s', (_, ...[before, numbers, verdict, expected]) => {
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
    expect(show(applyTo(given))).toBe('unavailable: waiting never_read, r0, closed');
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
    const names = Array.from({ length: 6 }, (_, hour) => `hours_billable_count 0${hour}:00`).join(', ');
    expect(problem?.message).toBe(
      `Losant left out ${names} and 2 more, for which a number other than zero is stored`,
    );
  });
});

describe('hours of which only midnights came', () => {
  const doubt = { code: 'not_hourly', message: 'only midnights came' };
  const verdict: Verdict = { kind: 'named', numbers: hours(17, 21, 900), leftOut: [], doubt };

  test.each([
    [unread, null, 24, 'failed: in_doubt not_hourly, r1, 48 h, numbers'],
    [unread, null, 800, 'failed: in_doubt not_hourly, r1, 824 h, numbers'],
    [cell('stored'), hours(17, 21, 900), 24, 'failed: in_doubt not_hourly, r1, 48 h'],
  ] as const)('are stored in doubt', (before, numbers, at, expected) => {
    expect(show(applyTo({ stream: 'payload_hours', before, numbers, verdict, hours: at }))).toBe(expected);
  });
});
