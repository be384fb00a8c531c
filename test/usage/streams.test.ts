/** What the bodies of a stream say of each day: buckets of a day or an hour, or one map of types and sources. */
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
 * Returns what bodies say of each day: its numbers in the order of the columns, then the names of those that were left
 * out; or what is wrong with the day; or why the bodies cannot be placed.
 */
function daysIn(
  stream: Stream,
  bodies: readonly unknown[],
  window = ONE_DAY,
): Record<string, unknown> | string {
  try {
    const { days } = stream.parseBodies(bodies, window);
    const entries = [...days].map(([day, reading]): [string, unknown] => {
      if (reading.kind !== 'reported') return [day, `${reading.code}: ${reading.detail}`];
      return [
        day,
        [...Object.values(reading.numbers), ...reading.omitted.map((part) => describeNumber(part))],
      ];
    });
    return Object.fromEntries(entries);
  } catch (error) {
    if (error instanceof UnplaceableBodyError) return error.message;
    throw error;
  }
}

const DAY = '2025-11-25T00:00:00.000Z';
const GOOD = `{"date":"${DAY}","created":4,"deleted":1,"total":17}`;
/** The bucket of another start. */
const at = (date: string) => GOOD.replace(DAY, date);
const devicesIn = (json: string, window = ONE_DAY) => daysIn(deviceCounts, [parseJson(json)], window);

const KINDS = ['billable-count', 'all-count', 'all-bytes'];
const TOTALS = KINDS.map((name) => readFixture(`payload-totals-${name}`));

test.each([
  [
    deviceCounts,
    [readFixture('device-counts')],
    { '2025-11-25': [4, 1, 17], '2025-11-26': [0, 2, 15] },
    2, // region, restored
  ],
  [notebookMinutes, [readFixture('notebook-minutes')], { '2025-11-25': [17, 4, 0, 1, 0] }, 0],
  [payloadTotals, TOTALS, { '2025-11-25': [17, 21, 4_294_967_297] }, 3], // resolution
])('the recorded bodies of $name', (stream, bodies, days, unknownKeys) => {
  expect(daysIn(stream, bodies, TWO_DAYS)).toEqual(days);
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
  ['[]', 'is not a number but []'],
  ['{}', 'is not a number but {}'],
  ['true', 'is not a number but true'],
  ['17,"total":17', 'appears twice'],
])('the number %s puts only its day in doubt', (json, problem) => {
  const body = `{"counts":[${GOOD.replace('17', json)},${at('2025-11-26T00:00:00.000Z')}]}`;
  const days = { '2025-11-25': `invalid_value: total: ${problem}`, '2025-11-26': [4, 1, 17] };
  expect(devicesIn(body, TWO_DAYS)).toEqual(days);
});

test('every bad number of a day is named, and each is required', () => {
  const bucket = { date: DAY, minutes: 0.5, completed: 4, canceled: null, errored: 1 };
  const [problem] = Object.values(daysIn(notebookMinutes, [{ counts: [bucket] }]));
  expect(problem).toMatch(/^invalid_value: minutes: .*; canceled: .*; timeout: is required$/);
});

test.each([
  ['0', 0],
  ['9007199254740991', 9_007_199_254_740_991],
  ['1e3', 1000],
  ['7.0', 7],
  ['90071992547409910e-1', 9_007_199_254_740_991],
])('reads %s exactly', (json, value) => {
  expect(devicesIn(`{"counts":[${GOOD.replace('17', json)}]}`)).toEqual({ '2025-11-25': [4, 1, value] });
});

