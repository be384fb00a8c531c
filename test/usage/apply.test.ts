/**
 * The decision table: how a response changes a cell. A line has the cell, the response, the hours from the end of the
 * day to the request, and the resulting cell, with its next read in the same hours.
 */
import { describe, expect, test } from 'vitest';
import type { Verdict } from '../../src/usage/cell.ts';
import { addDays, eachDay } from '../../src/usage/day.ts';
import type { Standing } from '../../src/usage/standing.ts';
import { payloadHours } from '../../src/usage/streams/payload-hours.ts';
import {
  age,
  applyLine,
  applyTo,
  cell,
  DAY,
  devices,
  failed,
  formatUpdate,
  hours,
  NUMBERS,
  omitted,
  parseLine,
  quarantined,
  report,
  splitLines,
  testTable,
  totals,
  unread,
} from './cells.ts';

const STREAMS = Object.keys(NUMBERS);
const FLOWS = STREAMS.filter((stream) => stream !== 'device_counts');

describe.each(STREAMS)('all numbers of %s are reported', (stream) => {
  testTable(
    stream,
    `
    waiting                            | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    waiting                            | zero  | 24 h   | loaded: stored, r1, 48 h, zeros
    missing f3                         | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    stored some                        | some  | 24 h   | unchanged: stored, r1, 48 h
    stored zero                        | zero  | 24 h   | unchanged: stored, r1, 48 h
    stored zero o2                     | zero  | 24 h   | unchanged: stored, r1, 48 h
    stored some                        | other | 24 h   | loaded: stored, r2, 48 h, numbers
    stored zero                        | some  | 24 h   | loaded: stored, r2, 48 h, numbers
    stored some                        | zero  | 24 h   | loaded: stored, r2, 48 h, zeros
    in_doubt some f2                   | some  | 24 h   | unchanged: stored, r1, 48 h
    waived                             | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    waived some                        | some  | 24 h   | unchanged: stored, r1, 48 h
    final some                         | some  | 24 h   | unchanged: final, r1, 48 h
    final some                         | other | 24 h   | loaded: final, r2, 48 h, numbers
    unavailable org_deleted            | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    unavailable org_deleted never some | other | 24 h   | unchanged: unavailable org_deleted, r1, never
    unavailable org_deleted never      | some  | 100 h  | loaded: final, r1, 168 h, numbers
    waiting                            | some  | 2184 h | loaded: final, r1, never, numbers
    stored some                        | other | 2184 h | unchanged: stored, r1, never
    final some                         | other | 2184 h | unchanged: final, r1, never
    in_doubt some                      | other | 2184 h | unchanged: in_doubt earlier, r1, never
    unavailable past_horizon           | some  | 2184 h | loaded: final, r1, never, numbers
    waived some                        | other | 2184 h | unchanged: waived waived, r1, never`,
  );
});

test('a good read of a missing number leaves nothing of the failures, and a final one counts as final from then on', () => {
  const before = cell('missing', { failedReads: 3, lastAttemptAtMs: age(20), reason: 'server_error' });
  const update = applyTo({ stream: 'device_counts', cell: before, verdict: report(devices(4, 1, 17)), hours: 72 });
  const read = { lastReadAtMs: age(72), lastAttemptAtMs: age(72), failedReads: 0, reason: null, detail: null };
  expect(update).toMatchObject({ problem: null, cell: { ...read, wasFinal: true, sha256: 'a'.repeat(64) } });
});

describe.each(FLOWS)('a day of %s is omitted', (stream) => {
  testTable(
    stream,
    `
    waiting        | omitted | 24 h   | loaded: stored, r1, o1, 48 h, zeros
    missing f2     | omitted | 24 h   | loaded: stored, r1, o1, 48 h, zeros
    stored zero    | omitted | 24 h   | unchanged: stored, r1, 48 h
    stored zero o1 | omitted | 24 h   | unchanged: stored, r1, o2, 48 h
    final zero     | omitted | 24 h   | unchanged: final, r1, 48 h
    stored some    | omitted | 24 h   | failed: in_doubt omitted, r1, d1, f1, 25 h
    final some     | omitted | 24 h   | failed: in_doubt omitted, r1, d1, f1, 25 h
    waived some    | omitted | 24 h   | unchanged: waived waived, r1, d1, 25 h
    waived zero    | omitted | 24 h   | unchanged: waived waived, r1, 48 h
    waived         | omitted | 24 h   | unchanged: waived waived, r0, 48 h
    final some     | omitted | 1000 h | failed: in_doubt omitted, r1, d1, f1, 1001 h
    waiting        | omitted | 2184 h | unavailable: waiting never_read, r0, never
    stored some    | omitted | 2184 h | unchanged: stored, r1, never
    final zero     | omitted | 2184 h | unchanged: final, r1, never
    waived         | omitted | 2184 h | unchanged: waived waived, r0, never`,
  );
});

