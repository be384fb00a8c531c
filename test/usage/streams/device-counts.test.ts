import { describe, expect, test } from 'vitest';
import { parseJson } from '../../../src/usage/body.ts';
import { deviceCounts } from '../../../src/usage/streams/device-counts.ts';
import { daysOf, readFixture, unplaceable } from './bodies.ts';

const twoDays = { from: '2025-11-25', to: '2025-11-26' };
const oneDay = { from: '2025-11-25', to: '2025-11-25' };
const goodBucket = { date: '2025-11-25T00:00:00.000Z', created: 4, deleted: 1, total: 17 };
const devices = (created: number, deleted: number, total: number) => ({
  kind: 'named',
  numbers: { devices_created: created, devices_deleted: deleted, devices_total: total },
  leftOut: [],
});
const goodValues = devices(4, 1, 17);

describe('the recorded body', () => {
  const reading = deviceCounts.readBodies([readFixture('device-counts')], twoDays);

  test('gives created, deleted and total of each day', () => {
    expect(daysOf(reading)).toEqual({
      '2025-11-25': goodValues,
      '2025-11-26': devices(0, 2, 15),
    });
  });

  test('has two keys nobody knows: they are counted, its envelope of _keys is not', () => {
    expect(reading.unknownKeys).toBe(2);
    expect(reading.outsideBuckets).toBe(0);
  });
});

describe('a number that cannot be billed puts only its day in doubt', () => {
  test.each([
    ['negative', '-1'],
    ['fractional', '1.5'],
    ['text', '"4"'],
    ['empty text', '""'],
    ['null', 'null'],
    ['a boolean', 'true'],
    ['a list', '[4]'],
    ['one above 2^53 − 1', '9007199254740992'],
    ['far above 2^53', '9007199254740993'],
    ['an infinity', '1e999'],
    ['a fraction that a double drops', '9007199254740991.4'],
    ['a small fraction that a double drops', '5.00000000000000000001'],
    ['a fraction that a double takes for zero', '1e-400'],
    ['one that is there twice', '4,"created":4'],
  ])('%s', (_, json) => {
    const body: unknown = parseJson(
      `{"counts":[
        {"date":"2025-11-25T00:00:00.000Z","created":${json},"deleted":1,"total":17},
        {"date":"2025-11-26T00:00:00.000Z","created":4,"deleted":1,"total":17}]}`,
    );
    expect(daysOf(deviceCounts.readBodies([body], twoDays))).toEqual({
      '2025-11-25': {
        kind: 'quarantined',
        code: 'invalid_value',
        message: expect.stringMatching(/^created: /) as unknown,
      },
      '2025-11-26': goodValues,
    });
  });

  test('a missing one, named by its key', () => {
    const { total: _, ...bucket } = goodBucket;
    expect(daysOf(deviceCounts.readBodies([{ counts: [bucket] }], oneDay))).toEqual({
      '2025-11-25': {
        kind: 'quarantined',
        code: 'invalid_value',
        message: expect.stringMatching(/^total: /) as unknown,
      },
    });
  });
});

test.each([
  ['0', 0],
  ['9007199254740991', 9_007_199_254_740_991],
  ['1e3', 1000],
  ['7.0', 7],
  ['9007199254740991.0', 9_007_199_254_740_991],
  ['90071992547409910e-1', 9_007_199_254_740_991],
])('reads %s exactly', (json, value) => {
  const body: unknown = parseJson(
    `{"counts":[{"date":"2025-11-25T00:00:00.000Z","created":${json},"deleted":1,"total":17}]}`,
  );
  expect(daysOf(deviceCounts.readBodies([body], oneDay))).toEqual({
    '2025-11-25': devices(value, 1, 17),
  });
});

