/**
 * The decision table: what an answer makes of a cell. A line has the cell, the answer and the hours since the end of
 * the day at which it was asked for, and what becomes of the cell, with its next read in the same hours.
 */
import { describe, expect, test } from 'vitest';
import type { Verdict } from '../../src/usage/cell.ts';
import { addDays } from '../../src/usage/day.ts';
import type { Standing } from '../../src/usage/standing.ts';
import { payloadHours } from '../../src/usage/streams/payload-hours.ts';
import {
  age,
  applyTo,
  cell,
  DAY,
  decide,
  devices,
  failed,
  hours,
  lines,
  NUMBERS,
  named,
  quarantined,
  read,
  type State,
  show,
  silence,
  totals,
  unread,
} from './cells.ts';

const STREAMS = Object.keys(NUMBERS);
const FLOWS = STREAMS.filter((stream) => stream !== 'device_counts');

/** Expects of each line what it says at its end. */
function decides(stream: string, table: string): void {
  test.each(lines(table))('%s', (line) => {
    expect(decide(stream, line)).toBe(read(stream, line).expected);
  });
}

describe.each(STREAMS)('all numbers named, of %s', (stream) => {
  decides(
    stream,
    `
    waiting                              | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    waiting                              | zero  | 24 h   | loaded: stored, r1, 48 h, zeros
    missing a3                           | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    stored some                          | some  | 24 h   | unchanged: stored, r1, 48 h
    stored zero                          | zero  | 24 h   | unchanged: stored, r1, 48 h
    stored zero s2                       | zero  | 24 h   | unchanged: stored, r1, 48 h
    stored some                          | other | 24 h   | loaded: stored, r2, 48 h, numbers
    stored zero                          | some  | 24 h   | loaded: stored, r2, 48 h, numbers
    stored some                          | zero  | 24 h   | loaded: stored, r2, 48 h, zeros
    in_doubt some a2                     | some  | 24 h   | unchanged: stored, r1, 48 h
    accepted                             | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    accepted some                        | some  | 24 h   | unchanged: stored, r1, 48 h
    final some                           | some  | 24 h   | unchanged: final, r1, 48 h
    final some                           | other | 24 h   | loaded: final, r2, 48 h, numbers
    unavailable org_deleted              | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    unavailable org_deleted closed some  | other | 24 h   | unchanged: unavailable org_deleted, r1, closed
    unavailable org_deleted closed       | some  | 100 h  | loaded: final, r1, 168 h, numbers
    waiting                              | some  | 2184 h | loaded: final, r1, closed, numbers
    stored some                          | other | 2184 h | unchanged: stored, r1, closed
    final some                           | other | 2184 h | unchanged: final, r1, closed
    in_doubt some                        | other | 2184 h | unchanged: in_doubt given, r1, closed
    unavailable past_horizon             | some  | 2184 h | loaded: final, r1, closed, numbers
    accepted some                        | other | 2184 h | unchanged: accepted waived, r1, closed`,
  );

  test('the whole row of an accepted answer', () => {
    const { some = {} } = NUMBERS[stream] ?? {};
    const before = cell('missing', { failedReads: 3, lastAttemptAtMs: age(20), reason: 'server_error' });
    const applied = applyTo({ stream, cell: before, numbers: null, verdict: named(some), hours: 72 });
    expect(applied).toMatchObject({ numbers: some, problem: null });
    expect(applied.cell).toEqual({
      standing: 'final',
      isStored: true,
      isReported: true,
      omissions: 0,
      revision: 1,
      lastReadAtMs: age(72),
      lastAttemptAtMs: age(72),
      attempts: 0,
      nextReadAtMs: age(168),
      wasFinal: true,
      reason: null,
      message: null,
      sha256: 'a'.repeat(64),
    });
  });
});