describe('an omitted level is not zero', () => {
  test.each([
    [devices(0, 0, 0), 'a number'],
    [devices(0, 0, 5), 'a nonzero number'],
  ])('and %j is named as what is stored', (numbers, stored) => {
    const input = { stream: 'device_counts', cell: cell('stored', { numbers }), verdict: omitted, hours: 24 };
    expect(applyTo(input).problem?.detail).toBe(`Losant omitted the day, but ${stored} is stored`);
  });

  testTable(
    'device_counts',
    `
    waiting     | omitted | 24 h   | omitted: waiting omitted, r0, 48 h
    waiting     | omitted | 720 h  | omitted: waiting omitted, r0, 744 h
    missing f2  | omitted | 24 h   | omitted: waiting omitted, r0, 48 h
    stored zero | omitted | 24 h   | failed: in_doubt omitted, r1, d1, f1, 25 h
    final some  | omitted | 80 h   | failed: in_doubt omitted, r1, d1, f1, 81 h
    waived      | omitted | 24 h   | unchanged: waived waived, r0, 48 h
    waiting     | omitted | 2184 h | unavailable: waiting never_read, r0, never`,
  );
});

describe('a column is omitted: billable payloads / all / bytes', () => {
  testTable(
    'payload_totals',
    `
    waiting            | -/21/900 | 24 h   | loaded: stored, r1, o1, 48 h, numbers
    stored 0/20/900    | -/21/900 | 24 h   | loaded: stored, r2, 48 h, numbers
    stored 0/21/900 o1 | -/21/900 | 24 h   | unchanged: stored, r1, o2, 48 h
    stored 17/20/900   | -/21/900 | 24 h   | failed: in_doubt omitted, r1, d1, f1, 25 h
    waived 0/20/900    | -/21/900 | 24 h   | unchanged: waived waived, r1, 48 h
    waiting            | -/21/900 | 2184 h | unavailable: waiting never_read, r0, never
    waiting            | 17/-/900 | 24 h   | omitted: waiting contradicted, r0, 48 h
    stored 0/0/900     | 17/-/900 | 24 h   | failed: in_doubt contradicted, r1, f1, 26 h
    waiting            | 17/21/-  | 24 h   | omitted: waiting contradicted, r0, 48 h
    waiting            | 0/-/-    | 24 h   | loaded: stored, r1, o1, 48 h, zeros
    waiting            | -/0/0    | 24 h   | loaded: stored, r1, o1, 48 h, zeros`,
  );

  test('an omitted hour is zero unless another column has payloads in that hour', () => {
    const input = { stream: 'payload_hours', cell: unread, hours: 24 };
    const quiet = report(hours(17, 21, 900), { column: 'hours_all_count', hour: 6 });
    expect(applyTo({ ...input, verdict: quiet }).cell.standing).toBe('stored');
    const busy = report(hours(17, 0, 900), { column: 'hours_all_count', hour: 5 });
    expect(applyTo({ ...input, verdict: busy }).cell.reason).toBe('contradicted');
  });

  test('the detail names the omitted columns', () => {
    const parts = [0, 5, 7].map((hour) => ({ column: 'hours_billable_count', hour }));
    const verdict = report(hours(0, 21, 900), ...parts);
    const input = { stream: 'payload_hours', cell: cell('stored', { numbers: hours(17, 21, 900) }), hours: 24 };
    const detail = 'Losant omitted hours_billable_count, but a nonzero number is stored';
    expect(applyTo({ ...input, verdict }).problem?.detail).toBe(detail);
  });
});

