import { expect, test } from 'vitest';
import { GapSummary } from '../../src/cli/gaps.ts';
import { createProgress } from '../../src/cli/load-usage.ts';
import { renderReconciliation } from '../../src/cli/reconcile.ts';
import { renderRun } from '../../src/cli/render-run.ts';
import { LosantError } from '../../src/errors.ts';
import { findNextCommand, type RunFailure, type RunReport, Tally } from '../../src/loading/report.ts';
import type { Gap } from '../../src/queries/gaps.ts';
import type { Comparison } from '../../src/queries/reconciliation.ts';
import { cell } from '../usage/cells.ts';

const NOW = Date.UTC(2026, 10, 24, 21, 57);

const orgOf = (number: number) => number.toString(16).padStart(24, '0');

test('a run shows the time that is left by its pace since the last report', () => {
  let nowMs = 0;
  const lines: string[] = [];
  const report = createProgress(
    (text) => lines.push(text),
    () => nowMs,
  );
  // The first requests read many cells each, the last ones a single cell.
  const cellsBySecond = { 0: 0, 10: 900, 12: 905, 20: 910, 30: 910, 40: 930 };
  for (const [second, readCells] of Object.entries(cellsBySecond)) {
    nowMs = Number(second) * 1_000;
    report({ plannedCells: 1_000, readCells });
  }
  expect(lines).toEqual([
    '900 of 1,000 cells done, about 1.1 s left',
    '910 of 1,000 cells done, about 1 min 30 s left',
    '930 of 1,000 cells done, about 1 min 10 s left',
  ]);
});

test('a run shows what changed, failures grouped by cause, and what to do', () => {
  const nothing = createTally().toReport({
    runId: null,
    kind: 'manual',
    status: 'partial',
    durationMs: 372_000,
    between: null,
  });
  const day = { from: '2026-11-23', to: '2026-11-23' };
  const cells = { ...nothing.cells, planned: 4_936, loaded: 4_929, unchanged: 6, omitted: 1 };
  const report: RunReport = { ...nothing, ...day, cells, orgs: 1_234, requests: 7_405 };
  const failureOn = (org: number): RunFailure =>
    failureOf({
      orgId: orgOf(org),
      stream: 'device_counts',
      from: '2026-11-20',
      to: '2026-11-23',
      code: 'forbidden',
      message: `instanceOrg.deviceCounts (org ${orgOf(org)}, days 2026-11-23): HTTP 403`,
    });
  const whole = { ...failureOn(9), stream: null, from: null, to: null, code: 'bad_body', message: 'no name' };
  const tally = Object.assign(createTally(), { restatedFinal: 1 });
  tally.rows.updated = 3;
  tally.addFailures([...Array.from({ length: 203 }, (_, index) => failureOn(index)), whole]);
  const rejection = new LosantError('forbidden', 'instanceOrg.deviceCounts: HTTP 403', {
    action: 'instanceOrg.deviceCounts',
    status: 403,
    body: null,
    hint: 'add instanceOrg.deviceCounts to it',
  });
  expect(renderRun({ report, tally, rejection })).toEqual([
    'Partial: 2026-11-23, 1,234 organizations, 7,405 requests, 6 min 12 s',
    '  4,936 cells read: 4,929 loaded, 6 unchanged, 1 omitted',
    '  3 cells restated by Losant, 1 of them already final: see the view restatements',
    `  forbidden  device_counts  203 cells, 203 organizations, e.g. ${orgOf(0)}  instanceOrg.deviceCounts: HTTP 403`,
    `  bad_body                  1 organization, e.g. ${orgOf(9)}                no name`,
    '  Losant rejected the request: instanceOrg.deviceCounts: HTTP 403',
    '  add instanceOrg.deviceCounts to it',
    '  To see what is wrong and why: losant-usage status',
  ]);
  const empty: RunReport = { ...report, status: 'complete', from: null, to: null };
  const nothingDue = renderRun({ report: empty, tally: createTally(), rejection: null });
  expect(nothingDue).toEqual(['Nothing is due.']);
  const lastYear = { from: '2025-01-01', to: '2025-12-31' };
  expect(renderRun({ report, tally, rejection }, lastYear).slice(0, 2)).toEqual([
    'Partial: 2025-01-01..2025-12-31, 1,234 organizations, 7,405 requests, 6 min 12 s',
    '  4,936 cells of 2026-11-23 read: 4,929 loaded, 6 unchanged, 1 omitted',
  ]);
});

