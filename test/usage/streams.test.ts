/** How bodies are parsed: daily or hourly buckets, or one map of types and sources. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../src/usage/body.ts';
import type { DayRange } from '../../src/usage/day.ts';
import { describeNumber } from '../../src/usage/numbers.ts';
import { deviceCounts } from '../../src/usage/streams/device-counts.ts';
import { notebookMinutes } from '../../src/usage/streams/notebook-minutes.ts';
import { payloadHours } from '../../src/usage/streams/payload-hours.ts';
import { payloadSources } from '../../src/usage/streams/payload-sources.ts';
import { payloadTotals } from '../../src/usage/streams/payload-totals.ts';
import { type Stream, UnplaceableBodyError } from '../../src/usage/streams/stream.ts';

const ONE_DAY: DayRange = { from: '2025-11-25', to: '2025-11-25' };
const TWO_DAYS: DayRange = { from: '2025-11-25', to: '2025-11-26' };

/** A recorded body: the documented example rows, with the envelope that live bodies carry. */
function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'));
}

/**
 * Returns by day the numbers in column order, then the names of omitted ones; or the problem of the day. Returns the
 * message if the bodies cannot be assigned to days.
 */
function parseDays(stream: Stream, bodies: readonly unknown[], window = ONE_DAY): Record<string, unknown> | string {
  try {
    const { days } = stream.parseBodies(bodies, window);
    const entries = [...days].map(([day, verdict]): [string, unknown] => {
      if (verdict.kind !== 'reported') return [day, `${verdict.code}: ${verdict.detail}`];
      return [day, [...Object.values(verdict.numbers), ...verdict.omitted.map(describeNumber)]];
    });
    return Object.fromEntries(entries);
  } catch (error) {
    if (error instanceof UnplaceableBodyError) return error.message;
    throw error;
  }
}

const DAY = '2025-11-25T00:00:00.000Z';
const GOOD = `{"date":"${DAY}","created":4,"deleted":1,"total":17}`;
/** Returns the bucket with another start. */
const bucketAt = (date: string) => GOOD.replace(DAY, date);
const devicesIn = (json: string, window = ONE_DAY) => parseDays(deviceCounts, [parseJson(json)], window);

const KINDS = ['billable-count', 'all-count', 'all-bytes'];
const TOTALS = KINDS.map((name) => readFixture(`payload-totals-${name}`));

test.each([
  // Unknown are region and restored, and the resolution of totals.
  [deviceCounts, [readFixture('device-counts')], { '2025-11-25': [4, 1, 17], '2025-11-26': [0, 2, 15] }, 2],
  [notebookMinutes, [readFixture('notebook-minutes')], { '2025-11-25': [17, 4, 0, 1, 0] }, 0],
  [payloadTotals, TOTALS, { '2025-11-25': [17, 21, 4_294_967_297] }, 3],
])('the recorded bodies of $name', (stream, bodies, days, unknownKeys) => {
  expect(parseDays(stream, bodies, TWO_DAYS)).toEqual(days);
  expect(stream.parseBodies(bodies, TWO_DAYS)).toMatchObject({ unknownKeys, outsideBuckets: 0 });
});

test.each([
  ['-132', 'is negative (-132)'],
  ['1.5', 'is not a whole number (1.5)'],
  ['9007199254740992', 'is above 2^53 − 1 (9007199254740992)'],
  ['9007199254740993', 'is 9007199254740993, which cannot be stored without rounding'],
  ['9007199254740991.4', 'is 9007199254740991.4, which cannot be stored without rounding'],
  ['1e999', 'is 1e999, which cannot be stored without rounding'],
  ['"17"', 'is not a number but "17"'],
  ['null', 'is not a number but null'],
  ['17,"total":17', 'appears twice'],
])('the number %s quarantines only its day', (json, problem) => {
  const body = `{"counts":[${GOOD.replace('17', json)},${bucketAt('2025-11-26T00:00:00.000Z')}]}`;
  const days = { '2025-11-25': `invalid_value: total: ${problem}`, '2025-11-26': [4, 1, 17] };
  expect(devicesIn(body, TWO_DAYS)).toEqual(days);
});

test('every invalid or absent number of a day is reported', () => {
  const bucket = { date: DAY, minutes: 0.5, completed: 4, canceled: null, errored: 1 };
  const [problem] = Object.values(parseDays(notebookMinutes, [{ counts: [bucket] }]));
  expect(problem).toMatch(/^invalid_value: minutes: .*; canceled: .*; timeout: is missing$/);
});

