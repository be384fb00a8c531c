import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addDays, daysFrom, eachDay } from '../../src/usage/day.ts';
import { countCells, type DueTrack, type PagePlan, planPage } from '../../src/usage/plan.ts';
import { streams, usualStreamNames } from '../../src/usage/streams/catalog.ts';
import { at, dueTrack, policy, readDays, showSlices } from './tracks.ts';

const nowMs = at('2026-11-24T00:15:00.000Z');

function requestsOf(plan: PagePlan): number {
  const requestsPerSlice = new Map(streams.map(({ name, requests }) => [name, requests.length]));
  return plan.slices.reduce((sum, { stream }) => sum + (requestsPerSlice.get(stream) ?? Number.NaN), 0);
}

const YESTERDAY = '2026-11-23';

/** The usual streams of some organizations, nothing read. */
function tracksOf(orgs: number, changes: Partial<DueTrack>): DueTrack[] {
  return Array.from({ length: orgs }, (_, index) => `5d000000000000000000000${index}`).flatMap((orgId) =>
    usualStreamNames.map((stream) => dueTrack({ orgId, stream, ...changes })),
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
    const unread = [{ from: trackedFrom, to: addDays(now.slice(0, 10), -1) }];
    const plan = planPage([dueTrack({ unread })], { nowMs: at(now), policy });
    expect(plan.slices.map(({ window }) => `${window.from}..${window.to}`)).toEqual(windows);
  });

  test('reach no further than the days that are due, and span days that are not', () => {
    const unread = [
      { from: '2026-11-02', to: '2026-11-02' },
      { from: '2026-11-21', to: '2026-11-21' },
    ];
    expect(showSlices(planPage([dueTrack({ unread })], { nowMs, policy }))).toEqual([
      '2026-11-02..2026-11-21: 11-21 gap, 11-02 gap',
    ]);
  });

  test('of a page are in the order of their newest day, whatever the organization', () => {
    const plan = planPage(
      [
        dueTrack({ orgId: '5d0000000000000000000001', unread: [{ from: '2026-10-20', to: YESTERDAY }] }),
        dueTrack({ orgId: '5d0000000000000000000002', unread: [{ from: '2026-11-23', to: YESTERDAY }] }),
        dueTrack({ orgId: '5d0000000000000000000003', unread: [{ from: '2026-11-20', to: '2026-11-21' }] }),
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
    expect(
      requestsOf(
        planPage(tracksOf(orgs, { unread: [{ from: trackedFrom, to: YESTERDAY }] }), { nowMs, policy }),
      ),
    ).toBe(requests);
  });

  test('re-reads in the same window cost the three ranged streams nothing', () => {
    const unread = [{ from: '2026-11-20', to: YESTERDAY }];
    const stored = ['2026-10-24', '2026-11-16'].map((day) => ({ from: day, to: day }));
    const plan = planPage(tracksOf(1, { unread, stored }), { nowMs, policy });
    expect(requestsOf(plan)).toBe(5 + 6);
    expect(countCells(plan)).toBe(4 * 6);
  });
});

test('cells are counted with those that are closed', () => {
  const unread = [{ from: '2026-08-24', to: YESTERDAY }];
  const plan = planPage([dueTrack({ unread })], { nowMs, policy });
  expect(plan.closed.map(({ day }) => day)).toEqual(['2026-08-24', '2026-08-25']);
  expect(countCells(plan)).toBe(92);
});

test('whatever is due, windows hold each due day once, in order, and are never longer than allowed', () => {
  const ageInDays = fc.integer({ min: 1, max: 90 });
  fc.assert(
    fc.property(
      fc.uniqueArray(ageInDays, { maxLength: 90 }),
      fc.constantFrom(...streams),
      (ages, { name, windowDays }) => {
        const isDue = (day: string) => ages.includes(daysFrom(day, '2026-11-24'));
        const unread = eachDay({ from: '2026-08-26', to: YESTERDAY })
          .filter(isDue)
          .map((day) => ({ from: day, to: day }));
        const plan = planPage([dueTrack({ stream: name, unread })], { nowMs, policy });
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
