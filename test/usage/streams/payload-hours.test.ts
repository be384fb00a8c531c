import { describe, expect, test } from 'vitest';
import { payloadHours } from '../../../src/usage/streams/payload-hours.ts';
import { daysIn, ONE_DAY, TWO_DAYS } from './bodies.ts';

const bucket = (date: string, value: unknown) => ({ date, value });
const hourOf = (hour: number, day = '2025-11-25') => `${day}T${String(hour).padStart(2, '0')}:00:00.000Z`;
/** The 24 buckets of a day, with a value of each hour. */
const dayOf = (valueOf: (hour: number) => unknown, day?: string) =>
  Array.from({ length: 24 }, (_, hour) => bucket(hourOf(hour, day), valueOf(hour)));
const bodies = (...several: readonly (readonly unknown[])[]) => several.map((counts) => ({ counts }));
/** The same counts in all three bodies. */
const same = (counts: readonly unknown[]) => bodies(counts, counts, counts);

test('a day is 24 numbers of each kind, whatever the order of its buckets', () => {
  const counts = [
    dayOf((hour) => hour),
    dayOf((hour) => hour + 100).toReversed(),
    dayOf((hour) => hour * 2 ** 32),
  ];
  const each = Array.from({ length: 24 }, (_, hour) => hour);
  expect(daysIn(payloadHours, bodies(...counts))).toEqual({
    '2025-11-25': [each, each.map((hour) => hour + 100), each.map((hour) => hour * 2 ** 32)],
  });
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
  [undefined, 'hours_billable_count 03:00: value: is missing'],
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
  ['twice', [bucket(hourOf(5), 1), bucket(hourOf(5), 1)], /T05:00:00.000Z is in the body twice$/],
])('hours %s make the answer unplaceable', (_, counts, message) => {
  expect(daysIn(payloadHours, same(counts))).toMatch(message);
});

test('hours of other days are dropped and counted, also where the window has no such hour; so are unknown keys', () => {
  const counts = [
    ...dayOf(() => 1).slice(0, 22),
    { ...bucket(hourOf(22, '2025-11-27'), 9), archived: 3, _links: {} },
  ];
  expect(payloadHours.readBodies(same(counts), TWO_DAYS)).toMatchObject({ outsideBuckets: 3 });
  const [[, ...named] = []] = Object.values(daysIn(payloadHours, same(counts), TWO_DAYS)) as unknown[][];
  expect(named).toContain('hours_all_count 22:00');
  const known = [{ ...bucket(hourOf(7), 1), archived: 3, _links: {} }];
  const unknown = same(known).map((body) => ({ ...body, granularity: 1 }));
  expect(payloadHours.readBodies(unknown, TWO_DAYS).unknownKeys).toBe(6);
});

describe('an answer by day instead of by hour', () => {
  const midnight = (day: string, value = 7) => bucket(hourOf(0, day), value);

  test.each<[string, unknown[], typeof ONE_DAY, (string | null)[]]>([
    [
      'two midnights',
      [midnight('2025-11-25'), midnight('2025-11-26')],
      TWO_DAYS,
      ['not_hourly', 'not_hourly'],
    ],
    ['one of two days', [midnight('2025-11-26')], TWO_DAYS, ['not_hourly']],
    [
      'another hour anywhere',
      [midnight('2025-11-25'), bucket(hourOf(7, '2025-11-26'), 1)],
      TWO_DAYS,
      [null, null],
    ],
    ['no day at all', [], TWO_DAYS, []],
    ['one midnight where one day was asked for', [midnight('2025-11-25')], ONE_DAY, [null]],
  ])('with %s is quarantined or not', (_, counts, window, doubts) => {
    const { days } = payloadHours.readBodies(same(counts), window);
    const found = [...days.values()].map((day) => (day.kind === 'named' ? null : day.code));
    expect(found).toEqual(doubts);
  });
});