test.each([
  ['0', 0],
  ['9007199254740991', 9_007_199_254_740_991],
  ['1e3', 1000],
  ['7.0', 7],
  ['90071992547409910e-1', 9_007_199_254_740_991],
])('the number %s is exact', (json, value) => {
  expect(devicesIn(`{"counts":[${GOOD.replace('17', json)}]}`)).toEqual({ '2025-11-25': [4, 1, value] });
});

test.each([
  ['no counts', `{"start":"${DAY}"}`, /^counts: /],
  ['counts that are not a list', `{"counts":{"2025-11-25":${GOOD}}}`, /^counts: /],
  ['null', 'null', /^body: /],
  ['a bucket that is not a map', '{"counts":[17]}', /^counts\.0: /],
  ['a bucket without a date', '{"counts":[{"total":17}]}', /^counts\.0\.date: /],
  ['a date without a time', `{"counts":[${bucketAt('2025-11-25')}]}`, /^counts\.0\.date: /],
  ['a time without a zone', `{"counts":[${bucketAt('2025-11-25T00:00:00.000')}]}`, /^counts\.0\.date: /],
  ['an impossible date', `{"counts":[${bucketAt('2025-02-30T00:00:00.000Z')}]}`, /^counts\.0\.date: /],
  ['a bucket at five', `{"counts":[${bucketAt('2025-11-25T05:00:00.000Z')}]}`, /T05:.* start at UTC midnight/],
  ['a day twice', `{"counts":[${GOOD},${GOOD}]}`, /bucket 2025-11-25T00:00:00.000Z appears twice in the body/],
  [
    'a range that starts later',
    `{"start":"2025-11-25T00:00:00.001Z","counts":[${GOOD}]}`,
    /covers 2025-11-25T00:00:00\.001Z to \(not given\), but the request was for 2025-11-25 to 2025-11-25/,
  ],
  ['a range that ends earlier', `{"end":"2025-11-25T23:59:58.999Z","counts":[${GOOD}]}`, /the request was/],
  ['a range that is not a time', '{"start":"yesterday","counts":[]}', /^start: /],
  [
    'only another day, and half a range',
    `{"start":"2025-11-24T00:00:00.000Z","counts":[${bucketAt('2025-11-24T00:00:00.000Z')}]}`,
    /none of its 1 buckets is within the requested days, 2025-11-25 to 2025-11-25/,
  ],
  [
    'only another day, and the other half',
    `{"end":"2025-11-25T23:59:59.999Z","counts":[${bucketAt('2025-11-24T00:00:00.000Z')}]}`,
    /none of its 1 buckets is within the requested days/,
  ],
  ['counts twice', '{"counts":[],"counts":[]}', /^counts: appears twice$/],
  ['a date twice', `{"counts":[{"date":"${DAY}","date":"${DAY}"}]}`, /^counts\.0\.date: appears twice$/],
])('a body with %s is rejected as a whole', (_, json, problem) => {
  expect(devicesIn(json)).toMatch(problem);
});

describe('a body that can be assigned to days', () => {
  const countOutside = (json: string) => deviceCounts.parseBodies([parseJson(json)], ONE_DAY).outsideBuckets;

  test.each([
    ['keys in any order', `{"counts":[{"total":17,"deleted":1,"created":4,"date":"${DAY}"}]}`],
    ['UTC midnight in another zone', `{"counts":[${bucketAt('2025-11-24T19:00:00.000-05:00')}]}`],
    ['an end in whole seconds', `{"end":"2025-11-25T23:59:59Z","counts":[${GOOD}]}`],
    ['a repeated value that is not billed', `{"_x":1,"_x":2,"counts":[${GOOD}]}`],
    ['an inexact value that is not billed', `{"counts":[${GOOD.replace('"total"', '"mean":0.1e-400,"total"')}]}`],
  ])('can have %s', (_, json) => {
    expect(devicesIn(json)).toEqual({ '2025-11-25': [4, 1, 17] });
  });

  test('buckets outside the requested days are dropped and counted, even invalid ones', () => {
    const before = bucketAt('2025-11-24T00:00:00.000Z');
    const after = '{"date":"2025-11-26T00:00:00.000Z","created":-1}';
    const bodyOf = (...buckets: readonly string[]) =>
      `{"start":"2025-11-24T00:00:00.000Z","end":"2025-11-27T00:00:00.000Z","counts":[${buckets.join()}]}`;
    expect(devicesIn(bodyOf(before, GOOD, after))).toEqual({ '2025-11-25': [4, 1, 17] });
    expect(countOutside(bodyOf(before, GOOD, after))).toBe(2);
    // It may have only buckets of other days, because it states that it covers the requested ones.
    expect([devicesIn(bodyOf(before)), countOutside(bodyOf(before))]).toEqual([{}, 1]);
  });

  test('can list its days in any order, and omit some or all', () => {
    const days = devicesIn(`{"counts":[${bucketAt('2025-11-26T00:00:00.000Z')},${GOOD}]}`, TWO_DAYS);
    expect(Object.keys(days)).toEqual(['2025-11-25', '2025-11-26']);
    expect(devicesIn('{"counts":[]}', TWO_DAYS)).toEqual({});
  });
});