describe.each(FLOWS)('a day left out, of %s', (stream) => {
  decides(
    stream,
    `
    waiting        | silence | 24 h   | loaded: stored, r1, s1, 48 h, zeros
    missing a2     | silence | 24 h   | loaded: stored, r1, s1, 48 h, zeros
    stored zero    | silence | 24 h   | unchanged: stored, r1, 48 h
    stored zero s1 | silence | 24 h   | unchanged: stored, r1, s2, 48 h
    final zero     | silence | 24 h   | unchanged: final, r1, 48 h
    stored some    | silence | 24 h   | failed: in_doubt omitted, r1, a1, 26 h
    final some     | silence | 24 h   | failed: in_doubt omitted, r1, a1, 26 h
    accepted some  | silence | 24 h   | unchanged: accepted waived, r1, 48 h
    accepted zero  | silence | 24 h   | unchanged: accepted waived, r1, 48 h
    accepted       | silence | 24 h   | unchanged: accepted waived, r0, 48 h
    final some     | silence | 1000 h | failed: in_doubt omitted, r1, a1, 1002 h
    waiting        | silence | 2184 h | unavailable: waiting never_read, r0, closed
    stored some    | silence | 2184 h | unchanged: stored, r1, closed
    final zero     | silence | 2184 h | unchanged: final, r1, closed
    accepted       | silence | 2184 h | unchanged: accepted waived, r0, closed`,
  );
});

describe('a level left out is no zero', () => {
  decides(
    'device_counts',
    `
    waiting     | silence | 24 h   | omitted: waiting omitted, r0, 48 h
    waiting     | silence | 720 h  | omitted: waiting omitted, r0, 744 h
    missing a2  | silence | 24 h   | omitted: waiting omitted, r0, 48 h
    stored zero | silence | 24 h   | failed: in_doubt omitted, r1, a1, 26 h
    final some  | silence | 80 h   | failed: in_doubt omitted, r1, a1, 82 h
    accepted    | silence | 24 h   | unchanged: accepted waived, r0, 48 h
    waiting     | silence | 2184 h | unavailable: waiting never_read, r0, closed`,
  );
});

describe('a column left out: of billable payloads, all of them, and bytes', () => {
  decides(
    'payload_totals',
    `
    waiting             | -/21/900  | 24 h   | loaded: stored, r1, s1, 48 h, numbers
    stored 0/20/900     | -/21/900  | 24 h   | loaded: stored, r2, 48 h, numbers
    stored 0/21/900 s1  | -/21/900  | 24 h   | unchanged: stored, r1, s2, 48 h
    stored 17/20/900    | -/21/900  | 24 h   | failed: in_doubt omitted, r1, a1, 26 h
    accepted 0/20/900   | -/21/900  | 24 h   | unchanged: accepted waived, r1, 48 h
    waiting             | -/21/900  | 2184 h | unavailable: waiting never_read, r0, closed
    waiting             | 17/-/900  | 24 h   | omitted: waiting contradicted, r0, 48 h
    stored 0/0/900      | 17/-/900  | 24 h   | failed: in_doubt contradicted, r1, a1, 26 h
    waiting             | 17/21/-   | 24 h   | omitted: waiting contradicted, r0, 48 h
    waiting             | 0/-/-     | 24 h   | loaded: stored, r1, s1, 48 h, zeros
    waiting             | -/0/0     | 24 h   | loaded: stored, r1, s1, 48 h, zeros`,
  );

  test('of hours: a zero, unless the same hour of another column is above zero', () => {
    const given = { stream: 'payload_hours', cell: unread, numbers: null, hours: 24 };
    const quiet = named(hours(17, 21, 900), { column: 'hours_all_count', hour: 6 });
    expect(applyTo({ ...given, verdict: quiet }).cell.standing).toBe('stored');
    const busy = named(hours(17, 0, 900), { column: 'hours_all_count', hour: 5 });
    expect(applyTo({ ...given, verdict: busy }).cell.reason).toBe('contradicted');
  });

  test('the doubt names the columns', () => {
    const parts = [0, 5, 7].map((hour) => ({ column: 'hours_billable_count', hour }));
    const verdict = named(hours(0, 21, 900), ...parts);
    const given = { stream: 'payload_hours', cell: cell('stored'), numbers: hours(17, 21, 900), hours: 24 };
    expect(applyTo({ ...given, verdict }).problem?.detail).toBe(
      'Losant omitted hours_billable_count, but a nonzero number is stored',
    );
  });
});

