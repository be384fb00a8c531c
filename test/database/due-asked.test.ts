/** What is read because a person asked for it. */
import { describe, expect, test } from 'vitest';
import type { Ask, PagePlan } from '../../src/usage/plan.ts';
import {
  cell,
  fateOf,
  type KnownCell,
  readDays,
  showSlices,
  type Track,
  track,
  verified,
} from '../usage/tracks.ts';
import { useLedger } from './ledger.ts';
import { planTracks } from './plans.ts';

const ledger = useLedger();

const now = '2026-11-24T09:30:00.000Z';

function backfill(from: string, to: string, changes: Partial<Ask> = {}): Ask {
  return { range: { from, to }, reason: 'backfill', force: false, pastHorizon: false, ...changes };
}

function planAsked(ask: Ask, changes: Partial<Track> = {}): Promise<PagePlan> {
  return planTracks(ledger, [track({ trackedFrom: '2026-11-23', ...changes })], { now, ask });
}

describe('a backfill', () => {
  test('reads days from before anything was tracked', async () => {
    expect(showSlices(await planAsked(backfill('2026-11-01', '2026-11-03')))).toEqual([
      '2026-11-01..2026-11-03: 11-03 backfill, 11-02 backfill, 11-01 backfill',
    ]);
  });

  test('does not reach into today', async () => {
    expect(readDays(await planAsked(backfill('2026-11-22', '2026-11-30')))).toEqual({
      '2026-11-23': 'backfill',
      '2026-11-22': 'backfill',
    });
  });

  test('does not ask for days before the organization was created', async () => {
    expect(
      readDays(await planAsked(backfill('2026-11-01', '2026-11-20'), { createdOn: '2026-11-19' })),
    ).toEqual({
      '2026-11-20': 'backfill',
      '2026-11-19': 'backfill',
    });
  });

  test('has nothing to ask of an organization created after it', async () => {
    const plan = await planAsked(backfill('2026-11-01', '2026-11-05'), { createdOn: '2026-11-19' });
    expect(plan).toEqual({ slices: [], closed: [], unreadable: 0 });
  });

  test('skips what is stored, whether its row was settled or only not due', async () => {
    const plan = await planAsked(backfill('2026-11-10', '2026-11-14'), {
      settled: [{ from: '2026-11-10', to: '2026-11-12' }],
      cells: [verified('2026-11-13', 'final', '2026-11-22T00:15:00.000Z')],
    });
    expect(readDays(plan)).toEqual({ '2026-11-14': 'backfill' });
  });

  test('reads stored days when it is forced to', async () => {
    const plan = await planAsked(backfill('2026-11-10', '2026-11-14', { force: true }), {
      settled: [{ from: '2026-11-10', to: '2026-11-12' }],
      cells: [verified('2026-11-13', 'final', '2026-11-22T00:15:00.000Z')],
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
      'stored, and a checkpoint has passed since',
      verified('2026-11-20', 'stored', '2026-11-21T00:15:00.000Z'),
      'read: backfill',
    ],
    [
      'in backoff after a failure',
      cell('2026-11-20', 'missing', '2026-11-25T00:00:00.000Z'),
      'read: backfill',
    ],
    ['quarantined', cell('2026-11-20', 'missing', '2026-11-25T00:00:00.000Z'), 'read: backfill'],
    [
      'left out, before its next checkpoint',
      verified('2026-11-20', 'missing', '2026-11-24T09:00:00.000Z'),
      'read: backfill',
    ],
    ['accepted', cell('2026-11-20', 'accepted'), 'read: backfill'],
    ['unavailable', cell('2026-11-20', 'unavailable'), 'read: backfill'],
  ])('a cell that is %s: %s', async (_, known, expected) => {
    expect(fateOf(await planAsked(backfill('2026-11-20', '2026-11-20'), { cells: [known] }))).toBe(expected);
  });
});

describe('a backfill past the horizon, which begins on 2026-08-26', () => {
  test('leaves those days out and says how many', async () => {
    const plan = await planAsked(backfill('2026-08-20', '2026-08-27'));
    expect(showSlices(plan)).toEqual(['2026-08-26..2026-08-27: 08-27 backfill, 08-26 backfill']);
    expect(plan.unreadable).toBe(6);
    expect(plan.closed).toEqual([]);
  });

  test('asks for them when told to', async () => {
    const plan = await planAsked(backfill('2026-08-20', '2026-08-21', { pastHorizon: true }));
    expect(showSlices(plan)).toEqual(['2026-08-20..2026-08-21: 08-21 backfill, 08-20 backfill']);
    expect(plan.unreadable).toBe(0);
  });

  test.each([
    ['settled', { settled: [{ from: '2026-08-20', to: '2026-08-20' }] }],
    ['listed', { cells: [verified('2026-08-20', 'final', '2026-08-24T00:15:00.000Z')] }],
  ])('neither asks for nor counts a day that is stored (%s)', async (_, changes) => {
    for (const force of [false, true]) {
      const plan = await planAsked(backfill('2026-08-20', '2026-08-20', { force }), changes);
      expect(plan).toEqual({ slices: [], closed: [], unreadable: 0 });
    }
    const told = await planAsked(backfill('2026-08-20', '2026-08-20', { pastHorizon: true }), changes);
    expect(told).toEqual({ slices: [], closed: [], unreadable: 0 });
  });
});

describe('a day named on the command line', () => {
  const asked = (day: string) => backfill(day, day, { reason: 'asked', force: true });

  test('is read though it is stored and not due', async () => {
    const plan = await planAsked(asked('2026-11-15'), {
      settled: [{ from: '2026-11-01', to: '2026-11-23' }],
    });
    expect(readDays(plan)).toEqual({ '2026-11-15': 'asked' });
  });

  test('is the only one that is read, though others are due', async () => {
    expect(readDays(await planAsked(asked('2026-11-22'), { trackedFrom: '2026-11-01' }))).toEqual({
      '2026-11-22': 'asked',
    });
  });
});
