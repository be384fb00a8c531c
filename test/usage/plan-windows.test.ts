import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addDays, daysFrom, eachDay } from '../../src/usage/day.ts';
import { countCells, type PagePlan, planPage, type Track } from '../../src/usage/plan.ts';
import { streams } from '../../src/usage/streams/catalog.ts';
import { at, policy, readDays, showSlices, track } from './tracks.ts';

const nowMs = at('2026-11-24T00:15:00.000Z');

function requestsOf(plan: PagePlan): number {
  const requestsPerSlice = new Map(streams.map(({ name, requests }) => [name, requests.length]));
  return plan.slices.reduce((sum, { stream }) => sum + (requestsPerSlice.get(stream) ?? Number.NaN), 0);
}

/** Every stream of some organizations, with nothing stored. */
function tracksOf(orgs: number, changes: Partial<Track>): Track[] {
  return Array.from({ length: orgs }, (_, index) => `5d000000000000000000000${index}`).flatMap((orgId) =>
    streams.map(({ name, windowDays }) => track({ orgId, stream: name, windowDays, ...changes })),
  );
}

describe('windows', () => {
  test.each([
    [
      'a month end',
      '2026-10-30',
      '2026-12-02T00:15:00.000Z',
      ['2026-11-01..2026-12-01', '2026-10-30..2026-10-31'],
    ],
    ['a year end', '2026-12-30', '2027-01-02T00:15:00.000Z', ['2026-12-30..2027-01-01']],
    ['a leap day', '2024-02-27', '2024-03-02T00:15:00.000Z', ['2024-02-27..2024-03-01']],
    ['exactly 31 days', '2026-10-24', '2026-11-24T00:15:00.000Z', ['2026-10-24..2026-11-23']],
    [
      '32 days',
      '2026-10-23',
      '2026-11-24T00:15:00.000Z',
      ['2026-10-24..2026-11-23', '2026-10-23..2026-10-23'],
    ],
  ])('across %s', (_, trackedFrom, now, windows) => {
    const plan = planPage([track({ trackedFrom })], { nowMs: at(now), policy });
    expect(plan.slices.map(({ window }) => `${window.from}..${window.to}`)).toEqual(windows);
  });

  test('reach no further than the days that are due, and span days that are not', () => {
    const settled = [
      { from: '2026-01-01', to: '2026-11-01' },
      { from: '2026-11-03', to: '2026-11-20' },
      { from: '2026-11-22', to: '2026-11-23' },
    ];
    expect(showSlices(planPage([track({ settled })], { nowMs, policy }))).toEqual([
      '2026-11-02..2026-11-21: 11-21 gap, 11-02 gap',
    ]);
  });

  test('of a page are in the order of their newest day, whatever the organization', () => {
    const plan = planPage(
      [
        track({ orgId: '5d0000000000000000000001', trackedFrom: '2026-10-20' }),
        track({ orgId: '5d0000000000000000000002', trackedFrom: '2026-11-23' }),
        track({ orgId: '5d0000000000000000000003', trackedFrom: '2026-11-20', trackedTo: '2026-11-21' }),
      ],
      { nowMs, policy },
    );
    expect(plan.slices.map(({ orgId, window }) => [orgId.at(-1), window.from, window.to])).toEqual([
      ['1', '2026-10-24', '2026-11-23'],
      ['2', '2026-11-23', '2026-11-23'],
      ['3', '2026-11-20', '2026-11-21'],
      ['1', '2026-10-20', '2026-10-23'],
    ]);
  });
});

describe('requests are organizations × (5 × windows of 31 days + days)', () => {
  test.each([
    [1, '2026-11-23', 6],
    [1, '2026-10-24', 36],
    [1, '2026-10-23', 42],
    [2, '2026-08-26', 210],
  ])('%d organizations from %s on: %d', (orgs, trackedFrom, requests) => {
    expect(requestsOf(planPage(tracksOf(orgs, { trackedFrom }), { nowMs, policy }))).toBe(requests);
  });

  test('re-reads in the same window cost the three ranged streams nothing', () => {
    const settled = [
      { from: '2026-01-01', to: '2026-10-23' },
      { from: '2026-10-25', to: '2026-11-15' },
      { from: '2026-11-17', to: '2026-11-19' },
    ];
    const plan = planPage(tracksOf(1, { settled }), { nowMs, policy });
    expect(requestsOf(plan)).toBe(5 + 6);
    expect(countCells(plan)).toBe(4 * 6);
  });
});

test('cells are counted with those that are given up', () => {
  const plan = planPage([track({ trackedFrom: '2026-08-24' })], { nowMs, policy });
  expect(plan.lost.map(({ day }) => day)).toEqual(['2026-08-25', '2026-08-24']);
  expect(countCells(plan)).toBe(92);
});

test('whatever is settled, windows hold each due day once, in order, and are never longer than allowed', () => {
  const ageInDays = fc.integer({ min: 1, max: 90 });
  fc.assert(
    fc.property(
      fc.uniqueArray(ageInDays, { maxLength: 90 }),
      fc.integer({ min: 1, max: 31 }),
      (ages, windowDays) => {
        const isDue = (day: string) => ages.includes(daysFrom(day, '2026-11-24'));
        const settled = eachDay({ from: '2026-08-26', to: '2026-11-23' })
          .filter((day) => !isDue(day))
          .map((day) => ({ from: day, to: day }));
        const plan = planPage([track({ trackedFrom: '2026-08-26', windowDays, settled })], { nowMs, policy });
        const due = ages.toSorted((a, b) => a - b).map((age) => addDays('2026-11-24', -age));
        expect(plan.slices.flatMap(({ days }) => days.map(({ day }) => day))).toEqual(due);
        expect(Object.keys(readDays(plan))).toHaveLength(ages.length);
        for (const { window, days } of plan.slices) {
          expect(daysFrom(window.from, window.to)).toBeLessThan(windowDays);
          expect([days[0]?.day, days.at(-1)?.day]).toEqual([window.to, window.from]);
        }
        expect(plan.slices.length).toBeLessThanOrEqual(Math.ceil(90 / windowDays));
      },
    ),
  );
});
