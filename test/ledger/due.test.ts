/** Whole tracks: what is due over days and weeks, and in which windows it is read. */
import { describe, expect, test } from 'vitest';
import { eachDay } from '../../src/usage/day.ts';
import { type PagePlan, planPage } from '../../src/usage/plan.ts';
import { nextCheckpointMs } from '../../src/usage/policy.ts';
import { at, dueTrack, policy, readDays, showSlices, type Track, track, verified } from '../usage/tracks.ts';
import { useLedger } from './ledger.ts';
import { planTracks } from './plans.ts';

const ledger = useLedger();

function planAt(now: string, ...tracks: readonly Track[]): Promise<PagePlan> {
  return planTracks(ledger, tracks, { now });
}

describe('the first days', () => {
  test('a first start reads one day', async () => {
    const plan = await planAt('2026-11-24T09:30:00.000Z', track({ trackedFrom: '2026-11-23' }));
    expect(showSlices(plan)).toEqual(['2026-11-23..2026-11-23: 11-23 new']);
  });

  test('an organization created today has nothing to read yet', async () => {
    const plan = await planAt('2026-11-24T09:30:00.000Z', track({ trackedFrom: '2026-11-24' }));
    expect(plan).toEqual({ slices: [], closed: [], unreadable: 0 });
  });

  test('an organization found late is read from its creation day', async () => {
    const plan = await planAt('2026-11-24T09:30:00.000Z', track({ trackedFrom: '2026-11-20' }));
    expect(showSlices(plan)).toEqual(['2026-11-20..2026-11-23: 11-23 new, 11-22 gap, 11-21 gap, 11-20 gap']);
  });

  test('a stream enabled later starts yesterday while the others go on', async () => {
    const plan = await planAt(
      '2026-11-24T09:30:00.000Z',
      track({ settled: [{ from: '2026-01-01', to: '2026-11-23' }] }),
      track({ stream: 'payload_sources', trackedFrom: '2026-11-23' }),
    );
    expect(plan.slices).toEqual([
      {
        orgId: '5d0000000000000000000001',
        stream: 'payload_sources',
        window: { from: '2026-11-23', to: '2026-11-23' },
        days: [{ day: '2026-11-23', reason: 'new' }],
      },
    ]);
  });

  test('a wake-up with nothing due plans nothing', async () => {
    const settled = [{ from: '2026-01-01', to: '2026-11-23' }];
    expect(await planAt('2026-11-24T09:30:00.000Z', track({ settled }))).toEqual({
      slices: [],
      closed: [],
      unreadable: 0,
    });
  });
});

describe('a night with daily wake-ups at 00:15', () => {
  const cells = [
    verified('2026-11-22', 'stored', '2026-11-23T00:15:04.000Z'),
    verified('2026-11-21', 'stored', '2026-11-23T00:15:04.000Z'),
    verified('2026-11-20', 'stored', '2026-11-23T00:15:04.000Z'),
    verified('2026-11-19', 'final', '2026-11-23T00:15:04.000Z'),
    verified('2026-11-16', 'final', '2026-11-20T00:15:04.000Z'),
    verified('2026-10-24', 'final', '2026-11-01T00:15:04.000Z'),
  ];
  const settled = [
    { from: '2026-01-01', to: '2026-10-23' },
    { from: '2026-10-25', to: '2026-11-15' },
    { from: '2026-11-17', to: '2026-11-18' },
  ];

  test('re-reads the days whose checkpoint has passed in one window, and loads only those', async () => {
    expect(showSlices(await planAt('2026-11-24T00:15:00.000Z', track({ cells, settled })))).toEqual([
      '2026-10-24..2026-11-23: 11-23 new, 11-22 checkpoint, 11-21 checkpoint, 11-20 checkpoint, 11-16 checkpoint, 10-24 checkpoint',
    ]);
  });

  test('asks day by day for the stream whose bodies have no dates', async () => {
    const plan = await planAt(
      '2026-11-24T00:15:00.000Z',
      track({ stream: 'payload_sources', cells, settled }),
    );
    expect(showSlices(plan)).toEqual([
      '2026-11-23..2026-11-23: 11-23 new',
      '2026-11-22..2026-11-22: 11-22 checkpoint',
      '2026-11-21..2026-11-21: 11-21 checkpoint',
      '2026-11-20..2026-11-20: 11-20 checkpoint',
      '2026-11-16..2026-11-16: 11-16 checkpoint',
      '2026-10-24..2026-10-24: 10-24 checkpoint',
    ]);
  });
});