test.each([0, 1])('hours are stored in doubt, and never final, if only midnight buckets came: %d more days', (more) => {
  const range = { from: DAY, to: addDays(DAY, more) };
  const counts = eachDay(range).map((day) => ({ date: `${day}T00:00:00.000Z`, value: 9 }));
  const bodies = Array.from({ length: 3 }, () => ({ counts }));
  const verdict = payloadHours.parseBodies(bodies, range).days.get(DAY);
  const input = { stream: 'payload_hours', cell: unread, verdict: verdict as Verdict };
  const expected = 'failed: in_doubt not_hourly, r1, o0';
  expect(formatUpdate(applyTo({ ...input, hours: 24 }))).toBe(`${expected}, 48 h, numbers`);
  expect(formatUpdate(applyTo({ ...input, hours: 800 }))).toBe(`${expected}, 824 h, numbers`);
});

/** A stream with a counterpart. */
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
  'omitted zeros of %s are contradicted by %s above zero, and confirmed by its reported zeros',
  (stream, other) => {
    const table = splitLines(`
    waiting        | omitted with ${other} stored some | 100 h | omitted: waiting contradicted, r0, 168 h
    stored zero o1 | omitted with ${other} stored some | 100 h | failed: in_doubt contradicted, r1, o1, f1, 102 h
    final zero o1  | omitted with ${other} stored some | 100 h | failed: in_doubt contradicted, r1, o1, f1, 102 h
    waived         | omitted with ${other} stored some | 100 h | unchanged: waived waived, r0, 168 h
    waiting        | omitted with ${other} stored zero | 100 h | loaded: final, r1, o3, 168 h, zeros`);
    for (const line of table) expect(applyLine(stream, line)).toBe(parseLine(stream, line).expected);
    const { problem } = applyTo(parseLine(stream, table[0] ?? ''));
    expect(problem?.detail).toBe(`Losant omitted numbers for the day, but ${other} is not zero`);
    // Two endpoints that omit the day confirm each other; two responses of one endpoint do not.
    const [confirmed, unconfirmed] = ['final, r1, o3, 168 h', 'stored, r1, o1, 101 h'];
    const expected = [stream, other].includes('payload_sources') ? confirmed : unconfirmed;
    const line = `waiting | omitted with ${other} stored zero o1 | 100 h`;
    expect(applyLine(stream, line)).toBe(`loaded: ${expected}, zeros`);
  },
);

describe('omitted totals wait for sources that are still to be read', () => {
  testTable(
    'payload_totals',
    `
    waiting        | omitted with payload_sources missing       | 24 h   | omitted: waiting unconfirmed, r0, at once
    waiting        | 0/-/- with payload_sources waiting         | 24 h   | omitted: waiting unconfirmed, r0, at once
    waiting        | -/0/0 with payload_sources waiting         | 24 h   | omitted: waiting unconfirmed, r0, at once
    waiting unconfirmed | omitted with payload_sources waiting  | 0 h    | omitted: waiting unconfirmed, r0, 1 h
    waiting unconfirmed | omitted with payload_sources waiting  | 73 h   | omitted: waiting unconfirmed, r0, 97 h
    waiting unconfirmed | omitted with payload_sources waiting  | 1000 h | omitted: waiting unconfirmed, r0, 1024 h
    waiting        | -/0/0 with payload_sources stored some     | 24 h   | omitted: waiting contradicted, r0, 48 h
    waiting        | omitted with payload_sources waiting never | 24 h   | loaded: stored, r1, o1, 48 h, zeros
    waiting        | -/21/900 with payload_sources waiting      | 24 h   | loaded: stored, r1, o1, 48 h, numbers
    stored zero o1 | omitted with payload_sources waiting       | 24 h   | unchanged: stored, r1, o2, 48 h
    waiting        | zero with payload_sources stored some      | 100 h  | loaded: final, r1, 168 h, zeros`,
  );

  test('one counterpart above zero outweighs another of zero', () => {
    const counterparts = 'payload_sources stored zero and payload_hours stored some';
    expect(applyLine('payload_totals', `waiting | omitted with ${counterparts} | 100 h`)).toContain('contradicted');
  });

  test('gives the reason why the awaited stream fails', () => {
    const getDetail = (sources: string) =>
      applyTo(parseLine('payload_totals', `waiting | omitted with payload_sources ${sources} | 24 h`)).problem?.detail;
    const detail = 'Losant omitted numbers, and payload_sources is not stored for the day yet';
    expect(getDetail('waiting')).toBe(detail);
    expect(getDetail('missing server_error')).toBe(`${detail} (server_error)`);
  });
});

