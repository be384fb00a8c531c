/** Due cells become as few requests as possible. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { addDays, countDays } from '../../src/usage/day.ts';
import { planSlices } from '../../src/usage/plan.ts';
import { streamNames, streams } from '../../src/usage/streams/catalog.ts';

const A = '5d000000000000000000000a';
const B = '5d000000000000000000000b';

const cells = (days: readonly string[], stream = 'device_counts', orgId = A) =>
  days.map((day) => ({ orgId, stream, day }));
const daysTo = (to: string, count: number) => Array.from({ length: count }, (_, age) => addDays(to, -age));
const formatSlices = (slices: ReturnType<typeof planSlices>) =>
  slices.map(({ range, days }) => `${range.from}..${range.to} ${days.length}`);

test.each([
  ['one day', ['2026-11-23'], ['2026-11-23..2026-11-23 1']],
  ['31 days', daysTo('2026-11-23', 31), ['2026-10-24..2026-11-23 31']],
  ['32 days', daysTo('2026-11-23', 32), ['2026-10-24..2026-11-23 31', '2026-10-23..2026-10-23 1']],
  ['a leap day', daysTo('2024-03-01', 4), ['2024-02-27..2024-03-01 4']],
  ['days apart, with those between', ['2026-11-02', '2026-11-21'], ['2026-11-02..2026-11-21 2']],
  ['days 31 apart', ['2026-10-21', '2026-11-21'], ['2026-11-21..2026-11-21 1', '2026-10-21..2026-10-21 1']],
])('slices of %s', (_, days, slices) => {
  expect(formatSlices(planSlices(cells(days)))).toEqual(slices);
});

test('the newest slices come first, then by organization, then in the order of the streams', () => {
  const due = [
    ...streamNames.toReversed().flatMap((stream) => cells(['2026-11-23'], stream, B)),
    ...cells(['2026-11-23'], 'payload_totals', A),
    ...cells(['2026-11-24'], 'device_counts', B),
  ];
  expect(planSlices(due).map(({ orgId, stream, range }) => `${range.to} ${orgId.at(-1)} ${stream}`)).toEqual([
    '2026-11-24 b device_counts',
    '2026-11-23 a payload_totals',
    '2026-11-23 b notebook_minutes',
    '2026-11-23 b payload_sources',
    '2026-11-23 b payload_totals',
    '2026-11-23 b payload_hours',
  ]);
});

test('slices have each due day once, newest first, and are never longer than allowed', () => {
  const ages = fc.uniqueArray(fc.integer({ min: 1, max: 90 }), { maxLength: 90 });
  fc.assert(
    fc.property(ages, fc.constantFrom(...streams), (dueAges, { name, maxDays }) => {
      const daysOf = (ages: readonly number[]) => ages.map((age) => addDays('2026-11-24', -age));
      const slices = planSlices(cells(daysOf(dueAges), name));
      const due = daysOf(dueAges.toSorted((a, b) => a - b));
      expect(slices.flatMap(({ days }) => days)).toEqual(due);
      for (const { range, days } of slices) {
        expect(countDays(range.from, range.to)).toBeLessThan(maxDays);
        expect([days[0], days.at(-1)]).toEqual([range.to, range.from]);
      }
      for (const [index, { range }] of slices.slice(1).entries()) {
        const newer = slices[index];
        // Otherwise the newer slice could have covered this one.
        expect(countDays(range.to, newer?.range.to ?? '')).toBeGreaterThanOrEqual(maxDays);
      }
    }),
  );
});