/** Plans at each of the wake-ups and marks what it reads as read 4 s later; the ages in hours of the reads of `day`. */
function agesOfReads(day: string, wakeUps: readonly number[]): number[] {
  const nextReads = new Map<string, number | null>();
  const ages: number[] = [];
  for (const nowMs of wakeUps) {
    const over = eachDay({ from: '2026-03-01', to: new Date(nowMs - 86_400_000).toISOString().slice(0, 10) });
    const unread = over.filter((each) => !nextReads.has(each)).map((each) => ({ from: each, to: each }));
    const stored = [...nextReads].filter(([, nextMs]) => nextMs !== null && nextMs <= nowMs);
    const due = dueTrack({ unread, stored: stored.map(([each]) => ({ from: each, to: each })) });
    for (const read of Object.keys(readDays(planPage([due], { nowMs, policy })))) {
      nextReads.set(read, nextCheckpointMs(read, nowMs + 4000, policy));
      if (read === day) ages.push((nowMs - at(`${day}T24:00:00.000Z`)) / 3_600_000);
    }
  }
  return ages;
}

describe('over 40 days every day is read', () => {
  const days = eachDay({ from: '2026-03-02', to: '2026-04-10' });

  test('seven times with hourly wake-ups', () => {
    const hourly = days.flatMap((day) =>
      Array.from({ length: 24 }, (_, hour) => at(`${day}T00:15:00.000Z`) + hour * 3_600_000),
    );
    expect(agesOfReads('2026-03-05', hourly)).toEqual([0.25, 6.25, 24.25, 48.25, 72.25, 168.25, 720.25]);
  });

  test('six times with one wake-up a day', () => {
    const daily = days.map((day) => at(`${day}T00:15:00.000Z`));
    expect(agesOfReads('2026-03-05', daily)).toEqual([0.25, 24.25, 48.25, 72.25, 168.25, 720.25]);
  });

  test('at whatever checkpoint is the newest with a wake-up in the evening', () => {
    const evening = days.map((day) => at(`${day}T21:00:00.000Z`));
    expect(agesOfReads('2026-03-05', evening)).toEqual([21, 45, 69, 93, 189, 741]);
  });

  test('once when the worker was down until all its checkpoints had passed', () => {
    expect(
      agesOfReads('2026-03-05', [at('2026-04-10T00:15:00.000Z'), at('2026-04-10T12:15:00.000Z')]),
    ).toEqual([840.25]);
  });
});

describe('after the worker was down', () => {
  test('for 4 days, one window has the missed days and the re-reads that fell due', async () => {
    const plan = await planAt(
      '2026-11-24T08:15:00.000Z',
      track({
        settled: [{ from: '2026-01-01', to: '2026-11-14' }],
        cells: [
          verified('2026-11-19', 'stored', '2026-11-20T06:15:00.000Z'),
          verified('2026-11-18', 'stored', '2026-11-20T00:15:00.000Z'),
          verified('2026-11-17', 'stored', '2026-11-20T00:15:00.000Z'),
          verified('2026-11-16', 'final', '2026-11-20T00:15:00.000Z'),
          verified('2026-11-15', 'final', '2026-11-19T00:15:00.000Z'),
        ],
      }),
    );
    expect(showSlices(plan)).toEqual([
      '2026-11-15..2026-11-23: 11-23 new, 11-22 gap, 11-21 gap, 11-20 gap, 11-19 checkpoint, 11-18 checkpoint, 11-17 checkpoint, 11-16 checkpoint, 11-15 checkpoint',
    ]);
  });

  test('for 60 days, two windows have all of them, the newest first', async () => {
    const plan = await planAt(
      '2026-11-24T08:15:00.000Z',
      track({ settled: [{ from: '2026-01-01', to: '2026-09-24' }] }),
    );
    expect(plan.slices.map(({ window, days }) => [window.from, window.to, days.length])).toEqual([
      ['2026-10-24', '2026-11-23', 31],
      ['2026-09-25', '2026-10-23', 29],
    ]);
    expect(plan.closed).toEqual([]);
  });

  test('for 100 days, the days past the horizon are closed without a request', async () => {
    const plan = await planAt(
      '2026-11-24T08:15:00.000Z',
      track({ settled: [{ from: '2026-01-01', to: '2026-08-15' }] }),
    );
    expect(plan.slices.map(({ window, days }) => [window.from, window.to, days.length])).toEqual([
      ['2026-10-24', '2026-11-23', 31],
      ['2026-09-23', '2026-10-23', 31],
      ['2026-08-26', '2026-09-22', 28],
    ]);
    expect(plan.closed.map(({ day }) => day)).toEqual([
      '2026-08-16',
      '2026-08-17',
      '2026-08-18',
      '2026-08-19',
      '2026-08-20',
      '2026-08-21',
      '2026-08-22',
      '2026-08-23',
      '2026-08-24',
      '2026-08-25',
    ]);
  });
});