describe('totals', () => {
  /** Returns the three bodies of one day; null omits the bucket. */
  const bodiesOf = (values: readonly (number | null)[], date = DAY) =>
    values.map((value) => ({ counts: value === null ? [] : [{ date, value }] }));

  test('are requested as billable payloads, all payloads, and all bytes; so are hours', () => {
    const queries = [{}, { includeNonBillable: 'true' }, { asBytes: 'true', includeNonBillable: 'true' }];
    const requestsBy = (resolution: string) =>
      queries.map((query) => ({ action: 'payloadCountsBreakdown', query: { resolution, ...query } }));
    expect(payloadTotals.requests).toEqual(requestsBy('86400000'));
    expect(payloadHours.requests).toEqual(requestsBy('3600000'));
  });

  test.each<[(number | null)[], unknown]>([
    [[17, 21, 900], { '2025-11-25': [17, 21, 900] }],
    [[null, 21, 900], { '2025-11-25': [0, 21, 900, 'payload_billable_count'] }],
    [[17, null, null], { '2025-11-25': [17, 0, 0, 'payload_all_count', 'payload_all_bytes'] }],
    [[null, null, null], {}],
    [[null, 21, -900], { '2025-11-25': 'invalid_value: payload_all_bytes: value: is negative (-900)' }],
  ])('of bodies with %j are 0 where one omits the day, and are listed as omitted', (values, expected) => {
    expect(parseDays(payloadTotals, bodiesOf(values))).toEqual(expected);
  });

  test('are rejected if one of the bodies is, and count outside buckets over all three', () => {
    const incomplete = [...TOTALS.slice(0, 2), { type: 'NotFound' }];
    expect(parseDays(payloadTotals, incomplete, TWO_DAYS)).toMatch(/^counts: /);
    const range = { start: DAY, end: '2025-11-27T23:59:59.999Z' };
    const late = bodiesOf([17, 21, 900], '2025-11-27T00:00:00.000Z').map((body) => ({ ...body, ...range }));
    expect(payloadTotals.parseBodies(late, TWO_DAYS)).toMatchObject({ days: new Map(), outsideBuckets: 3 });
  });
});

const bucket = (date: string, value: unknown) => ({ date, value });
const hourOf = (hour: number, day = '2025-11-25') => `${day}T${String(hour).padStart(2, '0')}:00:00.000Z`;
/** Returns the 24 buckets of a day. */
const dayOf = (valueOf: (hour: number) => unknown, day?: string) =>
  Array.from({ length: 24 }, (_, hour) => bucket(hourOf(hour, day), valueOf(hour)));
const bodies = (...lists: readonly (readonly unknown[])[]) => lists.map((counts) => ({ counts }));
/** Returns three bodies with the same counts. */
const sameBodies = (counts: readonly unknown[]) => bodies(counts, counts, counts);

test('a day has 24 numbers of each kind, in any order of its buckets', () => {
  const later = dayOf((hour) => hour + 100).toReversed();
  const counts = [dayOf((hour) => hour), later, dayOf((hour) => hour * 2 ** 32)];
  const each = Array.from({ length: 24 }, (_, hour) => hour);
  const numbers = [each, each.map((hour) => hour + 100), each.map((hour) => hour * 2 ** 32)];
  expect(parseDays(payloadHours, bodies(...counts))).toEqual({ '2025-11-25': numbers });
});