test.each([
  ['no counts', `{"start":"${DAY}"}`, /^counts: /],
  ['counts that are no list', `{"counts":{"2025-11-25":${GOOD}}}`, /^counts: /],
  ['null', 'null', /^body: /],
  ['text', '"Service Unavailable"', /^body: /],
  ['a bucket that is no map', '{"counts":[17]}', /^counts\.0: /],
  ['a bucket without a date', '{"counts":[{"total":17}]}', /^counts\.0\.date: /],
  ['a date in milliseconds', '{"counts":[{"date":1764028800000}]}', /^counts\.0\.date: /],
  ['a date without a time', `{"counts":[${at('2025-11-25')}]}`, /^counts\.0\.date: /],
  ['a time without a zone', `{"counts":[${at('2025-11-25T00:00:00.000')}]}`, /^counts\.0\.date: /],
  ['an impossible date', `{"counts":[${at('2025-02-30T00:00:00.000Z')}]}`, /^counts\.0\.date: /],
  ['a bucket at five', `{"counts":[${at('2025-11-25T05:00:00.000Z')}]}`, /T05:.* start at UTC midnight/],
  [
    'a day twice',
    `{"counts":[${GOOD},${GOOD}]}`,
    /bucket 2025-11-25T00:00:00.000Z appears twice in the body/,
  ],
  [
    'a window that starts later',
    `{"start":"2025-11-25T00:00:00.001Z","counts":[${GOOD}]}`,
    /covers 2025-11-25T00:00:00\.001Z to \(not said\), but the request was for 2025-11-25 to 2025-11-25/,
  ],
  ['a window that ends earlier', `{"end":"2025-11-25T23:59:59.998Z","counts":[${GOOD}]}`, /the request was/],
  ['a window that is no time', '{"start":"yesterday","counts":[]}', /^start: /],
  [
    'another day only, and half a window',
    `{"start":"2025-11-24T00:00:00.000Z","counts":[${at('2025-11-24T00:00:00.000Z')}]}`,
    /none of its 1 buckets is within the requested days, 2025-11-25 to 2025-11-25/,
  ],
  ['counts twice', '{"counts":[],"counts":[]}', /^counts: appears twice$/],
  ['a date twice', `{"counts":[{"date":"${DAY}","date":"${DAY}"}]}`, /^counts\.0\.date: appears twice$/],
  ['a start twice', `{"start":"${DAY}","start":1,"counts":[]}`, /^start: appears twice$/],
])('a body with %s is refused as a whole', (_, json, problem) => {
  expect(devicesIn(json)).toMatch(problem);
});

describe('a body that can be placed', () => {
  const outside = (json: string) => deviceCounts.parseBodies([parseJson(json)], ONE_DAY).outsideBuckets;

  test.each([
    ['keys in any order', `{"counts":[{"total":17,"deleted":1,"created":4,"date":"${DAY}"}]}`],
    ['UTC midnight in another zone', `{"counts":[${at('2025-11-24T19:00:00.000-05:00')}]}`],
    [
      'a repeated or inexact value that is not billed',
      `{"_x":1,"_x":2,"counts":[${GOOD.replace('"total"', '"mean":0.1e-400,"total"')}]}`,
    ],
  ])('may have %s', (_, json) => {
    expect(devicesIn(json)).toEqual({ '2025-11-25': [4, 1, 17] });
  });

  test('buckets outside the requested days are dropped and counted, even invalid ones', () => {
    const before = at('2025-11-24T00:00:00.000Z');
    const after = '{"date":"2025-11-26T00:00:00.000Z","created":-1}';
    const bodyOf = (...buckets: readonly string[]) =>
      `{"start":"2025-11-24T00:00:00.000Z","end":"2025-11-27T00:00:00.000Z","counts":[${buckets.join()}]}`;
    expect(devicesIn(bodyOf(before, GOOD, after))).toEqual({ '2025-11-25': [4, 1, 17] });
    expect(outside(bodyOf(before, GOOD, after))).toBe(2);
    // It may have buckets of other days only, as it states that it covers the window.
    expect([devicesIn(bodyOf(before)), outside(bodyOf(before))]).toEqual([{}, 1]);
  });

  test('may list its days in any order, and leave some or all out', () => {
    const days = devicesIn(`{"counts":[${at('2025-11-26T00:00:00.000Z')},${GOOD}]}`, TWO_DAYS);
    expect(Object.keys(days)).toEqual(['2025-11-25', '2025-11-26']);
    expect(devicesIn('{"counts":[]}', TWO_DAYS)).toEqual({});
  });
});

describe('totals', () => {
  /** The three bodies of one day; null leaves the bucket out. */
  const bodiesOf = (values: readonly (number | null)[], date = DAY) =>
    values.map((value) => ({ counts: value === null ? [] : [{ date, value }] }));

  test('are asked for as billable payloads, all of them, and their bytes; as are hours', () => {
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
  ])('of bodies with %j read 0 where one leaves the day out, and say so', (values, expected) => {
    expect(daysIn(payloadTotals, bodiesOf(values))).toEqual(expected);
  });

  test('cannot be placed if one of the bodies cannot, and count buckets outside over all three', () => {
    const lacking = [...TOTALS.slice(0, 2), { type: 'NotFound' }];
    expect(daysIn(payloadTotals, lacking, TWO_DAYS)).toMatch(/^counts: /);
    const window = { start: DAY, end: '2025-11-27T23:59:59.999Z' };
    const late = bodiesOf([17, 21, 900], '2025-11-27T00:00:00.000Z').map((body) => ({ ...body, ...window }));
    expect(payloadTotals.parseBodies(late, TWO_DAYS)).toMatchObject({ days: new Map(), outsideBuckets: 3 });
  });
});