const createTally = () => new Tally({ requestCount: () => 0, now: () => 0 });

const failureOf = (more: Partial<RunFailure>): RunFailure => {
  const nothing = { orgId: null, stream: null, from: null, to: null };
  return { code: 'timeout', message: 'no response', ...nothing, ...more };
};
const cells = { orgId: orgOf(7), stream: 'device_counts', from: '2026-11-20', to: '2026-11-23' };
const explainCell = `losant-usage explain --org ${orgOf(7)} --day 2026-11-23 --stream device_counts`;
const unknown = { orgId: orgOf(8), code: 'org_unknown' };

test.each<[what: string, hasGaps: boolean, failures: readonly Partial<RunFailure>[], command: string | null]>([
  ['a number is missing', true, [unknown, cells], 'losant-usage gaps'],
  ['only reads of stored numbers failed', false, [unknown, cells], explainCell],
  ['organizations may be missing', false, [{ code: 'list_incomplete' }, unknown], 'losant-usage status'],
  ['only days past the horizon are missing', false, [{ code: 'past_horizon' }], null],
  ['a configured organization does not exist', false, [unknown], null],
  ['a scope is missing', false, [{ ...cells, code: 'forbidden' }], null],
  ['the token is rejected', false, [{ ...cells, code: 'unauthorized' }], null],
  ['another scope is missing', false, [{ ...cells, orgId: orgOf(6), code: 'forbidden' }, cells], explainCell],
  ['attributes cannot be read', false, [{ ...unknown, code: 'org_unreadable' }], null],
  ['a pair was never tracked, and a number is missing', true, [{ code: 'not_tracked' }], 'losant-usage gaps'],
])('a run after which %s names the command that shows it', (_, hasGaps, failures, command) => {
  const report = { failures: failures.map(failureOf) };
  expect(findNextCommand({ report, tally: { hasGaps } })).toBe(command);
});

test('a cell that is left in doubt is a failure, in words', () => {
  const tally = createTally();
  const doubtful = cell('in_doubt');
  tally.addCell({ previous: doubtful, cell: doubtful, result: 'unchanged', differences: null, problem: null });
  expect(tally.groupFailures()).toMatchObject([{ code: 'in_doubt', message: 'it is in doubt', cells: 1 }]);
});

test('days past the horizon are no cells, and the run says all of them by itself', () => {
  const tally = createTally();
  tally.addFailures([{ orgId: null, from: '2025-11-01', to: '2025-11-05', code: 'past_horizon', message: 'skipped' }]);
  const report = tally.toReport({ runId: null, kind: 'backfill', status: 'partial', durationMs: 1, between: null });
  const lines = ['Nothing was read.', '  past_horizon      skipped'];
  expect(renderRun({ report, tally, rejection: null })).toEqual(lines);
});

test('a cell that is not read twice is counted once', () => {
  const tally = createTally();
  const range = { from: '2026-11-22', to: '2026-11-23' };
  const slice = { orgId: orgOf(1), stream: 'device_counts', range, days: ['2026-11-23', '2026-11-22'] };
  tally.addUnreadSlice(slice, { code: 'timeout', detail: 'not requested' });
  tally.addUnreadSlice(slice, { code: 'timeout', detail: 'not requested' });
  expect(tally.counts.cells).toMatchObject({ planned: 2, failed: 2 });
});

