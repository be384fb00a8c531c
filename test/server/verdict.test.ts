import { describe, expect, test } from 'vitest';
import type { InstanceStatus, Trouble } from '../../src/console/sources.ts';
import { currentTroubles, judgeState, judgeYesterday } from '../../src/console/verdict.ts';
import type { Health, InstanceHealth } from '../../src/queries/health.ts';
import { sumStandings } from '../../src/usage/standing.ts';
import { HEALTH, INSTANCE, INSTANCE_HEALTH, INSTANCE_STATUS, NOW_MS, STREAM, viewOf } from './pages.ts';

/** What a stream says of that many cells that are gaps. */
const gapsOf = (cells: { missing?: number; in_doubt?: number }) => ({
  cells: sumStandings([{ final: 9, ...cells }]),
  gaps: (cells.missing ?? 0) + (cells.in_doubt ?? 0),
});

const gappy: InstanceHealth = {
  ...INSTANCE_HEALTH,
  streams: [{ ...STREAM, ...gapsOf({ missing: 737 }), oldestGap: '2026-11-20', completeTo: '2026-11-19' }],
};
const healthOf = (instance: Partial<InstanceHealth>): Health => ({
  ...HEALTH,
  instances: [{ ...INSTANCE_HEALTH, ...instance }],
});
const streamWith = (stream: object) => healthOf({ streams: [{ ...STREAM, ...stream }] });

const starting: InstanceStatus = {
  ...INSTANCE_STATUS,
  state: 'starting',
  lastRun: null,
  lastCompleteRunAt: null,
};
const working: InstanceStatus = {
  ...starting,
  state: 'working',
  progress: {
    ...{ startedAt: '2026-11-24T10:29:00.000Z', planned: 5_000, done: 1_234, requests: 900 },
    plan: { startedAt: '2026-11-24T10:29:10.000Z', total: 3_900, done: 900, rate: 20 },
  },
};
const standby: InstanceStatus = {
  ...starting,
  state: 'standby',
  lastRun: { finishedAt: '2026-11-24T10:30:00.000Z', result: 'standby' },
};
const withTrouble = (result: 'partial' | 'failed' | 'refused', trouble: Partial<Trouble> = {}) => ({
  ...INSTANCE_STATUS,
  lastRun: { finishedAt: '2026-11-24T10:20:00.000Z', result },
  trouble: { code: 'x', message: 'HTTP 500', hint: 'wait', kind: 'failure' as const, ...trouble },
});

/** Tone and sentence, as the page shows them. */
function say(health: Health | null, status: InstanceStatus, isUp = true): string {
  const { tone, sentence } = judgeState(viewOf(health, { isUp }), { statuses: [status], nowMs: NOW_MS });
  return `${tone}: ${sentence}`;
}

test.for([
  ['all is well', HEALTH, INSTANCE_STATUS, 'good: Everything is here up to yesterday, 2026-11-23.'],
  [
    'yesterday has not been read yet',
    streamWith({ completeTo: '2026-11-22' }),
    INSTANCE_STATUS,
    'good: Nothing is late: everything is here up to 2026-11-22.',
  ],
  [
    'even the first tracked day is missing, and is not late yet',
    streamWith({ completeTo: null }),
    INSTANCE_STATUS,
    'good: Nothing is late.',
  ],
  [
    'some numbers are unavailable and one was accepted',
    streamWith({ cells: sumStandings([{ unavailable: 1_200, accepted: 1 }]) }),
    INSTANCE_STATUS,
    'good: Everything is here up to yesterday, 2026-11-23, apart from 1,200 numbers unavailable and 1 number accepted as it stands.',
  ],
  [
    'there are gaps',
    { ...HEALTH, instances: [gappy] },
    INSTANCE_STATUS,
    'bad: 737 numbers are missing, the oldest of 2026-11-20.',
  ],
  [
    'there is one gap',
    streamWith({ ...gapsOf({ missing: 1 }), oldestGap: '2026-11-20' }),
    INSTANCE_STATUS,
    'bad: 1 number is missing, the oldest of 2026-11-20.',
  ],
  [
    'the only gap is a number that is stored',
    streamWith({ ...gapsOf({ in_doubt: 1 }), oldestGap: '2026-11-20' }),
    INSTANCE_STATUS,
    'bad: 1 number is in doubt, the oldest of 2026-11-20.',
  ],
  [
    'one of the gaps is a number that is stored',
    streamWith({ ...gapsOf({ missing: 2, in_doubt: 1 }), oldestGap: '2026-11-20' }),
    INSTANCE_STATUS,
    'bad: 3 numbers are missing or in doubt, the oldest of 2026-11-20.',
  ],
  ['the database is away', HEALTH, INSTANCE_STATUS, 'bad: The database does not answer.', false],
  ['the database was not read yet', null, INSTANCE_STATUS, 'quiet: The database is being read.'],
] as const)('when %s', ([, health, status, said, isUp]) => {
  expect(say(health, status, isUp)).toBe(said);
});