test('hours of which only midnights came are stored in doubt', () => {
  const counts = [DAY, addDays(DAY, 1)].map((day) => ({ date: `${day}T00:00:00.000Z`, value: 9 }));
  const bodies = Array.from({ length: 3 }, () => ({ counts }));
  const verdict = payloadHours.readBodies(bodies, { from: DAY, to: addDays(DAY, 1) }).days.get(DAY);
  const given = { stream: 'payload_hours', cell: unread, numbers: null, verdict: verdict as Verdict };
  expect(show(applyTo({ ...given, hours: 24 }))).toBe('failed: in_doubt not_hourly, r1, s0, 48 h, numbers');
  expect(show(applyTo({ ...given, hours: 800 }))).toBe('failed: in_doubt not_hourly, r1, s0, 824 h, numbers');
});

/** A stream, and another one that counts its payloads. */
const PAIRS = [
  ['payload_sources', 'payload_totals'],
  ['payload_sources', 'payload_hours'],
  ['payload_totals', 'payload_sources'],
  ['payload_totals', 'payload_hours'],
  ['payload_hours', 'payload_sources'],
  ['payload_hours', 'payload_totals'],
] as const;

// Guarantee (Numbers): Omitted numbers are not stored as zeros if another stream counts payloads on the same day.
test.each(PAIRS)(
  '%s left out beside %s above zero are contradicted, beside named zeros sure',
  (stream, other) => {
    const table = lines(`
    waiting        | silence beside ${other} stored some | 100 h | omitted: waiting contradicted, r0, 168 h
    stored zero s1 | silence beside ${other} stored some | 100 h | failed: in_doubt contradicted, r1, s1, a1, 102 h
    final zero s1  | silence beside ${other} stored some | 100 h | failed: in_doubt contradicted, r1, s1, a1, 102 h
    accepted       | silence beside ${other} stored some | 100 h | unchanged: accepted waived, r0, 168 h
    waiting        | silence beside ${other} stored zero | 100 h | loaded: final, r1, s3, 168 h, zeros`);
    for (const line of table) expect(decide(stream, line)).toBe(read(stream, line).expected);
    expect(applyTo(read(stream, table[0] ?? '')).problem?.detail).toBe(
      `Losant left out numbers of the day, but ${other} is not zero`,
    );
    // Two endpoints that leave the day out agree; the same endpoint twice is one witness.
    const isOther = [stream, other].includes('payload_sources');
    expect(decide(stream, `waiting | silence beside ${other} stored zero s1 | 100 h`)).toBe(
      isOther ? 'loaded: final, r1, s3, 168 h, zeros' : 'loaded: stored, r1, s1, 101 h, zeros',
    );
  },
);

