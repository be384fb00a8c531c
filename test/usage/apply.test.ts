/**
 * The decision table: how a response changes a cell. A line has the cell, the response, the hours from the end of the
 * day to the request, and the resulting cell, with its next read in the same hours.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as cells from './cells.ts';

const { age, applyTo, cell, devices, failed, hours, NUMBERS, omitted, quarantined, report, testTable, unread } = cells;

const STREAMS = Object.keys(NUMBERS);
const FLOWS = STREAMS.filter((stream) => stream !== 'device_counts');

describe.each(STREAMS)('all numbers of %s are reported', (stream) => {
  testTable(
    stream,
    `
    waiting                            | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    waiting                            | some  | 71 h   | loaded: stored, r1, 72 h, numbers
    waiting                            | some  | 72 h   | loaded: final, r1, 168 h, numbers
    waiting                            | zero  | 24 h   | loaded: stored, r1, 48 h, zeros
    missing f3                         | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    stored some                        | some  | 24 h   | unchanged: stored, r1, 48 h
    stored some                        | other | 24 h   | loaded: stored, r2, 48 h, numbers
    stored some                        | zero  | 24 h   | loaded: stored, r2, 48 h, zeros
    stored zero assumed                | zero  | 24 h   | unchanged: stored, r1, 48 h
    stored zero assumed                | some  | 24 h   | loaded: stored, r2, 48 h, numbers
    final some                         | some  | 24 h   | unchanged: final, r1, 48 h
    final some                         | other | 24 h   | loaded: final, r2, 48 h, numbers
    final some                         | other | 720 h  | loaded: final, r2, never, numbers
    in_doubt omitted some f2           | some  | 24 h   | unchanged: stored, r1, 48 h
    in_doubt omitted some              | other | 80 h   | loaded: final, r2, 168 h, numbers
    in_doubt omitted some was_final    | some  | 24 h   | unchanged: final, r1, 48 h
    waived                             | some  | 24 h   | loaded: stored, r1, 48 h, numbers
    waived some                        | some  | 24 h   | unchanged: stored, r1, 48 h
    waived zero assumed                | some  | 80 h   | loaded: final, r2, 168 h, numbers`,
  );
});

test('a good read leaves nothing of the failures before it', () => {
  const before = cell('missing', { failedReads: 3, lastAttemptAtMs: age(20), reason: 'server_error' });
  const update = applyTo({ stream: 'device_counts', cell: before, verdict: report(devices(4, 1, 17)), hours: 72 });
  const read = { lastReadAtMs: age(72), lastAttemptAtMs: age(72), failedReads: 0, reason: null, detail: null };
  expect(update).toMatchObject({ problem: null, cell: { ...read, wasFinal: true, sha256: 'a'.repeat(64) } });
});

describe.each(FLOWS)('a day of %s is left out', (stream) => {
  testTable(
    stream,
    `
    waiting                  | omitted | 24 h   | loaded: stored, r1, assumed, 48 h, zeros
    missing f2               | omitted | 80 h   | loaded: final, r1, assumed, 168 h, zeros
    stored zero              | omitted | 24 h   | unchanged: stored, r1, assumed, 48 h
    stored zero assumed      | omitted | 72 h   | unchanged: final, r1, assumed, 168 h
    final zero               | omitted | 168 h  | unchanged: final, r1, assumed, 720 h
    stored some              | omitted | 24 h   | omitted: in_doubt omitted, r1, 48 h
    stored some f2           | omitted | 80 h   | omitted: in_doubt omitted, r1, 104 h
    final some               | omitted | 168 h  | omitted: in_doubt omitted, r1, 192 h
    in_doubt omitted some f2 | omitted | 1000 h | omitted: in_doubt omitted, r1, 1024 h
    unavailable some         | omitted | 80 h   | omitted: in_doubt omitted, r1, 104 h
    waived some              | omitted | 80 h   | unchanged: waived waived, r1, 168 h
    waived zero assumed      | omitted | 24 h   | unchanged: waived waived, r1, assumed, 48 h
    waived                   | omitted | 720 h  | unchanged: waived waived, r0, never`,
  );
});

describe('a column is left out: billable payloads / all / bytes', () => {
  testTable(
    'payload_totals',
    `
    waiting          | -/21/900 | 24 h | loaded: stored, r1, assumed, 48 h, numbers
    waiting          | 17/-/900 | 80 h | loaded: final, r1, assumed, 168 h, numbers
    waiting          | 0/-/-    | 24 h | loaded: stored, r1, assumed, 48 h, zeros
    stored 0/20/900  | -/21/900 | 24 h | loaded: stored, r2, assumed, 48 h, numbers
    stored 0/21/900  | -/21/900 | 24 h | unchanged: stored, r1, assumed, 48 h
    stored 17/20/900 | -/21/900 | 24 h | omitted: in_doubt omitted, r1, 48 h
    waived 0/20/900  | -/21/900 | 24 h | unchanged: waived waived, r1, 48 h`,
  );

  test('or an hour: the detail names the columns, and the last good read stays that of the numbers', () => {
    const parts = [0, 5, 7].map((hour) => ({ column: 'hours_billable_count', hour }));
    const verdict = report(hours(0, 22, 900), ...parts);
    const before = cell('stored', { numbers: hours(17, 21, 900) });
    const update = applyTo({ stream: 'payload_hours', cell: before, verdict, hours: 24 });
    const detail = 'Losant omitted hours_billable_count, but a number is stored';
    expect(update.problem).toEqual({ code: 'omitted', detail });
    const { lastReadAtMs, sha256, numbers } = before;
    expect(update.cell).toMatchObject({ detail, lastReadAtMs, sha256, numbers, lastAttemptAtMs: age(24) });
  });
});

describe('a level is left out: it is not zero', () => {
  testTable(
    'device_counts',
    `
    waiting     | omitted | 24 h  | omitted: waiting omitted, r0, 48 h
    waiting     | omitted | 720 h | omitted: waiting omitted, r0, 744 h
    missing f2  | omitted | 80 h  | omitted: waiting omitted, r0, 104 h
    stored zero | omitted | 24 h  | omitted: in_doubt omitted, r1, 48 h
    final some  | omitted | 80 h  | omitted: in_doubt omitted, r1, 104 h
    waived      | omitted | 24 h  | unchanged: waived waived, r0, 48 h`,
  );
});

describe.each(STREAMS)('a read of %s fails, or the response is invalid', (stream) => {
  testTable(
    stream,
    `
    waiting                  | failed      | 24 h   | failed: missing server_error, r0, f1, 24 h
    missing f1               | failed      | 24 h   | failed: missing server_error, r0, f2, 28 h
    missing f3               | refused     | 200 h  | failed: missing refused, r0, f4, 216 h
    missing f9               | refused     | 200 h  | failed: missing refused, r0, f10, 224 h
    waiting                  | quarantined | 24 h   | quarantined: missing invalid_value, r0, f1, 26 h
    stored some              | failed      | 24 h   | failed: stored server_error, r1, f1, 24 h
    stored some f4           | failed      | 40 h   | failed: stored server_error, r1, f5, 48 h
    final some               | quarantined | 168 h  | quarantined: final invalid_value, r1, f1, 170 h
    in_doubt omitted some    | failed      | 80 h   | failed: in_doubt omitted, r1, f1, 80 h
    waived some              | failed      | 80 h   | failed: waived waived, r1, f1, 80 h
    waived                   | quarantined | 24 h   | quarantined: waived waived, r0, f1, 26 h
    unavailable earlier some | failed      | 24 h   | failed: unavailable earlier, r1, f1, 24 h
    unavailable org_deleted  | refused     | 24 h   | failed: missing refused, r0, f1, 26 h`,
  );

  test.each([failed, quarantined])('which is reported with its reason: $code', (verdict) => {
    const { code, detail } = verdict as { code: string; detail: string };
    const before = cell('stored', { numbers: NUMBERS[stream]?.some ?? null });
    const update = applyTo({ stream, cell: before, verdict, hours: 24 });
    expect(update.problem).toEqual({ code, detail });
    expect(update.cell).toMatchObject({ lastReadAtMs: before.lastReadAtMs, lastAttemptAtMs: age(24) });
  });
});

describe.each(STREAMS)(
  'no read of %s is possible any more: past the horizon, or the organization is deleted',
  (stream) => {
    testTable(
      stream,
      `
    waiting                            | some    | 2184 h | loaded: final, r1, never, numbers
    waiting                            | omitted | 2184 h | unavailable: waiting never_read, r0, never
    waiting                            | failed  | 2184 h | unavailable: waiting never_read, r0, never
    waiting                            | refused | 2158 h | failed: missing refused, r0, f1, 2160 h
    stored some                        | other   | 2184 h | unchanged: stored, r1, never
    stored some                        | omitted | 2184 h | unchanged: stored, r1, never
    in_doubt omitted some              | other   | 2184 h | unchanged: in_doubt omitted, r1, never
    waived                             | omitted | 2184 h | unchanged: waived waived, r0, never
    unavailable past_horizon           | some    | 2184 h | loaded: final, r1, never, numbers
    unavailable org_deleted            | some    | 24 h   | loaded: stored, r1, 48 h, numbers
    unavailable org_deleted never      | some    | 100 h  | loaded: final, r1, 168 h, numbers
    unavailable org_deleted never some | other   | 24 h   | unchanged: unavailable org_deleted, r1, never
    unavailable org_deleted never      | failed  | 24 h   | unavailable: unavailable org_deleted, r0, never`,
    );
  },
);

test('the next read is the next checkpoint, or tomorrow if that is earlier and the cell is not settled', () => {
  const policy = { readAtHours: [6, 200], finalAfterHours: 72, horizonDays: 12 };
  const readAt = (sentAt: number, verdict = report(devices(4, 1, 17))) => {
    const update = applyTo({ stream: 'device_counts', cell: unread, verdict, hours: sentAt, policy });
    return update.cell.nextReadAtMs;
  };
  expect([readAt(5.99), readAt(6), readAt(71)]).toEqual([age(6), age(30), age(95)]);
  expect([readAt(72), readAt(200)]).toEqual([age(200), null]);
  expect([readAt(200, omitted), readAt(280, omitted), readAt(290, omitted)]).toEqual([age(224), age(304), null]);
});

test('a response that is applied twice, because its commit was not confirmed, counts once', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...STREAMS),
      fc.constantFrom('waiting', 'stored some', 'final zero', 'in_doubt omitted some', 'waived some', 'missing f2'),
      fc.constantFrom('some', 'other', 'zero', 'omitted', 'failed', 'quarantined'),
      fc.integer({ min: 0, max: 2200 }),
      (stream, before, response, sentAt) => {
        const situation = cells.parseLine(stream, `${before} | ${response} | ${sentAt}`);
        const { cell: after } = applyTo(situation);
        expect(applyTo({ ...situation, cell: after }).cell).toEqual(after);
      },
    ),
  );
});
