import { describe, expect, test } from 'vitest';
import { type KnownCell, planPage, type Track } from '../../src/usage/plan.ts';
import { at, cell, fateOf, policy, readDays, track } from './tracks.ts';

/** What becomes of one day in the ledger, tracked alone. */
function fate(now: string, day: string, known: KnownCell | null, changes: Partial<Track> = {}): string {
  const only = track({
    trackedFrom: day,
    trackedTo: day,
    ...changes,
    cells: known === null ? [] : [known],
  });
  return fateOf(planPage([only], { nowMs: at(now), policy }));
}

const failed = (nextAttemptAt: string): Partial<KnownCell> => ({ nextAttemptAtMs: at(nextAttemptAt) });
const verified = (verifiedAt: string): Partial<KnownCell> => ({ verifiedAtMs: at(verifiedAt) });

describe('a cell of 2026-11-20', () => {
  test.each<[string, KnownCell['state'] | null, Partial<KnownCell>, string, string]>([
    ['never asked for, on the day itself', null, {}, '2026-11-20T23:59:59.999Z', 'settled'],
    ['never asked for, the moment the day is over', null, {}, '2026-11-21T00:00:00.000Z', 'read: new'],
    ['never asked for, until the next day is over', null, {}, '2026-11-21T23:59:59.999Z', 'read: new'],
    ['never asked for, a day later', null, {}, '2026-11-22T00:00:00.000Z', 'read: gap'],
    [
      'failed, more than five minutes before its backoff ends',
      'failed',
      failed('2026-11-21T02:15:00.000Z'),
      '2026-11-21T02:09:59.999Z',
      'waiting: failed',
    ],
    [
      'failed, five minutes before its backoff ends: the wake-up it waits for may be early',
      'failed',
      failed('2026-11-21T02:15:00.000Z'),
      '2026-11-21T02:10:00.000Z',
      'read: gap',
    ],
    [
      'failed, long after its backoff',
      'failed',
      failed('2026-11-21T02:15:00.000Z'),
      '2026-11-28T00:15:00.000Z',
      'read: gap',
    ],
    ['emptied by hand', 'failed', {}, '2026-11-24T00:15:00.000Z', 'read: gap'],
    [
      'quarantined, in its backoff',
      'quarantined',
      failed('2026-11-24T08:15:00.000Z'),
      '2026-11-24T00:15:00.000Z',
      'waiting: quarantined',
    ],
    [
      'quarantined, after its backoff',
      'quarantined',
      failed('2026-11-24T00:15:00.000Z'),
      '2026-11-24T00:15:00.000Z',
      'read: gap',
    ],
    [
      'loaded and read since its newest checkpoint',
      'loaded',
      verified('2026-11-21T06:00:00.000Z'),
      '2026-11-21T23:59:00.000Z',
      'settled',
    ],
    [
      'loaded, and a checkpoint has passed since',
      'loaded',
      verified('2026-11-21T05:59:59.999Z'),
      '2026-11-21T06:00:00.000Z',
      'read: checkpoint',
    ],
    [
      'loaded, and several checkpoints have passed since',
      'loaded',
      verified('2026-11-21T00:15:00.000Z'),
      '2026-11-24T00:15:00.000Z',
      'read: checkpoint',
    ],
    [
      'loaded, and its due re-read failed a while ago',
      'loaded',
      { ...verified('2026-11-21T00:15:00.000Z'), ...failed('2026-11-21T08:15:00.000Z') },
      '2026-11-21T07:15:00.000Z',
      'waiting: loaded',
    ],
    [
      'loaded, and the backoff of its re-read is over',
      'loaded',
      { ...verified('2026-11-21T00:15:00.000Z'), ...failed('2026-11-21T08:15:00.000Z') },
      '2026-11-21T08:15:00.000Z',
      'read: checkpoint',
    ],
    [
      'final, before its next checkpoint',
      'final',
      verified('2026-11-24T00:15:00.000Z'),
      '2026-11-27T23:59:59.999Z',
      'settled',
    ],
    [
      'final, at its next checkpoint',
      'final',
      verified('2026-11-24T00:15:00.000Z'),
      '2026-11-28T00:00:00.000Z',
      'read: checkpoint',
    ],
    [
      'final and read at its last checkpoint',
      'final',
      verified('2026-12-21T00:00:00.000Z'),
      '2027-01-31T00:00:00.000Z',
      'settled',
    ],
    [
      'absent, before its next checkpoint',
      'absent',
      verified('2026-11-21T00:15:00.000Z'),
      '2026-11-21T05:59:59.999Z',
      'waiting: absent',
    ],
    [
      'absent, at its next checkpoint',
      'absent',
      verified('2026-11-21T00:15:00.000Z'),
      '2026-11-21T06:00:00.000Z',
      'read: gap',
    ],
    [
      'absent at its last checkpoint: it will not come any more',
      'absent',
      verified('2026-12-21T00:00:00.000Z'),
      '2026-12-21T00:15:00.000Z',
      'lost',
    ],
    ['unavailable', 'unavailable', {}, '2026-11-24T00:15:00.000Z', 'settled'],
    ['waived', 'waived', {}, '2026-11-24T00:15:00.000Z', 'settled'],
  ])('%s', (_, state, changes, ...[now, expected]) => {
    const known = state === null ? null : cell('2026-11-20', state, changes);
    expect(fate(now, '2026-11-20', known)).toBe(expected);
  });
});