test('a reconciliation shows its counts with thousands separators', () => {
  const counts = { comparisons: 5_334, differences: 1_000, equal: 1_111, pending: 1_222, notCompared: 2_001, days: 90 };
  expect(renderReconciliation({ from: '2026-09-01', to: '2026-11-29' }, counts, []).slice(0, 2)).toEqual([
    "Our sums compared with Losant's totals, and streams with each other, 2026-09-01..2026-11-29:",
    '5,334 comparisons: 1,000 differences, 1,111 equal, 1,222 pending, 2,001 not compared.',
  ]);
});

test.for<readonly [text: string, row: Partial<Comparison>]>([
  ['not compared, 1 organization missing from the sum', { orgsMissing: 1, reason: 'orgs_missing' }],
  ['pending, not read', { outcome: 'pending', reason: 'not_read' }],
  ['difference', { outcome: 'difference' }],
  ['difference, not settled yet', { outcome: 'difference', isSettled: false }],
  ['difference, 2 organizations differ', { outcome: 'difference', orgsDiffering: 2 }],
])('a comparison is %s', ([text, row]) => {
  const counts = { comparisons: 1, differences: 0, equal: 0, pending: 0, notCompared: 1, days: 1 };
  const comparison = {
    day: '2026-11-22',
    stream: 'device_counts',
    metric: 'devices_total',
    unit: 'devices',
    comparedWith: 'losant',
    quantity: '1',
    losantTotal: '2',
    comparedQuantity: null,
    difference: '-1',
    lastReadAt: null,
    outcome: 'not_compared' as const,
    isSettled: true,
    orgsMissing: 0,
    orgsDiffering: null,
    reason: null,
    ...row,
  };
  const [, , , line] = renderReconciliation({ from: '2026-11-22', to: '2026-11-22' }, counts, [comparison]);
  expect(line).toMatch(new RegExp(` +1 +2 +-1 +${text}$`));
});

const gap = (org: number, day: string, more: Partial<Gap> = {}): Gap => ({
  orgId: orgOf(org),
  orgName: `Org ${org}`,
  day,
  stream: 'device_counts',
  standing: 'missing',
  reason: 'server_error',
  detail: `instanceOrg.deviceCounts (org ${orgOf(org)}, days ${day}): HTTP 502`,
  nextReadAt: '2026-11-24T23:57:00.000Z',
  ...more,
});
test('gaps are grouped by cause, with consecutive days in one line and a command to paste', () => {
  const gaps = [
    gap(1, '2026-11-23'),
    gap(1, '2026-11-22', { nextReadAt: '2026-11-24T23:57:02.123Z' }),
    gap(1, '2026-11-20'),
    gap(2, '2026-11-23'),
    gap(3, '2026-11-23', { reason: 'never_read', detail: null, nextReadAt: null }),
  ];
  const summary = new GapSummary();
  for (const each of gaps) summary.add(each, NOW);
  expect(summary.render()).toEqual([
    '5 cells of 3 organizations are missing or in doubt.',
    '',
    'missing: server_error, instanceOrg.deviceCounts: HTTP 502 (4 cells)',
    `  2026-11-22..2026-11-23  device_counts  next retry 23:57 UTC (in 2 h)  ${orgOf(1)}  Org 1`,
    `  2026-11-20              device_counts  next retry 23:57 UTC (in 2 h)  ${orgOf(1)}  Org 1`,
    `  2026-11-23              device_counts  next retry 23:57 UTC (in 2 h)  ${orgOf(2)}  Org 2`,
    '',
    'missing: never_read (1 cell)',
    `  2026-11-23  device_counts  no automatic retry  ${orgOf(3)}  Org 3`,
    '',
    'To see one in detail, with commands that help:',
    `  losant-usage explain --org ${orgOf(1)} --day 2026-11-23 --stream device_counts`,
  ]);
});