describe('omitted hours wait for sources, and omitted sources for nothing', () => {
  const counterparts = 'payload_totals waiting and payload_hours waiting';
  const ofHours = 'waiting | omitted with payload_sources waiting | 30 h | omitted: waiting unconfirmed, r0, at once';
  testTable('payload_hours', ofHours);
  testTable(
    'payload_sources',
    `
    waiting     | omitted with ${counterparts}            | 24 h | loaded: stored, r1, o1, 48 h, zeros
    stored some | omitted with payload_totals stored zero | 24 h | failed: in_doubt omitted, r1, d1, f1, 25 h`,
  );
});

describe.each(FLOWS)(
  'omissions of a stored number of %s are counted if they are in a row and an hour apart',
  (stream) => {
    testTable(
      stream,
      `
    in_doubt omitted some d1     | omitted     | 24 h  | failed: in_doubt omitted, r1, d2, f1, 25 h
    in_doubt omitted some d1 f1  | omitted     | 1.5 h | failed: in_doubt omitted, r1, d1, f2, 2.5 h
    in_doubt omitted some d2 f2  | omitted     | 80 h  | failed: in_doubt omitted, r1, d3, f3, 88 h
    in_doubt omitted some d3 f3  | omitted     | 80 h  | failed: in_doubt omitted, r1, d3, f4, 96 h
    in_doubt omitted some d2 f2  | failed      | 24 h  | failed: in_doubt omitted, r1, d2, f3, 32 h
    in_doubt omitted some d2 f2  | some        | 24 h  | unchanged: stored, r1, 48 h
    stored some d2               | omitted     | 24 h  | failed: in_doubt omitted, r1, d1, f1, 25 h
    waived some d1               | omitted     | 24 h  | unchanged: waived waived, r1, d2, 25 h
    waived some d2               | omitted     | 24 h  | unchanged: waived waived, r1, d3, 48 h
    waived some d3               | omitted     | 720 h | unchanged: waived waived, r1, d3, never`,
    );
  },
);

describe('a failed read', () => {
  testTable(
    'device_counts',
    `
    waiting          | failed      | 24 h   | failed: missing server_error, r0, f1, 24 h
    missing          | failed      | 24 h   | failed: missing server_error, r0, f1, 24 h
    stored some      | failed      | 24 h   | failed: stored server_error, r1, f1, 24 h
    final some       | failed      | 24 h   | failed: final server_error, r1, f1, 24 h
    in_doubt some    | failed      | 24 h   | failed: in_doubt earlier, r1, f1, 24 h
    waived           | failed      | 24 h   | failed: waived waived, r0, f1, 24 h
    unavailable      | failed      | 24 h   | failed: missing server_error, r0, f1, 24 h
    unavailable some | failed      | 24 h   | failed: in_doubt server_error, r1, f1, 24 h
    waiting          | quarantined | 24 h   | quarantined: missing invalid_value, r0, f1, 26 h
    final some       | quarantined | 24 h   | quarantined: final invalid_value, r1, f1, 26 h
    stored some      | failed      | 2184 h | unchanged: stored, r1, never
    waiting          | failed      | 2184 h | unavailable: waiting never_read, r0, never
    stored some f1   | failed      | 80 h   | failed: stored server_error, r1, f2, 84 h
    stored some f4   | failed      | 40 h   | failed: stored server_error, r1, f5, 48 h
    missing f3       | refused     | 200 h  | failed: missing refused, r0, f4, 216 h
    waiting          | refused     | 2158 h | failed: missing refused, r0, f1, 2160 h`,
  );

  test.each([failed, quarantined])('reports its reason: $code', (verdict) => {
    const { code, detail } = verdict as { code: string; detail: string };
    const before = cell('stored', { numbers: devices(4, 1, 17) });
    const update = applyTo({ stream: 'device_counts', cell: before, verdict, hours: 24 });
    expect(update.problem).toEqual({ code, detail });
    expect(update.cell).toMatchObject({ lastReadAtMs: before.lastReadAtMs, lastAttemptAtMs: age(24) });
  });
});

