/** Bodies of buckets: devices and notebooks, a bucket of several numbers a day; totals, three bodies of one number. */
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../../src/usage/body.ts';
import { deviceCounts } from '../../../src/usage/streams/device-counts.ts';
import { notebookMinutes } from '../../../src/usage/streams/notebook-minutes.ts';
import { payloadHours } from '../../../src/usage/streams/payload-hours.ts';
import { payloadTotals } from '../../../src/usage/streams/payload-totals.ts';
import { daysIn, ONE_DAY, readFixture, TWO_DAYS } from './bodies.ts';

const DAY = '2025-11-25T00:00:00.000Z';
const GOOD = `{"date":"${DAY}","created":4,"deleted":1,"total":17}`;
/** The bucket of another start. */
const at = (date: string) => GOOD.replace(DAY, date);
const devicesIn = (json: string, window = ONE_DAY) => daysIn(deviceCounts, [parseJson(json)], window);

const TOTALS = ['billable-count', 'all-count', 'all-bytes'].map((name) =>
  readFixture(`payload-totals-${name}`),
);

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
  expect(stream.readBodies(bodies, TWO_DAYS)).toMatchObject({ unknownKeys, outsideBuckets: 0 });
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
  ['17,"total":17', 'occurs twice'],
])('the number %s puts only its day in doubt', (json, problem) => {
  const body = `{"counts":[${GOOD.replace('17', json)},${at('2025-11-26T00:00:00.000Z')}]}`;
  const days = { '2025-11-25': `invalid_value: total: ${problem}`, '2025-11-26': [4, 1, 17] };
  expect(devicesIn(body, TWO_DAYS)).toEqual(days);
});

test('every bad number of a day is named, and each is required', () => {
  const bucket = { date: DAY, minutes: 0.5, completed: 4, canceled: null, errored: 1 };
  expect(daysIn(notebookMinutes, [{ counts: [bucket] }])).toEqual({
    '2025-11-25': expect.stringMatching(
      /^invalid_value: minutes: .*; canceled: .*; timeout: is missing$/,
    ) as unknown,
  });
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
  [
    'a bucket off midnight',
    `{"counts":[${at('2025-11-25T05:00:00.000Z')}]}`,
    /T05:.* does not start at UTC midnight/,
  ],
  [
    'a bucket a millisecond off',
    `{"counts":[${at('2025-11-25T00:00:00.001Z')}]}`,
    /does not start at UTC midnight/,
  ],
  [
    'a day that is there twice',
    `{"counts":[${GOOD},${GOOD}]}`,
    /bucket 2025-11-25T00:00:00.000Z is in the body twice/,
  ],
  [
    'a window that starts later',
    `{"start":"2025-11-25T00:00:00.001Z","counts":[${GOOD}]}`,
    /covers 2025-11-25T00:00:00\.001Z to \(not said\), but the request was for 2025-11-25 to 2025-11-25/,
  ],
  [
    'a window that ends earlier',
    `{"end":"2025-11-25T23:59:59.998Z","counts":[${GOOD}]}`,
    /but the request was for/,
  ],
  ['a window that is no time', '{"start":"yesterday","counts":[]}', /^start: /],
  [
    'another day only, and half a window',
    `{"start":"2025-11-24T00:00:00.000Z","counts":[${at('2025-11-24T00:00:00.000Z')}]}`,
    /none of its 1 buckets is of the days asked for, 2025-11-25 to 2025-11-25/,
  ],
  ['counts twice', '{"counts":[],"counts":[]}', /^counts: occurs twice$/],
  ['a date twice', `{"counts":[{"date":"${DAY}","date":"${DAY}"}]}`, /^counts\.0\.date: occurs twice$/],
  ['a start twice', `{"start":"${DAY}","start":1,"counts":[]}`, /^start: occurs twice$/],
])('a body with %s is refused as a whole', (_, json, problem) => {
  expect(devicesIn(json)).toMatch(problem);
});

describe('a body that can be placed', () => {
  const outside = (json: string) => deviceCounts.readBodies([parseJson(json)], ONE_DAY).outsideBuckets;

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

  test('may cover more than was asked: buckets outside are dropped and counted, bad numbers among them too', () => {
    const [before, after] = [
      at('2025-11-24T00:00:00.000Z'),
      '{"date":"2025-11-26T00:00:00.000Z","created":-1}',
    ];
    const window = '"start":"2025-11-24T00:00:00.000Z","end":"2025-11-27T00:00:00.000Z"';
    expect(devicesIn(`{${window},"counts":[${before},${GOOD},${after}]}`)).toEqual({
      '2025-11-25': [4, 1, 17],
    });
    expect(outside(`{${window},"counts":[${before},${GOOD},${after}]}`)).toBe(2);
    // It may have buckets of other days only, as it states that it covers the window.
    expect(devicesIn(`{${window},"counts":[${before}]}`)).toEqual({});
    expect(outside(`{${window},"counts":[${before}]}`)).toBe(1);
  });

  test('may list its days in any order, and leave some or all out', () => {
    const days = devicesIn(`{"counts":[${at('2025-11-26T00:00:00.000Z')},${GOOD}]}`, {
      ...TWO_DAYS,
      to: '2025-11-30',
    });
    expect(Object.keys(days)).toEqual(['2025-11-26', '2025-11-25']);
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
    expect(daysIn(payloadTotals, [TOTALS[0], TOTALS[1], { type: 'NotFound' }], TWO_DAYS)).toMatch(
      /^counts: /,
    );
    const window = { start: DAY, end: '2025-11-27T23:59:59.999Z' };
    const bodies = bodiesOf([17, 21, 900], '2025-11-27T00:00:00.000Z').map((body) => ({
      ...body,
      ...window,
    }));
    expect(payloadTotals.readBodies(bodies, TWO_DAYS)).toMatchObject({ days: new Map(), outsideBuckets: 3 });
  });
});