test('omitted hours are 0 and listed as omitted, by column', () => {
  const incomplete = dayOf(() => 7).filter((_, hour) => hour !== 5);
  const zeroAt5 = Array.from({ length: 24 }, (_, hour) => (hour === 5 ? 0 : 7));
  const all = dayOf(() => 8);
  expect(parseDays(payloadHours, bodies(incomplete, all, incomplete), TWO_DAYS)).toEqual({
    '2025-11-25': [zeroAt5, all.map(() => 8), zeroAt5, 'hours_billable_count 05:00', 'hours_all_bytes 05:00'],
  });
});

test.each([
  [-1, 'hours_billable_count 03:00: value: is negative (-1)'],
  [undefined, 'hours_billable_count 03:00: value: is missing'],
  [2 ** 53 - 1, 'hours_billable_count: the hours add up to more than 2^53 − 1'],
])('an hour of %s quarantines only its day', (value, message) => {
  const counts = [...dayOf((hour) => (hour === 3 ? value : 1)), ...dayOf(() => 2, '2025-11-26')];
  const two = Array.from({ length: 24 }, () => 2);
  const days = { '2025-11-25': `invalid_value: ${message}`, '2025-11-26': [two, two, two] };
  expect(parseDays(payloadHours, sameBodies(counts), TWO_DAYS)).toEqual(days);
});

test.each<[string, unknown[], RegExp]>([
  ['off the hour', [bucket('2025-11-25T05:30:00.000Z', 1)], /05:30:00.000Z does not start on the hour/],
  ['twice', [bucket(hourOf(5), 1), bucket(hourOf(5), 1)], /T05:00:00.000Z appears twice in the body$/],
])('a response with hours %s is rejected as a whole', (_, counts, message) => {
  expect(parseDays(payloadHours, sameBodies(counts))).toMatch(message);
});

test('hours of other days are dropped and counted, and so are unknown keys', () => {
  const other = { ...bucket(hourOf(22, '2025-11-27'), 9), archived: 3, _links: {} };
  const counts = [...dayOf(() => 1).slice(0, 22), other];
  expect(payloadHours.parseBodies(sameBodies(counts), TWO_DAYS)).toMatchObject({ outsideBuckets: 3 });
  const [[, ...values] = []] = Object.values(parseDays(payloadHours, sameBodies(counts), TWO_DAYS)) as unknown[][];
  expect(values).toContain('hours_all_count 22:00');
  const extended = [{ ...bucket(hourOf(7), 1), archived: 3, _links: {} }];
  const unknown = sameBodies(extended).map((body) => ({ ...body, granularity: 1 }));
  expect(payloadHours.parseBodies(unknown, TWO_DAYS).unknownKeys).toBe(6);
});

describe('hours that are answered as whole days are invalid', () => {
  const midnight = (day: string, value = 7) => bucket(hourOf(0, day), value);
  const two = [midnight('2025-11-25'), midnight('2025-11-26')];
  const reported = ['2025-11-25 reported', '2025-11-26 reported'];
  const notHourly = ['2025-11-25 not_hourly', '2025-11-26 not_hourly'];

  test.each<[string, unknown[][], DayRange, string[]]>([
    ['two midnights', [two, two, two], TWO_DAYS, notHourly],
    ['two midnights in one body, and nothing in the others', [two, [], []], TWO_DAYS, notHourly],
    ['one of two days', [two.slice(1), [], []], TWO_DAYS, notHourly.slice(1)],
    ['one requested day', [two.slice(0, 1), [], []], ONE_DAY, notHourly.slice(0, 1)],
    ['a day without payloads', [[midnight('2025-11-25', 0)], [], []], ONE_DAY, notHourly.slice(0, 1)],
    [
      'an invalid day',
      [[midnight('2025-11-25', -1), ...two.slice(1)], [], []],
      TWO_DAYS,
      ['2025-11-25 invalid_value', '2025-11-26 not_hourly'],
    ],
    ['another hour of any day: valid', [[...two, bucket(hourOf(7, '2025-11-26'), 1)], [], []], TWO_DAYS, reported],
    ['all hours of a day: valid', [dayOf((hour) => (hour === 0 ? 7 : 0)), [], []], ONE_DAY, reported.slice(0, 1)],
    ['no days: valid', [[], [], []], TWO_DAYS, []],
  ])('%s', (_, lists, window, expected) => {
    const { days } = payloadHours.parseBodies(bodies(...lists), window);
    const verdicts = [...days].map(([day, verdict]) => `${day} ${'code' in verdict ? verdict.code : verdict.kind}`);
    expect(verdicts).toEqual(expected);
  });
});