describe('the next read', () => {
  const stream = 'notebook_minutes';
  const { some: numbers = {} } = NUMBERS[stream] ?? {};
  testTable(
    stream,
    `
    waiting     | some    | 0 h    | loaded: stored, r1, 6 h, numbers
    waiting     | some    | 5.99 h | loaded: stored, r1, 6 h, numbers
    waiting     | some    | 6 h    | loaded: stored, r1, 24 h, numbers
    waiting     | some    | 72 h   | loaded: final, r1, 168 h, numbers
    waiting     | some    | 300 h  | loaded: final, r1, 720 h, numbers
    final some  | some    | 720 h  | unchanged: final, r1, never
    waived zero | omitted | 720 h  | unchanged: waived waived, r1, never
    waiting     | omitted | 721 h  | loaded: stored, r1, o1, 722 h, zeros`,
  );

  test('keeps a time that was set after the request was sent, and no earlier one', () => {
    const before = cell('stored', { nextReadAtMs: age(24) + 1_000, numbers });
    for (const verdict of [report(numbers), omitted, failed]) {
      const update = applyTo({ stream, cell: before, verdict, hours: 24 });
      expect(update.cell.nextReadAtMs).toBeLessThanOrEqual(age(24) + 1_000);
    }
    const done = cell('final', { nextReadAtMs: age(800) - 1, numbers });
    const update = applyTo({ stream, cell: done, verdict: report(numbers), hours: 800 });
    expect(update.cell.nextReadAtMs).toBeNull();
  });

  test('is daily after the last checkpoint unless the cell is settled', () => {
    const policy = { readAtHours: [6], finalAfterHours: 6, horizonDays: 3 };
    const input = { stream: 'device_counts', cell: unread, verdict: omitted, policy };
    expect(applyTo({ ...input, hours: 7 }).cell.nextReadAtMs).toBe(age(31));
    expect(applyTo({ ...input, hours: 70 }).cell.nextReadAtMs).toBe(age(94));
    expect(applyTo({ ...input, hours: 96 }).cell.nextReadAtMs).toBeNull();
  });
});

describe('an omitted zero is final after three responses at least an hour apart', () => {
  const OMISSIONS = [
    { stream: 'notebook_minutes', verdict: omitted },
    { stream: 'payload_sources', verdict: omitted },
    { stream: 'payload_totals', verdict: omitted },
    { stream: 'payload_totals', verdict: report(totals(0, 21, 900), 'payload_billable_count') },
  ];

  /** Returns the cell after reads at these minutes. */
  function applyAt(omission: (typeof OMISSIONS)[number], readMinutes: readonly number[], firstHour: number) {
    let state = unread;
    for (const minute of readMinutes) {
      state = applyTo({ ...omission, cell: state, hours: firstHour + minute / 60 }).cell;
    }
    return state;
  }

  test.each<[number[], number, Standing, number, number | null]>([
    [[0], 800, 'stored', 1, 801],
    [[0, 60], 800, 'stored', 2, 802],
    [[0, 55], 800, 'stored', 1, 801],
    [[0, 60, 90], 800, 'stored', 2, 802],
    [[0, 60, 120], 800, 'final', 3, null],
    [[0, 20, 40, 60, 80, 100, 120], 800, 'final', 3, null],
    [[0, 1440, 2880], 800, 'final', 3, null],
    // Omissions before the final threshold count too; then only the threshold is left.
    [[0, 60, 120], 30, 'stored', 3, 48],
    [[0, 60, 120, 2520], 30, 'final', 3, 168],
  ])('at minutes %j from hour %d on: %s', (readMinutes, firstHour, ...[standing, omissions, next]) => {
    for (const omission of OMISSIONS) {
      const nextReadAtMs = next === null ? null : age(next);
      const expected = { standing, omissions, isReported: false, revision: 1, nextReadAtMs };
      expect(applyAt(omission, readMinutes, firstHour)).toMatchObject(expected);
    }
  });

  test('a reported number ends the count', () => {
    const update = applyTo(parseLine('notebook_minutes', 'stored zero o2 | some | 80 h'));
    expect(update.cell).toMatchObject({ standing: 'final', isReported: true, omissions: 0 });
  });
});
