/** What the database finds to be due of a cell, and what the plan makes of it. */
import { describe, expect, test } from 'vitest';
import { retryAtMs } from '../../src/usage/policy.ts';
import {
  at,
  cell,
  fateOf,
  type KnownCell,
  policy,
  readDays,
  type Track,
  track,
  verified,
} from '../usage/tracks.ts';
import { useLedger } from './ledger.ts';
import { planTracks } from './plans.ts';

const ledger = useLedger();

/** What becomes of one day, tracked alone. */
async function fate(
  now: string,
  day: string,
  known: KnownCell | null,
  changes: Partial<Track> = {},
): Promise<string> {
  const only = track({ trackedFrom: day, trackedTo: day, ...changes, cells: known === null ? [] : [known] });
  return fateOf(await planTracks(ledger, [only], { now }));
}

const DAY = '2026-11-20';

/** A cell whose first read failed then. */
const failedAt = (time: string): KnownCell => ({
  ...{ day: DAY, standing: 'missing', nextReadAtMs: retryAtMs(at(`2026-${time}`), 1) },
});
/** One that is read next, or was read, then. */
const dueAt = (standing: KnownCell['standing'], time: string) => cell(DAY, standing, `2026-${time}`);
const readAt = (standing: KnownCell['standing'], time: string) => verified(DAY, standing, `2026-${time}`);

/** [what was known of it, when it is asked, what the plan makes of it]; times begin with `2026-`. */
const FATES: readonly (readonly [string, KnownCell | null, string, string])[] = [
  ['never read, on the day itself', null, '11-20T23:59:59.999Z', 'nothing'],
  ['never read, the moment the day is over', null, '11-21T00:00:00.000Z', 'read: new'],
  ['never read, until the next day is over', null, '11-21T23:59:59.999Z', 'read: new'],
  ['never read, a day later', null, '11-22T00:00:00.000Z', 'read: gap'],
  ['failed, before its retry', failedAt('11-21T00:15:04Z'), '11-21T02:14:59.999Z', 'nothing'],
  ['failed, at the wake-up two hours later', failedAt('11-21T00:15:04Z'), '11-21T02:15:00.000Z', 'read: gap'],
  ['failed, long after its retry', failedAt('11-21T00:15:00Z'), '11-28T00:15:00.000Z', 'read: gap'],
  ['emptied by hand', dueAt('missing', '11-23T10:00:00Z'), '11-24T00:15:00.000Z', 'read: gap'],
  ['quarantined, before its retry', dueAt('missing', '11-24T08:15:00Z'), '11-24T00:15:00.000Z', 'nothing'],
  ['quarantined, at its retry', dueAt('missing', '11-24T00:15:00Z'), '11-24T00:15:00.000Z', 'read: gap'],
  ['read since its checkpoint', readAt('stored', '11-21T06:00:00Z'), '11-21T23:59:00.000Z', 'nothing'],
  [
    'a checkpoint has passed',
    readAt('stored', '11-21T05:59:59.999Z'),
    '11-21T06:00:00.000Z',
    'read: checkpoint',
  ],
  ['several have passed', readAt('stored', '11-21T00:15:00Z'), '11-24T00:15:00.000Z', 'read: checkpoint'],
  ['its re-read failed a while ago', dueAt('stored', '11-21T08:15:00Z'), '11-21T07:15:00.000Z', 'nothing'],
  [
    'at the retry of its re-read',
    dueAt('stored', '11-21T08:15:00Z'),
    '11-21T08:15:00.000Z',
    'read: checkpoint',
  ],
  ['final, before its checkpoint', readAt('final', '11-24T00:15:00Z'), '11-27T23:59:59.999Z', 'nothing'],
  ['final, at its checkpoint', readAt('final', '11-24T00:15:00Z'), '11-28T00:00:00.000Z', 'read: checkpoint'],
  ['final, after its last one', readAt('final', '12-21T00:00:00Z'), '12-31T00:00:00.000Z', 'nothing'],
  ['left out, before its checkpoint', readAt('missing', '11-21T00:15:00Z'), '11-21T05:59:59.999Z', 'nothing'],
  ['left out, at its checkpoint', readAt('missing', '11-21T00:15:00Z'), '11-21T06:00:00.000Z', 'read: gap'],
  ['unavailable', cell(DAY, 'unavailable'), '11-24T00:15:00.000Z', 'nothing'],
  ['accepted', cell(DAY, 'accepted'), '11-24T00:15:00.000Z', 'nothing'],
];

describe('a cell of 2026-11-20', () => {
  test.each(FATES)('%s', async (_, known, ...[now, expected]) => {
    expect(await fate(`2026-${now}`, DAY, known)).toBe(expected);
  });

  test('that nobody tracks is closed if it is not stored, and re-read if it is', async () => {
    const elsewhere = { trackedFrom: '2026-11-22', trackedTo: '2026-11-22' };
    const now = '2026-11-22T12:00:00.000Z';
    expect(await fate(now, DAY, cell(DAY, 'missing', '2026-11-22T00:00:00.000Z'), elsewhere)).toBe(
      'closed: not_tracked',
    );
    expect(await fate(now, DAY, cell(DAY, 'stored', '2026-11-22T00:00:00.000Z'), elsewhere)).toBe(
      'read: checkpoint',
    );
  });
});