const dayIn = (json: string) => {
  const days = parseDays(payloadSources, [parseJson(json)]);
  return typeof days === 'string' ? days : days['2025-11-25'];
};
const K200 = 'k'.repeat(200);

test('the recorded body gives a count for each type and source', () => {
  const deviceState = { 'flow.flow': 5215, 'device.mqtt': 1_244_049 };
  const types = { timer: { 'timer.flow': 19_772 }, deviceState, webhook: { 'public.rest': 1_713_284 } };
  const days = { '2025-11-25': [2_982_320, types] };
  expect(parseDays(payloadSources, [readFixture('payload-sources')])).toEqual(days);
});

test.each([
  ['the exact largest number', '{"a":{"b":9007199254740991}}', 9_007_199_254_740_991],
  ['a zero', '{"a":{"b":0}}', 0],
  ['case, spaces and dots', '{"Timer":{" x.Y ":1}}', 1],
  ['empty keys', '{"":{"":1}}', 1],
  ['an underscore in a source', '{"a":{"_b":1}}', 1],
  ['names of JavaScript itself', '{"toString":{"__proto__":1,"constructor":2}}', 3],
  ['an emoji, a whole surrogate pair', '{"a":{"\\ud83d\\ude00":1}}', 1],
  ['a key of 200 characters', `{"a":{"${K200}":1}}`, 1],
])('types and sources are an open map and stored unchanged: %s', (_, json, sum) => {
  expect(dayIn(json)).toEqual([sum, JSON.parse(json)]);
});

test('top-level keys that start with _ and types without sources are ignored', () => {
  const json = '{"_type":"x","_links":{"a":{"href":"/"}},"_future":{"b":-1},"none":{},"a":{"b":1}}';
  expect(dayIn(json)).toEqual([1, { a: { b: 1 } }]);
});

/** Returns JSON of a map with as many keys, whose values no schema accepts. */
function mapOf(keys: number): string {
  return JSON.stringify(Object.fromEntries(Array.from({ length: keys }, (_, index) => [`k${index}`, -1])));
}

test.each(['{}', '{"_type":"payloadStats"}', '{"timer":{}}'])('%s omits the day', (json) => {
  expect(dayIn(json)).toBeUndefined();
});

test.each([
  ['a count is negative', '{"timer":{"timer.flow":1},"a":{"b":1,"c":-1}}', /^a\.c: is negative/],
  ['a count is inexact', '{"a":{"b":9007199254740991.4}}', /^a\.b: is 9007199254740991\.4/],
  ['their sum cannot be stored', '{"a":{"b":9007199254740991,"c":1}}', /^body: the counts add up/],
  ['a source appears twice', '{"a":{"b":1,"b":1}}', /^a\.b: appears twice/],
  ['a type appears twice', '{"a":{"b":1},"a":{"c":1}}', /^a: appears twice/],
  ['a type has a count instead of sources', '{"a":17}', /^a: not a map of sources/],
  ['a type has 10,001 sources', `{"a":${mapOf(10_001)}}`, /^a: not a map of sources, or more than 10000/],
  ['each of 10,000 sources is invalid', `{"a":${mapOf(10_000)}}`, /^a\.k0: is negative .* and 9997 more/],
  ['sources are nested deeper', '{"a":{"b":{"c":1}}}', /^a\.b: /],
  ['a source contains a NUL', '{"a":{"x\\u0000y":1}}', /NUL or a lone surrogate/],
  ['a type contains a lone surrogate', '{"\\ude00":{"b":1}}', /NUL or a lone surrogate/],
  ['a type contains a NUL and has no sources', '{"x\\u0000y":{}}', /NUL or a lone surrogate/],
  ['a type contains a NUL and is not a map', '{"x\\u0000y":17}', /^[^\0]*NUL or a lone surrogate[^\0]*$/],
  ['a source has 201 characters', `{"a":{"${K200}k":1}}`, /has 201 characters; at most 200/],
  ['a type of 201 characters is not a map', `{"${K200}k":17}`, /at most 200/],
])('the whole day is quarantined when %s', (_, json, problem) => {
  const [code, ...message] = String(dayIn(json)).split(': ');
  expect(code).toBe('invalid_value');
  expect(message.join(': ')).toMatch(problem);
});

test.each(['null', '[]', '"Service Unavailable"', '17'])('the body %s is rejected as a whole', (json) => {
  expect(dayIn(json)).toBe('the body is not a map of payload types');
});
