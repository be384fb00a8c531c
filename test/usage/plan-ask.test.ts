import { describe, expect, test } from 'vitest';
import { type Ask, type KnownCell, openRange, planPage, type Track } from '../../src/usage/plan.ts';
import { at, cell, fateOf, held, policy, readDays, showSlices, track } from './tracks.ts';

const nowMs = at('2026-11-24T09:30:00.000Z');

function backfill(from: string, to: string, changes: Partial<Ask> = {}): Ask {
  return { range: { from, to }, reason: 'backfill', force: false, pastHorizon: false, ...changes };
}

function planAsked(ask: Ask, changes: Partial<Track> = {}) {
  return planPage([track({ trackedFrom: '2026-11-23', ...changes })], { nowMs, policy, ask });
}

describe('a backfill', () => {
  test('reads days from before anything was promised', () => {
    expect(showSlices(planAsked(backfill('2026-11-01', '2026-11-03')))).toEqual([
      '2026-11-01..2026-11-03: 11-03 backfill, 11-02 backfill, 11-01 backfill',
    ]);
  });

  test('does not reach into today', () => {
    expect(readDays(planAsked(backfill('2026-11-22', '2026-11-30')))).toEqual({
      '2026-11-23': 'backfill',
      '2026-11-22': 'backfill',
    });
  });

  test('does not ask for days before the organization was created', () => {
    expect(readDays(planAsked(backfill('2026-11-01', '2026-11-20'), { createdOn: '2026-11-19' }))).toEqual({
      '2026-11-20': 'backfill',
      '2026-11-19': 'backfill',
    });
  });

  test('has nothing to ask of an organization created after it', () => {
    const plan = planAsked(backfill('2026-11-01', '2026-11-05'), { createdOn: '2026-11-19' });
    expect(plan).toEqual({ slices: [], lost: [], waiting: [], pastHorizon: 0 });
  });

  test('skips what is held, whether its row was settled or only not due', () => {
    const plan = planAsked(backfill('2026-11-10', '2026-11-14'), {
      settled: [{ from: '2026-11-10', to: '2026-11-12' }],
      cells: [held('2026-11-13', 'final', '2026-11-22T00:15:00.000Z')],
    });
    expect(readDays(plan)).toEqual({ '2026-11-14': 'backfill' });
  });

  test('reads held days when it is forced to', () => {
    const plan = planAsked(backfill('2026-11-10', '2026-11-14', { force: true }), {
      settled: [{ from: '2026-11-10', to: '2026-11-12' }],
      cells: [held('2026-11-13', 'final', '2026-11-22T00:15:00.000Z')],
    });
    expect(Object.keys(readDays(plan))).toEqual([
      '2026-11-14',
      '2026-11-13',
      '2026-11-12',
      '2026-11-11',
      '2026-11-10',
    ]);
  });

  test.each<[string, KnownCell, string]>([
    [
      'held, and a checkpoint has passed since',
      held('2026-11-20', 'loaded', '2026-11-21T00:15:00.000Z'),
      'read: backfill',
    ],
    [
      'in backoff after a failure',
      cell('2026-11-20', 'failed', { nextAttemptAtMs: at('2026-11-25T00:00:00.000Z') }),
      'read: backfill',
    ],
    [
      'quarantined',
      cell('2026-11-20', 'quarantined', { nextAttemptAtMs: at('2026-11-25T00:00:00.000Z') }),
      'read: backfill',
    ],
    [
      'absent, before its next checkpoint',
      cell('2026-11-20', 'absent', { verifiedAtMs: at('2026-11-24T09:00:00.000Z') }),
      'read: backfill',
    ],
    ['waived', cell('2026-11-20', 'waived'), 'read: backfill'],
    ['given up', cell('2026-11-20', 'unavailable'), 'read: backfill'],
  ])('a cell that is %s: %s', (_, known, expected) => {
    expect(fateOf(planAsked(backfill('2026-11-20', '2026-11-20'), { cells: [known] }))).toBe(expected);
  });
});

describe('a backfill past the horizon, which begins on 2026-08-26', () => {
  test('leaves those days out and says how many', () => {
    const plan = planAsked(backfill('2026-08-20', '2026-08-27'));
    expect(showSlices(plan)).toEqual(['2026-08-26..2026-08-27: 08-27 backfill, 08-26 backfill']);
    expect(plan.pastHorizon).toBe(6);
    expect(plan.lost).toEqual([]);
  });

  test('asks for them when told to', () => {
    const plan = planAsked(backfill('2026-08-20', '2026-08-21', { pastHorizon: true }));
    expect(showSlices(plan)).toEqual(['2026-08-20..2026-08-21: 08-21 backfill, 08-20 backfill']);
    expect(plan.pastHorizon).toBe(0);
  });

  test.each([
    ['settled', { settled: [{ from: '2026-08-20', to: '2026-08-20' }] }],
    ['listed', { cells: [held('2026-08-20', 'final', '2026-08-24T00:15:00.000Z')] }],
  ])('neither asks for nor counts a day that is held (%s)', (_, changes) => {
    for (const force of [false, true]) {
      const plan = planAsked(backfill('2026-08-20', '2026-08-20', { force }), changes);
      expect(plan).toEqual({ slices: [], lost: [], waiting: [], pastHorizon: 0 });
    }
    const told = planAsked(backfill('2026-08-20', '2026-08-20', { pastHorizon: true }), changes);
    expect(told).toEqual({ slices: [], lost: [], waiting: [], pastHorizon: 0 });
  });
});

describe('a day named on the command line', () => {
  const asked = (day: string) => backfill(day, day, { reason: 'asked', force: true });

  test('is read though it is held and not due', () => {
    const plan = planAsked(asked('2026-11-15'), { settled: [{ from: '2026-11-01', to: '2026-11-23' }] });
    expect(readDays(plan)).toEqual({ '2026-11-15': 'asked' });
  });

  test('is the only one that is read, though others are due', () => {
    expect(readDays(planAsked(asked('2026-11-22'), { trackedFrom: '2026-11-01' }))).toEqual({
      '2026-11-22': 'asked',
    });
  });
});

describe('the days the ledger is to be read for', () => {
  test.each<[string, Partial<Track>, Ask | undefined, [string, string] | null]>([
    ['all that are promised', { trackedFrom: '2026-11-01' }, undefined, ['2026-11-01', '2026-11-23']],
    [
      'none that are settled for good',
      { trackedFrom: '2026-01-01', expiredTo: '2026-08-26' },
      undefined,
      ['2026-08-26', '2026-11-23'],
    ],
    [
      'none after the last promised',
      { trackedFrom: '2026-11-01', trackedTo: '2026-11-10' },
      undefined,
      ['2026-11-01', '2026-11-10'],
    ],
    [
      'none after the deletion',
      { trackedFrom: '2026-11-01', removedOn: '2026-11-11' },
      undefined,
      ['2026-11-01', '2026-11-11'],
    ],
    ['none at all before the first day is over', { trackedFrom: '2026-11-24' }, undefined, null],
    [
      'those asked for, promised or not',
      { trackedFrom: '2026-11-23', expiredTo: '2026-08-26' },
      backfill('2026-05-01', '2026-06-01'),
      ['2026-05-01', '2026-06-01'],
    ],
  ])('%s', (_, changes, ask, range) => {
    expect(openRange(track(changes), { nowMs, policy, ask })).toEqual(
      range === null ? null : { from: range[0], to: range[1] },
    );
  });
});