describe('a day on the edge of the horizon of 90 days, on 2026-11-24', () => {
  test.each<[string, string, KnownCell['state'] | null, string]>([
    ['the oldest day inside, not held', '2026-08-26', null, 'read: gap'],
    ['the first day past it, not held', '2026-08-25', null, 'lost'],
    ['the first day past it, failed', '2026-08-25', 'failed', 'lost'],
    ['the first day past it, quarantined', '2026-08-25', 'quarantined', 'lost'],
    ['the first day past it, absent', '2026-08-25', 'absent', 'lost'],
    ['the first day past it, held', '2026-08-25', 'loaded', 'settled'],
    ['the first day past it, final', '2026-08-25', 'final', 'settled'],
    ['the first day past it, waived', '2026-08-25', 'waived', 'settled'],
    ['the first day past it, lost before', '2026-08-25', 'unavailable', 'settled'],
  ])('%s: %s', (_, day, state, expected) => {
    expect(fate('2026-11-24T00:15:00.000Z', day, state === null ? null : cell(day, state))).toBe(expected);
  });

  test('past it nothing is decided again once it is settled', () => {
    const plan = planPage([track({ trackedFrom: '2026-01-01', expiredTo: '2026-08-26', settled: [] })], {
      nowMs: at('2026-11-24T00:15:00.000Z'),
      policy,
    });
    expect(plan.lost).toEqual([]);
    expect(Object.keys(readDays(plan)).at(-1)).toBe('2026-08-26');
  });
});

describe('an organization found deleted on 2026-11-22', () => {
  const removed = { trackedFrom: '2026-11-18', trackedTo: null, removedOn: '2026-11-22' };

  test('is not asked about: what is not held up to that day is lost, what is held stays', () => {
    const plan = planPage(
      [
        track({
          ...removed,
          settled: [{ from: '2026-11-18', to: '2026-11-18' }],
          cells: [
            cell('2026-11-19', 'loaded', verified('2026-11-20T00:15:00.000Z')),
            cell('2026-11-20', 'failed', failed('2026-11-30T00:00:00.000Z')),
            cell('2026-11-21', 'waived'),
          ],
        }),
      ],
      { nowMs: at('2026-11-24T00:15:00.000Z'), policy },
    );
    expect(plan.slices).toEqual([]);
    expect(plan.lost.map(({ day }) => day)).toEqual(['2026-11-22', '2026-11-20']);
    expect(plan.waiting).toEqual([]);
  });

  test('is not asked about by a backfill either, and what is held is not called lost when forced', () => {
    const plan = planPage([track({ ...removed, settled: [{ from: '2026-11-18', to: '2026-11-22' }] })], {
      nowMs: at('2026-11-24T00:15:00.000Z'),
      policy,
      ask: {
        range: { from: '2026-11-10', to: '2026-11-23' },
        reason: 'backfill',
        force: true,
        pastHorizon: false,
      },
    });
    expect(plan).toEqual({ slices: [], lost: [], waiting: [], pastHorizon: 0 });
  });

  test('is read again from the first day that is not known when it is back', () => {
    const plan = planPage(
      [
        track({
          ...removed,
          removedOn: null,
          settled: [{ from: '2026-11-18', to: '2026-11-20' }],
          cells: [cell('2026-11-21', 'unavailable'), cell('2026-11-22', 'unavailable')],
        }),
      ],
      { nowMs: at('2026-11-26T00:15:00.000Z'), policy },
    );
    expect(readDays(plan)).toEqual({ '2026-11-25': 'new', '2026-11-24': 'gap', '2026-11-23': 'gap' });
  });
});

describe('an organization that left the configuration on 2026-11-22', () => {
  test('is read up to its last promised day, and re-read at its checkpoints', () => {
    const plan = planPage(
      [
        track({
          trackedFrom: '2026-11-20',
          trackedTo: '2026-11-22',
          cells: [cell('2026-11-21', 'loaded', verified('2026-11-22T06:15:00.000Z'))],
          settled: [{ from: '2026-11-20', to: '2026-11-20' }],
        }),
      ],
      { nowMs: at('2026-11-24T00:15:00.000Z'), policy },
    );
    expect(readDays(plan)).toEqual({ '2026-11-22': 'gap', '2026-11-21': 'checkpoint' });
  });
});

test('checkpoints may begin later than the end of the day', () => {
  const late = { ...policy, readAtHours: [6, 24], finalAtHours: 24 };
  const planAt = (now: string) =>
    fateOf(planPage([track({ trackedFrom: '2026-11-23' })], { nowMs: at(now), policy: late }));
  expect(planAt('2026-11-24T05:59:59.999Z')).toBe('settled');
  expect(planAt('2026-11-24T06:00:00.000Z')).toBe('read: new');
});