describe('a body that cannot be placed is refused as a whole', () => {
  test.each<[string, unknown, RegExp]>([
    ['no counts', { start: '2025-11-25T00:00:00.000Z' }, /^counts: /],
    ['counts that are no list', { counts: { '2025-11-25': goodBucket } }, /^counts: /],
    ['null', null, /^body: /],
    ['a list', [goodBucket], /^(body|counts): /],
    ['text', 'Service Unavailable', /^body: /],
    ['a bucket that is no map', { counts: [17] }, /^counts\.0: /],
    ['a bucket without a date', { counts: [{ created: 4, deleted: 1, total: 17 }] }, /^counts\.0\.date: /],
    [
      'a date in milliseconds',
      { counts: [{ ...goodBucket, date: 1_764_028_800_000 }] },
      /^counts\.0\.date: /,
    ],
    ['a date without a time', { counts: [{ ...goodBucket, date: '2025-11-25' }] }, /^counts\.0\.date: /],
    [
      'a time without a zone',
      { counts: [{ ...goodBucket, date: '2025-11-25T00:00:00.000' }] },
      /^counts\.0\.date: /,
    ],
    [
      'an impossible date',
      { counts: [{ ...goodBucket, date: '2025-02-30T00:00:00.000Z' }] },
      /^counts\.0\.date: /,
    ],
    [
      'a bucket off UTC midnight',
      { counts: [{ ...goodBucket, date: '2025-11-25T05:00:00.000Z' }] },
      /2025-11-25T05:00:00\.000Z does not start at UTC midnight/,
    ],
    [
      'a bucket one millisecond off',
      { counts: [{ ...goodBucket, date: '2025-11-25T00:00:00.001Z' }] },
      /does not start at UTC midnight/,
    ],
    ['a day that is there twice', { counts: [goodBucket, goodBucket] }, /2025-11-25 is in the body twice/],
    [
      'a window that starts later',
      { start: '2025-11-25T00:00:00.001Z', counts: [goodBucket] },
      /covers 2025-11-25T00:00:00\.001Z to \(not said\), but the request was for 2025-11-25 to 2025-11-25/,
    ],
    [
      'a window that ends earlier',
      { end: '2025-11-25T23:59:59.998Z', counts: [goodBucket] },
      /but the request was for/,
    ],
    [
      'the window of another day',
      { start: '2025-11-24T00:00:00.000Z', end: '2025-11-24T23:59:59.999Z', counts: [] },
      /but the request was for/,
    ],
    ['a window that is no time', { start: 'yesterday', counts: [] }, /^start: /],
    [
      'another day only, and no window',
      { counts: [{ ...goodBucket, date: '2025-11-24T00:00:00.000Z' }] },
      /none of its 1 buckets is of the days asked for, 2025-11-25 to 2025-11-25/,
    ],
    [
      'another day only, and half a window',
      {
        start: '2025-11-24T00:00:00.000Z',
        counts: [{ ...goodBucket, date: '2025-11-24T00:00:00.000Z' }],
      },
      /none of its 1 buckets/,
    ],
  ])('%s', (_, body, problem) => {
    expect(unplaceable(deviceCounts, [body], oneDay)).toMatch(problem);
  });
});

test.each([
  ['counts', '{"counts":[],"counts":[]}', 'counts: occurs twice'],
  [
    'the date of a bucket',
    '{"counts":[{"date":"2025-11-25T00:00:00.000Z","date":"2025-11-25T00:00:00.000Z","total":1}]}',
    'counts.0.date: occurs twice',
  ],
  ['its start', '{"start":"2025-11-25T00:00:00.000Z","start":1,"counts":[]}', 'start: occurs twice'],
])('a body that repeats %s cannot be placed', (_, json, problem) => {
  expect(unplaceable(deviceCounts, [parseJson(json)], oneDay)).toBe(problem);
});