const bucket = (date: string, value: unknown) => ({ date, value });
const hourOf = (hour: number, day = '2025-11-25') => `${day}T${String(hour).padStart(2, '0')}:00:00.000Z`;
/** The 24 buckets of a day, with a value of each hour. */
const dayOf = (valueOf: (hour: number) => unknown, day?: string) =>
  Array.from({ length: 24 }, (_, hour) => bucket(hourOf(hour, day), valueOf(hour)));
const bodies = (...several: readonly (readonly unknown[])[]) => several.map((counts) => ({ counts }));
/** The same counts in all three bodies. */
const same = (counts: readonly unknown[]) => bodies(counts, counts, counts);

test('a day is 24 numbers of each kind, whatever the order of its buckets', () => {
  const later = dayOf((hour) => hour + 100).toReversed();
  const counts = [dayOf((hour) => hour), later, dayOf((hour) => hour * 2 ** 32)];
  const each = Array.from({ length: 24 }, (_, hour) => hour);
  const numbers = [each, each.map((hour) => hour + 100), each.map((hour) => hour * 2 ** 32)];
  expect(daysIn(payloadHours, bodies(...counts))).toEqual({ '2025-11-25': numbers });
});

test('hours that are left out read 0 and are named, each in the number that lacks it', () => {
  const lacking = dayOf(() => 7).filter((_, hour) => hour !== 5);
  const zeroAt5 = Array.from({ length: 24 }, (_, hour) => (hour === 5 ? 0 : 7));
  const all = dayOf(() => 8);
  expect(daysIn(payloadHours, bodies(lacking, all, lacking), TWO_DAYS)).toEqual({
    '2025-11-25': [zeroAt5, all.map(() => 8), zeroAt5, 'hours_billable_count 05:00', 'hours_all_bytes 05:00'],
  });
});

test.each([
  [-1, 'hours_billable_count 03:00: value: is negative (-1)'],
  [undefined, 'hours_billable_count 03:00: value: is required'],
  [2 ** 53 - 1, 'hours_billable_count: the hours add up to more than 2^53 - 1'],
])('an hour of %s quarantines its day alone', (value, message) => {
  const counts = [...dayOf((hour) => (hour === 3 ? value : 1)), ...dayOf(() => 2, '2025-11-26')];
  const two = Array.from({ length: 24 }, () => 2);
  expect(daysIn(payloadHours, same(counts), TWO_DAYS)).toEqual({
    '2025-11-25': `invalid_value: ${message}`,
    '2025-11-26': [two, two, two],
  });
});

test.each<[string, unknown[], RegExp]>([
  ['off the hour', [bucket('2025-11-25T05:30:00.000Z', 1)], /05:30:00.000Z does not start on the hour/],
  ['twice', [bucket(hourOf(5), 1), bucket(hourOf(5), 1)], /T05:00:00.000Z appears twice in the body$/],
])('hours %s make the answer unplaceable', (_, counts, message) => {
  expect(daysIn(payloadHours, same(counts))).toMatch(message);
});

test('hours of other days are dropped and counted, also where the window has no such hour; so are unknown keys', () => {
  const other = { ...bucket(hourOf(22, '2025-11-27'), 9), archived: 3, _links: {} };
  const counts = [...dayOf(() => 1).slice(0, 22), other];
  expect(payloadHours.parseBodies(same(counts), TWO_DAYS)).toMatchObject({ outsideBuckets: 3 });
  const [[, ...named] = []] = Object.values(daysIn(payloadHours, same(counts), TWO_DAYS)) as unknown[][];
  expect(named).toContain('hours_all_count 22:00');
  const known = [{ ...bucket(hourOf(7), 1), archived: 3, _links: {} }];
  const unknown = same(known).map((body) => ({ ...body, granularity: 1 }));
  expect(payloadHours.parseBodies(unknown, TWO_DAYS).unknownKeys).toBe(6);
});