describe('totals wait for sources that are still to be read', () => {
  decides(
    'payload_totals',
    `
    waiting        | silence beside payload_sources waiting        | 0 h    | omitted: waiting unconfirmed, r0, 1 h
    waiting        | silence beside payload_sources missing        | 24 h   | omitted: waiting unconfirmed, r0, 48 h
    waiting        | silence beside payload_sources waiting        | 73 h   | omitted: waiting unconfirmed, r0, 97 h
    waiting        | silence beside payload_sources waiting        | 1000 h | omitted: waiting unconfirmed, r0, 1024 h
    waiting        | 0/-/- beside payload_sources waiting          | 24 h   | omitted: waiting unconfirmed, r0, 48 h
    waiting        | -/0/0 beside payload_sources waiting          | 24 h   | omitted: waiting unconfirmed, r0, 48 h
    waiting        | -/0/0 beside payload_sources stored some      | 24 h   | omitted: waiting contradicted, r0, 48 h
    waiting        | silence beside payload_sources waiting closed | 24 h   | loaded: stored, r1, s1, 48 h, zeros
    waiting        | -/21/900 beside payload_sources waiting       | 24 h   | loaded: stored, r1, s1, 48 h, numbers
    stored zero s1 | silence beside payload_sources waiting        | 24 h   | unchanged: stored, r1, s2, 48 h
    waiting        | zero beside payload_sources stored some       | 100 h  | loaded: final, r1, 168 h, zeros`,
  );

  test('and one counterpart above zero outweighs another one of zero', () => {
    const beside = 'payload_sources stored zero and payload_hours stored some';
    expect(decide('payload_totals', `waiting | silence beside ${beside} | 100 h`)).toContain('contradicted');
  });

  test('gives the reason why the awaited stream fails', () => {
    const messageOf = (sources: string) =>
      applyTo(read('payload_totals', `waiting | silence beside payload_sources ${sources} | 24 h`)).problem
        ?.detail;
    const message = 'Losant left out numbers, and the payload_sources of the day are not stored yet';
    expect(messageOf('waiting')).toBe(message);
    expect(messageOf('missing server_error')).toBe(`${message} (server_error)`);
  });
});

describe('hours wait for sources, and sources for nobody', () => {
  const beside = 'beside payload_totals waiting and payload_hours waiting';
  decides(
    'payload_hours',
    'waiting | silence beside payload_sources waiting | 30 h | omitted: waiting unconfirmed, r0, 48 h',
  );
  decides(
    'payload_sources',
    `
    waiting     | silence ${beside}                          | 24 h | loaded: stored, r1, s1, 48 h, zeros
    stored some | silence beside payload_totals stored zero  | 24 h | failed: in_doubt omitted, r1, a1, 26 h`,
  );
});

describe('a read that fails takes no number and no standing away', () => {
  decides(
    'device_counts',
    `
    waiting                      | failed      | 24 h   | failed: missing server_error, r0, a1, 24 h
    missing                      | failed      | 24 h   | failed: missing server_error, r0, a1, 24 h
    stored some                  | failed      | 24 h   | failed: stored server_error, r1, a1, 24 h
    final some                   | failed      | 24 h   | failed: final server_error, r1, a1, 24 h
    in_doubt some                | failed      | 24 h   | failed: in_doubt given, r1, a1, 24 h
    accepted                     | failed      | 24 h   | failed: accepted waived, r0, a1, 24 h
    unavailable                  | failed      | 24 h   | failed: missing server_error, r0, a1, 24 h
    unavailable some             | failed      | 24 h   | failed: in_doubt server_error, r1, a1, 24 h
    waiting                      | quarantined | 24 h   | quarantined: missing invalid_value, r0, a1, 26 h
    final some                   | quarantined | 24 h   | quarantined: final invalid_value, r1, a1, 26 h
    stored some                  | failed      | 2184 h | unchanged: stored, r1, closed
    waiting                      | failed      | 2184 h | unavailable: waiting never_read, r0, closed
    stored some a1               | failed      | 80 h   | failed: stored server_error, r1, a2, 84 h
    stored some a4               | failed      | 40 h   | failed: stored server_error, r1, a5, 48 h
    missing a3                   | refused     | 200 h  | failed: missing refused, r0, a4, 216 h
    waiting                      | refused     | 2158 h | failed: missing refused, r0, a1, 2160 h`,
  );

  test.each([failed, quarantined])('and says why: $code', (verdict) => {
    const { code, detail } = verdict as { code: string; detail: string };
    const before = cell('stored');
    const given = { stream: 'device_counts', cell: before, numbers: devices(4, 1, 17), verdict, hours: 24 };
    const applied = applyTo(given);
    expect(applied.problem).toEqual({ code, detail });
    expect(applied.cell).toMatchObject({ lastReadAtMs: before.lastReadAtMs, lastAttemptAtMs: age(24) });
  });
});