test.each([
  ['-132', 'total: is negative (-132)'],
  ['1.5', 'total: is not a whole number (1.5)'],
  ['9007199254740992', 'total: is above 2^53 − 1 (9007199254740992)'],
  ['9007199254740993', 'total: is 9007199254740993, which cannot be stored without rounding'],
  ['"17"', 'total: is not a number but text'],
  ['null', 'total: is not a number but null'],
  ['[]', 'total: is not a number but a list'],
  ['{}', 'total: is not a number but a map'],
  ['true', 'total: is not a number but a boolean'],
  ['17,"total":17', 'total: occurs twice'],
])('says what is wrong with %s', (json, problem) => {
  const body = parseJson(
    `{"counts":[{"date":"2025-11-25T00:00:00.000Z","created":4,"deleted":1,"total":${json}}]}`,
  );
  expect(daysOf(deviceCounts.readBodies([body], oneDay))).toEqual({
    '2025-11-25': { kind: 'quarantined', code: 'invalid_value', message: problem },
  });
});

test('a repeated or inexact value that is not billed puts nothing in doubt', () => {
  const body = parseJson(
    `{"_x":1,"_x":2,"counts":[{"date":"2025-11-25T00:00:00.000Z","created":4,"deleted":1,"total":17,"mean":0.1e-400}]}`,
  );
  expect(daysOf(deviceCounts.readBodies([body], oneDay))).toEqual({ '2025-11-25': goodValues });
});

describe('a body that can be placed', () => {
  test('may have its keys in any order', () => {
    const bucket = { total: 17, deleted: 1, created: 4, date: '2025-11-25T00:00:00.000Z' };
    expect(daysOf(deviceCounts.readBodies([{ counts: [bucket] }], oneDay))).toEqual({
      '2025-11-25': goodValues,
    });
  });

  test('may say nothing of its window', () => {
    expect(daysOf(deviceCounts.readBodies([{ counts: [goodBucket] }], oneDay))).toEqual({
      '2025-11-25': goodValues,
    });
  });

  test('may cover more than was asked: buckets outside are dropped and counted, bad numbers among them too', () => {
    const body = {
      start: '2025-11-24T00:00:00.000Z',
      end: '2025-11-27T00:00:00.000Z',
      counts: [
        { ...goodBucket, date: '2025-11-24T00:00:00.000Z' },
        goodBucket,
        { date: '2025-11-26T00:00:00.000Z', created: -1 },
      ],
    };
    const reading = deviceCounts.readBodies([body], oneDay);
    expect(daysOf(reading)).toEqual({ '2025-11-25': goodValues });
    expect(reading.outsideBuckets).toBe(2);
  });

  test('may have buckets of other days only, if it states that it covers the window', () => {
    const body = {
      start: '2025-11-24T00:00:00.000Z',
      end: '2025-11-25T23:59:59.999Z',
      counts: [{ ...goodBucket, date: '2025-11-24T00:00:00.000Z' }],
    };
    const reading = deviceCounts.readBodies([body], oneDay);
    expect(daysOf(reading)).toEqual({});
    expect(reading.outsideBuckets).toBe(1);
  });

  test('may write UTC midnight in another zone', () => {
    const body = { counts: [{ ...goodBucket, date: '2025-11-24T19:00:00.000-05:00' }] };
    expect(daysOf(deviceCounts.readBodies([body], oneDay))).toEqual({ '2025-11-25': goodValues });
  });

  test('may list its days in any order, and leave some out', () => {
    const body = {
      counts: [
        { ...goodBucket, date: '2025-11-30T00:00:00.000Z' },
        { ...goodBucket, date: '2025-11-25T00:00:00.000Z' },
      ],
    };
    const reading = deviceCounts.readBodies([body], { from: '2025-11-25', to: '2025-11-30' });
    expect(Object.keys(daysOf(reading)).sort()).toEqual(['2025-11-25', '2025-11-30']);
  });

  test('may have no day at all', () => {
    expect(daysOf(deviceCounts.readBodies([{ counts: [] }], twoDays))).toEqual({});
  });
});
