import { describe, expect, test } from 'vitest';
import type { OrganizationPeriod } from '../../src/billing/month.ts';
import type { Statement } from '../../src/billing/statements.ts';
import { judgeMonth } from '../../src/console/month-judge.ts';
import { describePeriod, stateOfPeriod } from '../../src/console/month-state.ts';
import { INSTANCE } from '../database/ledger.ts';

/** Of an organization that is ready. */
const PERIOD: OrganizationPeriod = {
  ...{ orgId: '5d0000000000000000000001', instanceId: INSTANCE, name: 'Acme', referralId: null },
  ...{ from: '2026-10-01', to: '2026-10-31', isOver: true, isWhole: true, isBillable: true },
  ...{ daysWithoutPeriod: null },
  ...{ daysExpected: 31, daysHeld: 31, daysFinal: 31, daysWaived: 0, daysUnavailable: 0 },
  ...{ daysUnreported: 0, daysUntracked: 0, payloads: 1_000, devices: 10 },
};
const NOT = { isBillable: false };
const YESTERDAY = '2026-11-23';

describe('a period', () => {
  test.for([
    ['ready', {}, '31 days, all final'],
    ['ready', { daysHeld: 30, daysFinal: 30, daysWaived: 1 }, '1 day not held (1 waived)'],
    ['ready', { daysFinal: 30, daysWaived: 1 }, '1 day waived; 1 day not final yet'],
    ['ready', { daysUnreported: 31 }, '31 days, all final; 31 days with zeros, as Losant left numbers out'],
    ['missing', { ...NOT, daysHeld: 29, daysFinal: 29 }, '2 days not held'],
    [
      'missing',
      { ...NOT, daysHeld: 28, daysFinal: 27, daysWaived: 1, daysUnavailable: 1 },
      '3 days not held (1 waived, 1 no longer available); 1 day not final yet',
    ],
    [
      'partial',
      { ...NOT, isWhole: false, daysExpected: 6, daysHeld: 6, daysFinal: 6, daysUntracked: 1 },
      'tracked on 6 of 31 days; 1 day held but not tracked, so not in the sums',
    ],
    ['partial', { ...NOT, isWhole: false }, 'not every stream is tracked on each day'],
    ['partial', { ...NOT, isWhole: false, daysExpected: 0, daysHeld: 0, daysFinal: 0 }, 'no day is tracked'],
    [
      'partial',
      { ...NOT, isWhole: false, daysExpected: 0, daysHeld: 0, daysFinal: 0, daysWithoutPeriod: 4 },
      '4 days in no known billing period',
    ],
    ['open', { ...NOT, daysFinal: 28 }, '3 days not final yet'],
    [
      'running',
      {
        ...NOT,
        isOver: false,
        from: '2026-11-01',
        to: '2026-11-30',
        daysExpected: 23,
        daysHeld: 23,
        daysFinal: 20,
      },
      '3 days not final yet; ends on 2026-11-30',
    ],
    [
      'partial',
      {
        ...NOT,
        isOver: false,
        isWhole: false,
        from: '2026-11-01',
        to: '2026-11-30',
        daysExpected: 5,
        daysHeld: 5,
        daysFinal: 5,
      },
      'tracked on 5 of 23 days; ends on 2026-11-30',
    ],
  ] as const)('is %s with %j', ([state, change, text]) => {
    const period = { ...PERIOD, ...change };
    expect([stateOfPeriod(period), describePeriod(period, YESTERDAY)]).toEqual([state, text]);
  });
});

describe('whether October can be invoiced', () => {
  const open = { ...PERIOD, ...NOT, daysFinal: 28 };
  const missing = { ...PERIOD, ...NOT, daysHeld: 29, daysFinal: 29 };
  const other = { ...PERIOD, instanceId: '5c0000000000000000000002' };
  const closing: Statement = {
    ...{
      statementId: '00000000-0000-4000-8000-000000000009',
      instanceId: INSTANCE,
      month: '2026-10',
      number: 1,
    },
    ...{ kind: 'closing', source: 'calendar', reason: null, orgs: 1, manifestSha256: '00' },
    ...{ closedAt: '2026-11-05T09:00:00.000Z', closedBy: 'b' },
  };

  test.for([
    ['good', [PERIOD], [], 'October 2026 can be invoiced: the one organization is ready.'],
    ['good', [PERIOD, other], [], 'October 2026 can be invoiced: all 2 organizations are ready.'],
    ['quiet', [PERIOD, open], [], 'October 2026 cannot be invoiced yet: 1 of 2 organizations is not ready.'],
    [
      'bad',
      [PERIOD, open, missing],
      [],
      'October 2026 cannot be invoiced yet: 2 of 3 organizations are not ready.',
    ],
    ['good', [missing], [closing], 'October 2026 is closed.'],
    [
      'good',
      [missing, other],
      [closing],
      'October 2026 can be invoiced: the one organization of instances that are not closed is ready.',
    ],
    ['quiet', [], [], 'Nothing is tracked in October 2026.'],
  ] as const)('is told %s of %j and %j', ([tone, periods, statements, sentence]) => {
    const verdict = judgeMonth({
      month: '2026-10',
      periods,
      statements,
      yesterday: YESTERDAY,
      hasRun: true,
    });
    expect([verdict.tone, verdict.sentence]).toEqual([tone, sentence]);
  });

  test('is no alarm before the first run is over, nor while the month is not', () => {
    const facts = { month: '2026-10', periods: [missing], statements: [] };
    expect(judgeMonth({ ...facts, yesterday: YESTERDAY, hasRun: false }).tone).toBe('quiet');
    const { tone, sentence } = judgeMonth({ ...facts, yesterday: '2026-10-30', hasRun: true });
    expect([tone, sentence]).toEqual([
      'quiet',
      'October 2026 cannot be invoiced yet: it ends on 2026-10-31.',
    ]);
    expect(judgeMonth({ ...facts, yesterday: '2026-10-31', hasRun: true }).tone).toBe('bad');
  });

  test('says beside it that numbers which are held are gaps, so that no other page contradicts it', () => {
    const facts = { month: '2026-10', periods: [PERIOD], yesterday: YESTERDAY, hasRun: true };
    const doubts = /^2 numbers of these days are held but in doubt: Losant left them out .* is invoiced\.$/;
    for (const statements of [[], [closing]]) {
      const verdict = judgeMonth({ ...facts, statements, doubted: 2 });
      expect(verdict).toMatchObject({ tone: 'good' });
      expect(verdict.steps.at(-1)).toMatch(doubts);
      expect(judgeMonth({ ...facts, statements }).steps.join()).not.toContain('in doubt');
    }
  });

  test('comes with what to do', () => {
    const partial = { ...PERIOD, ...NOT, isWhole: false };
    const periods = [missing, partial, open];
    const verdict = judgeMonth({
      month: '2026-10',
      periods,
      statements: [],
      yesterday: YESTERDAY,
      hasRun: true,
    });
    expect(verdict.steps.map((step) => step.split(':')[0])).toEqual([
      '1 organization with days that are not held',
      '1 organization with days that are not tracked',
      '1 organization with days that are not final yet',
      'To close it all the same',
    ]);
  });
});