describe('a day on the edge of the horizon of 90 days, on 2026-11-24', () => {
  const due = '2026-11-01T00:00:00.000Z';
  test.each<[string, string, KnownCell['standing'] | null, string]>([
    ['the oldest day inside, not stored', '2026-08-26', null, 'read: gap'],
    ['the first day past it, not stored', '2026-08-25', null, 'closed: past_horizon'],
    ['the first day past it, failed', '2026-08-25', 'missing', 'closed: past_horizon'],
    ['the first day past it, quarantined', '2026-08-25', 'missing', 'closed: past_horizon'],
    ['the first day past it, left out', '2026-08-25', 'missing', 'closed: past_horizon'],
    [
      'the first day past it, stored with a checkpoint to come',
      '2026-08-25',
      'stored',
      'closed: past_horizon',
    ],
  ])('%s: %s', async (_, day, standing, expected) => {
    expect(
      await fate('2026-11-24T00:15:00.000Z', day, standing === null ? null : cell(day, standing, due)),
    ).toBe(expected);
  });

  test.each<KnownCell['standing']>(['stored', 'final', 'accepted', 'unavailable'])(
    'past it nothing is decided again of a cell that is %s and closed',
    async (standing) => {
      expect(await fate('2026-11-24T00:15:00.000Z', '2026-08-25', cell('2026-08-25', standing))).toBe(
        'nothing',
      );
    },
  );
});

describe('an organization found deleted on 2026-11-22', () => {
  const removed = { trackedFrom: '2026-11-18', trackedTo: null, removedOn: '2026-11-22' };

  test('is not asked about: what is not stored up to that day is closed, what is stored stays', async () => {
    const plan = await planTracks(
      ledger,
      [
        track({
          ...removed,
          settled: [{ from: '2026-11-18', to: '2026-11-19' }],
          cells: [cell('2026-11-20', 'missing', '2026-11-30T00:00:00.000Z'), cell('2026-11-21', 'accepted')],
        }),
      ],
      { now: '2026-11-24T00:15:00.000Z' },
    );
    expect(plan.slices).toEqual([]);
    expect(plan.closed.map(({ day, reason }) => [day, reason])).toEqual([
      ['2026-11-22', 'org_deleted'],
      ['2026-11-20', 'org_deleted'],
    ]);
  });

  test('is not asked about by a backfill either, and days that cannot be read are counted', async () => {
    const plan = await planTracks(
      ledger,
      [track({ ...removed, settled: [{ from: '2026-11-18', to: '2026-11-22' }] })],
      {
        now: '2026-11-24T00:15:00.000Z',
        ask: {
          range: { from: '2026-11-10', to: '2026-11-23' },
          reason: 'backfill',
          force: true,
          pastHorizon: false,
        },
      },
    );
    expect(plan).toEqual({ slices: [], closed: [], unreadable: 14 });
  });

  test('is read again from the first day that is not known when it is back', async () => {
    const plan = await planTracks(
      ledger,
      [
        track({
          ...removed,
          removedOn: null,
          settled: [{ from: '2026-11-18', to: '2026-11-20' }],
          cells: [cell('2026-11-21', 'unavailable'), cell('2026-11-22', 'unavailable')],
        }),
      ],
      { now: '2026-11-26T00:15:00.000Z' },
    );
    expect(readDays(plan)).toEqual({ '2026-11-25': 'new', '2026-11-24': 'gap', '2026-11-23': 'gap' });
  });
});

describe('an organization that left the configuration on 2026-11-22', () => {
  test('is read up to its last tracked day, and re-read at its checkpoints', async () => {
    const plan = await planTracks(
      ledger,
      [
        track({
          trackedFrom: '2026-11-20',
          trackedTo: '2026-11-22',
          cells: [verified('2026-11-21', 'stored', '2026-11-22T06:15:00.000Z')],
          settled: [{ from: '2026-11-20', to: '2026-11-20' }],
        }),
      ],
      { now: '2026-11-24T00:15:00.000Z' },
    );
    expect(readDays(plan)).toEqual({ '2026-11-22': 'gap', '2026-11-21': 'checkpoint' });
  });
});

describe('for a run that a person has asked for, on 2026-11-21 at 07:15', () => {
  const later = '2026-11-21T23:15:00.000Z';
  test.each<[string, KnownCell, string]>([
    ['a read that failed is tried again', { ...cell(DAY, 'missing', later), attempts: 4 }, 'read: gap'],
    [
      'a re-read that failed is tried again',
      { ...cell(DAY, 'stored', later), attempts: 1 },
      'read: checkpoint',
    ],
    [
      'a number that was left out is read again',
      { ...cell(DAY, 'in_doubt', later), attempts: 1 },
      'read: checkpoint',
    ],
    ['what waits for its next checkpoint waits', cell(DAY, 'stored', later), 'nothing'],
    ['what is closed stays so', { ...cell(DAY, 'unavailable'), attempts: 2 }, 'nothing'],
  ])('%s', async (_, known, expected) => {
    const only = track({ trackedFrom: DAY, trackedTo: DAY, cells: [known] });
    const now = '2026-11-21T07:15:00.000Z';
    expect(fateOf(await planTracks(ledger, [only], { now, retriesFailed: true }))).toBe(expected);
    expect(fateOf(await planTracks(ledger, [only], { now }))).toBe('nothing');
  });
});

test('checkpoints may begin later than the end of the day', async () => {
  const late = { ...policy, readAtHours: [6, 24], finalAtHours: 24 };
  const planAt = async (now: string) =>
    fateOf(await planTracks(ledger, [track({ trackedFrom: '2026-11-23' })], { now, policy: late }));
  expect(await planAt('2026-11-24T05:59:59.999Z')).toBe('nothing');
  expect(await planAt('2026-11-24T06:00:00.000Z')).toBe('read: new');
});