describe('an answer by day instead of by hour', () => {
  const midnight = (day: string, value = 7) => bucket(hourOf(0, day), value);

  const two = [midnight('2025-11-25'), midnight('2025-11-26')];

  test.each<[string, unknown[], typeof ONE_DAY, (string | null)[]]>([
    ['two midnights', two, TWO_DAYS, ['not_hourly', 'not_hourly']],
    ['one of two days', two.slice(1), TWO_DAYS, ['not_hourly']],
    ['another hour anywhere', [...two, bucket(hourOf(7, '2025-11-26'), 1)], TWO_DAYS, [null, null]],
    ['no day at all', [], TWO_DAYS, []],
    ['one midnight where one day was asked for', two.slice(0, 1), ONE_DAY, [null]],
  ])('with %s is doubted or not', (_, counts, window, codes) => {
    const { days } = payloadHours.parseBodies(same(counts), window);
    const found = [...days.values()].map((day) => day.kind === 'reported' && (day.doubt?.code ?? null));
    expect(found).toEqual(codes);
  });
});

const dayIn = (json: string) => {
  const days = daysIn(payloadSources, [parseJson(json)]);
  return typeof days === 'string' ? days : days['2025-11-25'];
};
const K200 = 'k'.repeat(200);

test('the recorded body gives a count for each type and source', () => {
  const deviceState = { 'flow.flow': 5215, 'device.mqtt': 1_244_049 };
  const types = { timer: { 'timer.flow': 19_772 }, deviceState, webhook: { 'public.rest': 1_713_284 } };
  const days = { '2025-11-25': [2_982_320, types] };
  expect(daysIn(payloadSources, [readFixture('payload-sources')])).toEqual(days);
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
])('types and sources are an open map, kept as they come: %s', (_, json, sum) => {
  expect(dayIn(json)).toEqual([sum, JSON.parse(json)]);
});

test('keys that start with _ at the top are envelope, whatever they hold, and a type without sources is none', () => {
  const json = '{"_type":"x","_links":{"a":{"href":"/"}},"_future":{"b":-1},"none":{},"a":{"b":1}}';
  expect(dayIn(json)).toEqual([1, { a: { b: 1 } }]);
});

test.each(['{}', '{"_type":"payloadStats"}', '{"timer":{}}'])('%s leaves the day out', (json) => {
  expect(dayIn(json)).toBeUndefined();
});

test.each([
  ['a count is negative', '{"timer":{"timer.flow":1},"a":{"b":1,"c":-1}}', /^a\.c: is negative/],
  ['a count is text', '{"a":{"b":"1"}}', /^a\.b: /],
  ['a count is inexact', '{"a":{"b":9007199254740991.4}}', /^a\.b: is 9007199254740991\.4/],
  ['their sum cannot be stored', '{"a":{"b":9007199254740991,"c":1}}', /^body: the counts add up/],
  ['a source is there twice', '{"a":{"b":1,"b":1}}', /^a\.b: appears twice/],
  ['a type is there twice', '{"a":{"b":1},"a":{"c":1}}', /^a: appears twice/],
  ['a count stands where sources belong', '{"a":17}', /^a: not a map of sources/],
  ['a type is a list', '{"a":[1]}', /^a: not a map of sources/],
  ['sources are nested deeper', '{"a":{"b":{"c":1}}}', /^a\.b: /],
  ['a source holds a NUL', '{"a":{"x\\u0000y":1}}', /NUL or a lone surrogate/],
  ['a type holds a lone surrogate', '{"\\ude00":{"b":1}}', /NUL or a lone surrogate/],
  ['a type holds a NUL and no sources', '{"x\\u0000y":{}}', /NUL or a lone surrogate/],
  ['a type holds a NUL and no map', '{"x\\u0000y":17}', /^[^\0]*NUL or a lone surrogate[^\0]*$/],
  ['a source has 201 characters', `{"a":{"${K200}k":1}}`, /has 201 characters, at most 200/],
  ['a type of 201 characters is no map', `{"${K200}k":17}`, /at most 200/],
])('the day is in doubt, with all its rows, when %s', (_, json, problem) => {
  const [code, ...message] = String(dayIn(json)).split(': ');
  expect(code).toBe('invalid_value');
  expect(message.join(': ')).toMatch(problem);
});

test.each(['null', '[]', '"Service Unavailable"', '17'])('the body %s cannot be placed', (json) => {
  expect(dayIn(json)).toBe('the body is not a map of payload types');
});