describe('the next read', () => {
  const stream = 'notebook_minutes';
  const { some: numbers = {} } = NUMBERS[stream] ?? {};
  decides(
    stream,
    `
    waiting       | some    | 0 h    | loaded: stored, r1, 6 h, numbers
    waiting       | some    | 5.99 h | loaded: stored, r1, 6 h, numbers
    waiting       | some    | 6 h    | loaded: stored, r1, 24 h, numbers
    waiting       | some    | 72 h   | loaded: final, r1, 168 h, numbers
    waiting       | some    | 300 h  | loaded: final, r1, 720 h, numbers
    final some    | some    | 720 h  | unchanged: final, r1, closed
    accepted some | silence | 720 h  | unchanged: accepted waived, r1, closed
    waiting       | silence | 721 h  | loaded: stored, r1, s1, 722 h, zeros`,
  );

  test('is at a time that was set after the request was sent, and not at one that was set before', () => {
    const before = cell('stored', { nextReadAtMs: age(24) + 1_000 });
    for (const verdict of [named(numbers), silence, failed]) {
      const applied = applyTo({ stream, cell: before, numbers, verdict, hours: 24 });
      expect(applied.cell.nextReadAtMs).toBeLessThanOrEqual(age(24) + 1_000);
    }
    const done = cell('final', { nextReadAtMs: age(800) - 1 });
    const applied = applyTo({ stream, cell: done, numbers, verdict: named(numbers), hours: 800 });
    expect(applied.cell.nextReadAtMs).toBeNull();
  });

  test('is at most a day away for what is neither final nor accepted, with whatever checkpoints', () => {
    const policy = { readAtHours: [6], finalAfterHours: 6, horizonDays: 3 };
    const given = { stream: 'device_counts', cell: unread, numbers: null, verdict: silence, policy };
    expect(applyTo({ ...given, hours: 7 }).cell.nextReadAtMs).toBe(age(31));
    expect(applyTo({ ...given, hours: 70 }).cell.nextReadAtMs).toBe(age(94));
    expect(applyTo({ ...given, hours: 96 }).cell.nextReadAtMs).toBeNull();
  });
});

describe('an omitted zero is final after three responses at least an hour apart', () => {
  const SILENT = [
    { stream: 'notebook_minutes', verdict: silence },
    { stream: 'payload_sources', verdict: silence },
    { stream: 'payload_totals', verdict: silence },
    { stream: 'payload_totals', verdict: named(totals(0, 21, 900), 'payload_billable_count') },
  ];

  /** Returns the cell after reads at these minutes. */
  function readAt(given: (typeof SILENT)[number], several: readonly number[], base: number) {
    let state: State = { cell: unread, numbers: null };
    for (const minute of several) {
      const applied = applyTo({ ...given, ...state, hours: base + minute / 60 });
      state = { cell: applied.cell, numbers: applied.numbers ?? state.numbers };
    }
    return state.cell;
  }

  test.each<[number[], number, Standing, number, number | null]>([
    [[0], 800, 'stored', 1, 801],
    [[0, 60], 800, 'stored', 2, 802],
    [[0, 55], 800, 'stored', 1, 801],
    [[0, 60, 90], 800, 'stored', 2, 802],
    [[0, 60, 120], 800, 'final', 3, null],
    [[0, 1440, 2880], 800, 'final', 3, null],
    // Before the final age omissions count, and only the age decides then.
    [[0, 60, 120], 30, 'stored', 3, 48],
    [[0, 60, 120, 2520], 30, 'final', 3, 168],
  ])('at minutes %j from hour %d on: %s', (several, base, ...[standing, omissions, next]) => {
    for (const given of SILENT) {
      const nextReadAtMs = next === null ? null : age(next);
      const expected = { standing, omissions, isReported: false, revision: 1, nextReadAtMs };
      expect(readAt(given, several, base)).toMatchObject(expected);
    }
  });

  test('a number that is named meanwhile ends the count', () => {
    const applied = applyTo(read('notebook_minutes', 'stored zero s2 | some | 80 h'));
    expect(applied.cell).toMatchObject({ standing: 'final', isReported: true, omissions: 0 });
  });
});