describe('before the first run is over', () => {
  const first = { ...gappy, hasRun: false, lastCompleteRunAt: null };

  test.for([
    [{ ...HEALTH, instances: [] }, starting, 'quiet: The first run has not begun to load yet.'],
    [{ ...HEALTH, instances: [first] }, starting, 'quiet: The first run has not begun to load yet.'],
    [
      { ...HEALTH, instances: [first] },
      working,
      'quiet: The first run is under way: 1,234 numbers read so far.',
    ],
    [{ ...HEALTH, instances: [first] }, standby, 'quiet: The first run has not begun to load yet.'],
    [
      { ...HEALTH, instances: [first] },
      { ...INSTANCE_STATUS, lastRun: { finishedAt: '2026-11-24T10:30:00.100Z', result: 'complete' } },
      'quiet: The first run is over: what it loaded is being read.',
    ],
  ] as const)('nothing is red, whatever is missing (%#)', ([health, status, said]) => {
    expect(say(health, status)).toBe(said);
  });

  test('a first run that failed is told', () => {
    const refused = withTrouble('refused');
    expect(say({ ...HEALTH, instances: [] }, refused)).toBe(
      'bad: Nothing has been exported yet, but the newest run had trouble.',
    );
  });

  test('what another replica has run before counts', () => {
    expect(say({ ...HEALTH, instances: [gappy] }, starting)).toMatch(/^bad: 737 numbers are missing/);
  });
});

describe('trouble of the newest run', () => {
  test('is told where nothing is missing, and the sentence says no more than that', () => {
    const status = withTrouble('failed');
    expect(say(healthOf({ lastCompleteRunAt: '2026-11-24T10:15:00.000Z' }), status)).toBe(
      'bad: Nothing is late, but the newest run had trouble.',
    );
  });

  test('that a run under way waits for is told, whatever run was complete meanwhile', () => {
    const status = withTrouble('partial', { code: 'waiting_for_losant', kind: 'waiting' });
    const health = healthOf({ lastCompleteRunAt: '2026-11-24T10:25:00.000Z' });
    expect(say(health, status)).toBe('bad: Nothing is late, but the run under way waits.');
    expect(currentTroubles([status], health)).toHaveLength(1);
  });

  test('of a replica that stands by is told and not red', () => {
    const status = withTrouble('partial', { code: 'waiting_for_lease', kind: 'waiting' });
    const health = healthOf({ lastCompleteRunAt: null });
    expect(currentTroubles([status], health)).toHaveLength(1);
    expect(say(health, status)).toBe('good: Everything is here up to yesterday, 2026-11-23.');
  });

  test('is no longer told once a later run, by whatever process, was complete', () => {
    const status = withTrouble('partial');
    const later = healthOf({ lastCompleteRunAt: '2026-11-24T10:25:00.000Z' });
    expect(currentTroubles([status], later)).toEqual([]);
    expect(say(later, status)).toBe('good: Everything is here up to yesterday, 2026-11-23.');
  });

  test('that was only missing numbers is told by the sentence alone, and gone with them', () => {
    const status = withTrouble('partial', { kind: 'gaps', message: '1 missing number is not due yet' });
    const health = healthOf({ lastCompleteRunAt: null });
    expect(currentTroubles([status], health)).toEqual([]);
    expect(say(health, status)).toBe('good: Everything is here up to yesterday, 2026-11-23.');
    const still = healthOf({ ...gappy, lastCompleteRunAt: null });
    expect(currentTroubles([status], still)).toEqual([]);
    expect(judgeState(viewOf(still), { statuses: [status], nowMs: NOW_MS })).toEqual({
      tone: 'bad',
      sentence: '737 numbers are missing, the oldest of 2026-11-20.',
      hint: 'losant-usage gaps lists each with its reason and its next read.',
    });
  });

  test('names an incomplete list of organizations, also on a replica that stands by', () => {
    const health = healthOf({ listProblem: 'page 2 is empty' });
    expect(currentTroubles([standby], health)).toEqual([
      {
        instanceId: INSTANCE,
        name: 'Northern plants',
        trouble: {
          code: 'list_incomplete',
          kind: 'failure',
          message: 'organizations may be missing: the list was not complete, page 2 is empty',
          hint: 'the next run asks for the list again',
        },
      },
    ]);
    expect(say(health, standby)).toBe('bad: Nothing is late, but the newest run had trouble.');
  });
});

describe('whether yesterday is complete', () => {
  const yesterdayOf = (counts: object, stream: object = {}) =>
    streamWith({ yesterday: { ...STREAM.yesterday, ...counts }, ...stream });

  test.for([
    ['nothing is the matter', HEALTH, 'good: complete. 4 of 4 numbers of 2026-11-23 are stored.'],
    [
      'an older day has a gap',
      yesterdayOf({}, { ...gapsOf({ missing: 3 }), oldestGap: '2026-11-02' }),
      'good: complete. 4 of 4 numbers of 2026-11-23 are stored.',
    ],
    [
      'no run has read it yet',
      yesterdayOf({ waiting: 4 }),
      'quiet: not read yet. 0 of 4 numbers of 2026-11-23 are stored; 4 waiting to be read, none late.',
    ],
    [
      'a part of it is late and another in doubt',
      yesterdayOf({ waiting: 1, missing: 1, in_doubt: 1 }),
      'bad: incomplete. 2 of 4 numbers of 2026-11-23 are stored; 2 missing or in doubt (device_counts).',
    ],
    [
      'a part of it can no longer be read',
      yesterdayOf({ unavailable: 1 }),
      'good: complete. 3 of 4 numbers of 2026-11-23 are stored, apart from 1 unavailable.',
    ],
    [
      'nothing is tracked any more',
      yesterdayOf({}, { orgsTracked: 0 }),
      'quiet: nothing tracked. Nothing is tracked on 2026-11-23.',
    ],
  ] as const)('when %s', ([, health, said]) => {
    const verdict = judgeYesterday(health, { statuses: [INSTANCE_STATUS], nowMs: NOW_MS });
    expect(`${verdict?.tone}: ${verdict?.word}. ${verdict?.sentence}`).toBe(said);
  });

  test('is not asked before the first run is over', () => {
    const instances = [{ ...gappy, hasRun: false }];
    expect(judgeYesterday({ ...HEALTH, instances }, { statuses: [starting], nowMs: NOW_MS })).toBeNull();
  });
});
