import { describe, expect, test } from 'vitest';
import {
  describeBlocker,
  type OrganizationPeriod,
  type PeriodBlocker,
  type Statement,
} from '../../src/billing/month.ts';
import { checkMonth, judgeMonth, type MonthFacts } from '../../src/console/month-judge.ts';
import { describePeriod } from '../../src/console/months.ts';
import { INSTANCE } from '../database/ledger.ts';

/** Of an organization that is ready. */
const PERIOD: OrganizationPeriod = {
  ...{ orgId: '5d0000000000000000000001', instanceId: INSTANCE, name: 'Acme', referralId: null },
  ...{
    from: '2026-10-01',
    to: '2026-10-31',
    isOver: true,
    isBillable: true,
    standing: 'final',
    blockers: [],
  },
  ...{ daysAccepted: 0, daysUnreported: 0, daysUntracked: 0 },
  ...{ payloads: 1_000, devices: 10 },
};

/** A blocker as the view has it. */
function blocker(cause: string, days: number | null = null, streams: string[] | null = null): PeriodBlocker {
  const whatToDo = cause === 'not_final' ? 'it becomes final by itself' : 'losant-usage backfill --org 1';
  return { cause, days, firstDay: '2026-10-01', lastDay: '2026-10-03', streams, whatToDo };
}

const blocked = (...blockers: PeriodBlocker[]): OrganizationPeriod => ({
  ...{ ...PERIOD, isBillable: false, blockers },
});
const YESTERDAY = '2026-11-23';

describe('a period', () => {
  test.for([
    [PERIOD, 'ready'],
    [{ ...PERIOD, daysAccepted: 1 }, 'ready; 1 day accepted'],
    [{ ...PERIOD, daysUnreported: 31 }, 'ready; 31 days with zeros, as Losant left numbers out'],
    [blocked(blocker('missing', 2, ['payload_totals'])), '2 days missing (payload_totals)'],
    [blocked(blocker('not_final', 1), blocker('not_over')), '1 day not final yet; not over'],
    [
      { ...blocked(blocker('not_fully_tracked')), daysUntracked: 1 },
      'not every day is tracked; 1 day stored but not tracked, so not in the sums',
    ],
    [blocked(), 'waits for its instance'],
  ] as const)('%#: %s', ([period, text]) => {
    expect(describePeriod(period)).toBe(text);
  });

  test('of which one stream is dead says which, and says nothing of the others', () => {
    expect(describePeriod(blocked(blocker('missing', 31, ['payload_sources'])))).toBe(
      '31 days missing (payload_sources)',
    );
  });

  test('shows a cause that a later version of the schema may add by its code', () => {
    expect(describeBlocker(blocker('under_audit', 3))).toBe('3 days under audit');
  });
});

