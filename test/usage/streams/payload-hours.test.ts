import { describe, expect, test } from 'vitest';
import { nameOf } from '../../../src/usage/numbers.ts';
import { payloadHours } from '../../../src/usage/streams/payload-hours.ts';
import type { DayReading } from '../../../src/usage/streams/stream.ts';
import { daysOf, unplaceable } from './bodies.ts';

const oneDay = { from: '2025-11-25', to: '2025-11-25' };
const twoDays = { from: '2025-11-25', to: '2025-11-26' };
const window = { start: '2025-11-25T00:00:00.000Z', end: '2025-11-26T23:59:59.999Z' };

const bucket = (date: string, value: unknown) => ({ date, value });
const hourOf = (hour: number, day = '2025-11-25') => `${day}T${String(hour).padStart(2, '0')}:00:00.000Z`;
/** The 24 buckets of a day, with a value of each hour. */
const dayOf = (valueOf: (hour: number) => unknown, day?: string) =>
  Array.from({ length: 24 }, (_, hour) => bucket(hourOf(hour, day), valueOf(hour)));
const body = (counts: readonly unknown[]) => ({ counts });
const bodies = (counts: readonly unknown[]) => [body(counts), body(counts), body(counts)];

const numbersOf = (reading: DayReading | undefined) => (reading?.kind === 'named' ? reading.numbers : {});
const missingOf = (reading: DayReading | undefined) =>
  reading?.kind === 'named' ? reading.leftOut.map(nameOf) : [];

test('asks for what the totals ask for, by hour', () => {
  expect(payloadHours.requests).toEqual([
    { action: 'payloadCountsBreakdown', query: { resolution: '3600000' } },
    { action: 'payloadCountsBreakdown', query: { resolution: '3600000', includeNonBillable: 'true' } },
    {
      action: 'payloadCountsBreakdown',
      query: { resolution: '3600000', asBytes: 'true', includeNonBillable: 'true' },
    },
  ]);
});

test('a day is 24 numbers of each kind, whatever the order of its buckets', () => {
  const reading = payloadHours.readBodies(
    [
      body(dayOf((hour) => hour)),
      body(dayOf((hour) => hour + 100).toReversed()),
      body(dayOf((hour) => hour * 4_294_967_296)),
    ],
    oneDay,
  );
  const each = Array.from({ length: 24 }, (_, hour) => hour);
  expect(numbersOf(reading.days.get('2025-11-25'))).toEqual({
    hours_billable_count: each,
    hours_all_count: each.map((hour) => hour + 100),
    hours_all_bytes: each.map((hour) => hour * 4_294_967_296),
  });
  expect(reading).toMatchObject({ outsideBuckets: 0, unknownKeys: 0 });
});

describe('hours that are left out', () => {
  test('read 0 and are named, each in the number that lacks it', () => {
    const lacking = dayOf(() => 7).filter((_, hour) => hour !== 5);
    const reading = payloadHours.readBodies([body(lacking), body(dayOf(() => 8)), body(lacking)], oneDay);
    const day = reading.days.get('2025-11-25');
    expect(missingOf(day)).toEqual(['hours_billable_count 05:00', 'hours_all_bytes 05:00']);
    const at5 = Object.values(numbersOf(day)).map((values) => (values as readonly number[])[5]);
    expect(at5).toEqual([0, 8, 0]);
  });

  test('all of a day are no reading of the day', () => {
    const reading = payloadHours.readBodies(bodies(dayOf(() => 1)), twoDays);
    expect(Object.keys(daysOf(reading))).toEqual(['2025-11-25']);
  });
});