describe('whether October can be invoiced', () => {
  const open = blocked(blocker('not_final', 3));
  const missing = blocked(blocker('missing', 2));
  const other = { ...PERIOD, instanceId: '5c0000000000000000000002' };
  const closing: Statement = {
    ...{
      statementId: '00000000-0000-4000-8000-000000000009',
      instanceId: INSTANCE,
      month: '2026-10',
      number: 1,
    },
    ...{
      kind: 'closing',
      source: 'calendar',
      reason: null,
      orgs: 1,
      manifestSha256: '00',
      previousSha256: null,
    },
    ...{ closedAt: '2026-11-05T09:00:00.000Z', closedBy: 'b' },
  };
  const factsOf = (facts: Partial<MonthFacts>): MonthFacts => ({
    ...{ month: '2026-10', periods: [PERIOD], blockers: [], statements: [], differing: 0 },
    ...{ yesterday: YESTERDAY, hasRun: true, ...facts },
  });

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
  ] as const)('is %s of %j and %j', ([tone, periods, statements, sentence]) => {
    const verdict = judgeMonth(factsOf({ periods, statements }));
    expect([verdict.tone, verdict.sentence]).toEqual([tone, sentence]);
  });

  test('is no alarm before the first run is over, nor while the month is not', () => {
    const periods = [missing];
    expect(judgeMonth(factsOf({ periods, hasRun: false })).tone).toBe('quiet');
    const { tone, sentence } = judgeMonth(factsOf({ periods, yesterday: '2026-10-30' }));
    expect([tone, sentence]).toEqual([
      'quiet',
      'October 2026 cannot be invoiced yet: it ends on 2026-10-31.',
    ]);
    expect(judgeMonth(factsOf({ periods, yesterday: '2026-10-31' })).tone).toBe('bad');
  });

  test('comes with the command that closes it, once nothing blocks it', () => {
    expect(judgeMonth(factsOf({})).steps).toEqual([
      { text: 'To close it:', actions: ['losant-usage close --period 2026-10'] },
    ]);
  });

  test('names first what keeps changes after closing from being settled', () => {
    const { steps } = judgeMonth(factsOf({ periods: [missing], statements: [closing], differing: 1 }));
    expect(steps.map(({ text }) => text)).toEqual([
      'Missing: 1 time.',
      'Numbers of 1 organization differ now from what was closed; once nothing blocks it, this settles it:',
    ]);
    const [settle] = judgeMonth(factsOf({ statements: [closing], differing: 1 })).steps;
    expect(settle?.text).toContain('with --dry-run this only shows them:');
    expect(settle?.actions).toEqual(['losant-usage close --period 2026-10 --adjust']);
  });

  test('comes with what to do, by cause and as lines to copy', () => {
    const list = { ...blocker('list_incomplete'), instanceId: INSTANCE };
    const second = { ...blocker('missing', 1), whatToDo: 'losant-usage backfill --org 2' };
    const verdict = judgeMonth(factsOf({ periods: [missing, blocked(second), open], blockers: [list] }));
    expect(verdict.steps).toEqual([
      { text: 'Organizations may be missing: 1 time.', actions: ['losant-usage backfill --org 1'] },
      {
        text: 'Missing: 2 times.',
        actions: ['losant-usage backfill --org 1', 'losant-usage backfill --org 2'],
      },
      { text: 'Not final yet: 1 time.', actions: ['it becomes final by itself'] },
      {
        text: 'To close it anyway:',
        actions: ['losant-usage close --period 2026-10 --incomplete REASON'],
      },
    ]);
  });
});

describe('the checklist', () => {
  const check = (facts: Partial<MonthFacts>) =>
    checkMonth({
      ...{ month: '2026-10', periods: [PERIOD], blockers: [], statements: [], differing: 0 },
      ...{ yesterday: YESTERDAY, hasRun: true, ...facts },
    }).map(({ name, isDone, text, address }) => [name, isDone, text, address]);

  test('of a month that is ready leaves the closing', () => {
    expect(check({})).toEqual([
      ['Stored', true, 'every number of every organization', null],
      ['Final', true, 'no number is expected to change', null],
      ['Agrees with Losant', true, "no final number differs from Losant's own totals", null],
      ['Nothing by hand', true, 'no number was typed in', null],
      ['Billed once', true, 'no day was billed with another month', null],
      ['Closed', false, 'not yet for 1 instance', null],
    ]);
  });

  test('counts the organizations that keep a step from being done, and leads to them', () => {
    const periods = [
      blocked(blocker('missing', 2), blocker('changed_by_hand', 1)),
      blocked(blocker('unavailable', 1)),
      blocked(blocker('not_final', 3)),
    ];
    const blockers = [{ instanceId: INSTANCE, ...blocker('contradicted', 1) }];
    expect(check({ periods, blockers })).toEqual([
      ['Stored', false, 'not yet for 2 organizations', '/months/2026-10?show=blocked'],
      ['Final', false, 'not yet for 1 organization', '/months/2026-10?show=blocked'],
      ['Agrees with Losant', false, 'not yet for 1 instance', '/totals?month=2026-10'],
      ['Nothing by hand', false, 'not yet for 1 organization', '/changes?month=2026-10&which=all&by=hand'],
      ['Billed once', true, 'no day was billed with another month', null],
      ['Closed', false, 'not yet for 1 instance', null],
    ]);
  });
});