describe('a number that cannot be billed quarantines its day alone', () => {
  test.each([
    [-1, 'hours_billable_count 03:00: value: is negative (-1)'],
    [1.5, 'hours_billable_count 03:00: value: is not a whole number (1.5)'],
    ['7', 'hours_billable_count 03:00: value: is not a number but text'],
    [undefined, 'hours_billable_count 03:00: value: is missing'],
  ])('%s', (value, message) => {
    const counts = [...dayOf((hour) => (hour === 3 ? value : 1)), ...dayOf(() => 2, '2025-11-26')];
    const days = daysOf(payloadHours.readBodies(bodies(counts), twoDays));
    expect(days['2025-11-25']).toEqual({ kind: 'quarantined', code: 'invalid_value', message });
    expect(days['2025-11-26']).toMatchObject({ kind: 'named' });
  });

  test('hours whose sum cannot be stored', () => {
    const days = daysOf(payloadHours.readBodies(bodies(dayOf(() => Number.MAX_SAFE_INTEGER)), oneDay));
    expect(days['2025-11-25']).toMatchObject({
      kind: 'quarantined',
      message: 'hours_billable_count: the hours add up to more than 2^53 - 1',
    });
  });
});

describe('hours that cannot be placed', () => {
  test.each<[string, unknown, RegExp]>([
    [
      'off the hour',
      body([bucket('2025-11-25T05:30:00.000Z', 1)]),
      /05:30:00.000Z does not start on the hour/,
    ],
    [
      'twice',
      body([...dayOf(() => 1), bucket(hourOf(5), 1)]),
      /^hour 2025-11-25T05:00:00.000Z is in the body twice$/,
    ],
    [
      'of other days only',
      body(dayOf(() => 1, '2025-11-27')),
      /^none of its 24 buckets is of the days asked for/,
    ],
    [
      'of a window that was not asked for',
      { start: hourOf(0), end: hourOf(1), counts: [] },
      /^the body covers/,
    ],
    ['in no list', { type: 'NotFound' }, /^counts: /],
  ])('%s make the answer unplaceable', (_, given, message) => {
    const good = body(dayOf(() => 1));
    expect(unplaceable(payloadHours, [good, given, good], oneDay)).toMatch(message);
  });
});

test('hours of other days are dropped and counted, also where the window has no such hour', () => {
  const counts = [...dayOf(() => 1).slice(0, 20), bucket(hourOf(22, '2025-11-27'), 9)];
  const reading = payloadHours.readBodies(bodies(counts), twoDays);
  expect(reading.outsideBuckets).toBe(3);
  expect(missingOf(reading.days.get('2025-11-25'))).toContain('hours_all_count 22:00');
});

test('unknown keys are counted once, in bodies and in buckets', () => {
  const counts = [{ ...bucket(hourOf(7), 1), archived: 3, _links: {} }];
  const reading = payloadHours.readBodies(
    bodies(counts).map((each) => ({ ...each, ...window, granularity: 1 })),
    twoDays,
  );
  expect(reading.unknownKeys).toBe(6);
});

describe('an answer by day instead of by hour', () => {
  const midnight = (day: string) => bucket(hourOf(0, day), 7);
  const doubtOf = (counts: readonly unknown[], window = twoDays) =>
    [...payloadHours.readBodies(bodies(counts), window).days.values()].map((day) =>
      day.kind === 'named' ? (day.doubt?.code ?? null) : day.kind,
    );

  test.each<[string, unknown[], (string | null)[]]>([
    [
      'a midnight of each day is doubted',
      [midnight('2025-11-25'), midnight('2025-11-26')],
      ['not_hourly', 'not_hourly'],
    ],
    ['so is one of one day', [midnight('2025-11-26')], ['not_hourly']],
    [
      'one other hour anywhere shows that hours came',
      [midnight('2025-11-25'), bucket(hourOf(7, '2025-11-26'), 1)],
      [null, null],
    ],
    [
      'another day may be quarantined',
      [midnight('2025-11-25'), bucket(hourOf(0, '2025-11-26'), -1)],
      ['not_hourly', 'quarantined'],
    ],
    ['no day at all is left out', [], []],
  ])('%s', (_, counts, doubts) => {
    expect(doubtOf(counts)).toEqual(doubts);
  });

  test('a single day may have had payloads at midnight only', () => {
    expect(doubtOf([midnight('2025-11-25')], oneDay)).toEqual([null]);
  });
});
