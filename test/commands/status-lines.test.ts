import { describe, expect, test } from 'vitest';
import { renderStatus } from '../../src/cli/status.ts';
import type { InstanceHealth, StreamHealth } from '../../src/queries/health.ts';
import type { RunRecord } from '../../src/queries/runs.ts';
import { renderLine, wrapLine } from '../../src/terminal/text.ts';

const NOW = Date.UTC(2026, 10, 24, 22, 57);
const RUN: RunRecord = {
  runId: '00000000-0000-4000-8000-000000000001',
  instanceId: '575ec8687ae143cd83dc4a97',
  kind: 'manual',
  status: 'complete',
  from: '2026-11-23',
  to: '2026-11-23',
  startedAt: '2026-11-24T00:15:00.000Z',
  finishedAt: '2026-11-24T00:21:12.000Z',
  version: '1.2.3',
  counts: { cells: cellsOf(4_936) },
  failures: [],
  error: null,
};

function cellsOf(planned: number, more: { readonly failed?: number; readonly quarantined?: number } = {}) {
  const none = { loaded: 0, unchanged: 0, left_out: 0, failed: 0, quarantined: 0, unavailable: 0 };
  return { ...none, planned, ...more };
}

const QUIET: InstanceHealth = {
  instanceId: '575ec8687ae143cd83dc4a97',
  name: 'Acme',
  apiUrl: 'https://api.losant.com',
  organizations: 1_000,
  deletedOrganizations: 0,
  listedAt: null,
  listProblem: null,
  totalsProblem: null,
  lastRunAt: null,
  lastCompleteRunAt: null,
  leaseRunId: null,
  leaseSince: null,
  finalChanges: 0,
  finalChanges30Days: 0,
  differences: 0,
  streams: [],
};

const render = (instances: readonly InstanceHealth[], runs: readonly RunRecord[] = []) =>
  renderStatus({ at: new Date(NOW).toISOString(), gaps: 0, instances, notInSettings: [], runs }, NOW);
const shown = (instances: readonly InstanceHealth[], runs: readonly RunRecord[] = []) =>
  render(instances, runs).map((line) => renderLine(line, { color: false }));

test('a database that nothing was exported to names the first command', () => {
  expect(shown([])).toEqual(['Nothing has been exported yet. Start with: losant-usage run']);
});

test('an instance that is exported right now says since when', () => {
  const leaseSince = '2026-11-24T22:45:00.000Z';
  const streams = [{ ...STREAM, quarantined: 1_234, failing: 2 }];
  expect(shown([{ ...QUIET, leaseSince, streams }]).slice(4)).toEqual([
    '  exported now, since 2026-11-24 22:45 UTC (12 min ago)',
    '  1,234 answers in quarantine',
    '  reads of 2 stored numbers keep failing',
    '  no runs on record',
  ]);
});

test('each run says how it ended, in words', () => {
  const backfill = { ...RUN, kind: 'backfill', from: '2026-09-01', to: '2026-11-20' } as const;
  const counts = { cells: cellsOf(1_115) };
  const runs = [
    RUN,
    { ...RUN, status: 'partial', counts: { cells: cellsOf(10, { failed: 1, quarantined: 2 }) } },
    { ...RUN, status: 'partial', counts: { cells: cellsOf(10) } },
    { ...backfill, status: 'interrupted', counts, error: 'Interrupted by SIGINT' },
    { ...RUN, status: 'interrupted', counts, error: 'the process died without reporting' },
    { ...RUN, status: 'failed', from: null, to: null, error: 'Losant is away' },
    { ...RUN, status: 'running', finishedAt: null, counts: { cells: cellsOf(1) } },
  ] as const;
  const took = '2026-11-24 00:15 UTC';
  expect(shown([QUIET], runs).slice(4)).toEqual([
    `    ${took}  2026-11-23              6 min 12 s     run: complete, 4,936 numbers`,
    `    ${took}  2026-11-23              6 min 12 s     run: incomplete, 10 numbers, 1 number failed, 2 in quarantine`,
    `    ${took}  2026-11-23              6 min 12 s     run: incomplete, 10 numbers`,
    `    ${took}  2026-09-01..2026-11-20  6 min 12 s     backfill stopped by you: 1,115 numbers so far; the next run goes on`,
    `    ${took}  2026-11-23              6 min 12 s     run stopped (the process died without reporting): 1,115 numbers so far; the next run goes on`,
    `    ${took}                          6 min 12 s     run: failed: Losant is away`,
    `    ${took}  2026-11-23              still running  run: 1 number so far`,
  ]);
});

const NO_CELLS = { final: 0, accepted: 0, stored: 0, waiting: 0, unavailable: 0, in_doubt: 0, missing: 0 };
const STREAM: StreamHealth = {
  stream: 'device_counts',
  cells: { ...NO_CELLS, final: 23_000 },
  yesterday: { waiting: 0, unavailable: 0, in_doubt: 0, missing: 0 },
  yesterdayReadAt: null,
  newestReadDay: '2026-11-23',
  firstDay: '2026-11-01',
  orgs: 1_000,
  orgsComplete: 1_000,
  lastDay: '2026-11-23',
  completeTo: '2026-11-23',
  gaps: 0,
  orgsWithGaps: 0,
  oldestGap: null,
  expiring: 0,
  failing: 0,
  quarantined: 0,
};

test('says of how many organizations nothing is missing, where it is not all of them', () => {
  const gappy = {
    ...STREAM,
    orgsComplete: 998,
    completeTo: null,
    gaps: 3,
    orgsWithGaps: 2,
    oldestGap: '2026-11-01',
  };
  expect(shown([{ ...QUIET, streams: [STREAM] }])[3]?.trimEnd()).toBe(
    '  device_counts          1,000  2026-11-23  2026-11-23   none',
  );
  expect(shown([{ ...QUIET, streams: [gappy] }])[3]).toBe(
    '  device_counts  998 of 1,000 complete  2026-11-23  no day       3 numbers of 2 organizations since 2026-11-01',
  );
});

test('fits a terminal of 120 columns, also with large numbers and long reasons', () => {
  const stream = { ...STREAM, stream: 'notebook_minutes', orgs: 12_345, orgsComplete: 11_999 };
  const gappy = { ...stream, gaps: 1_234_567, orgsWithGaps: 10_346, oldestGap: '2026-11-01' };
  const run = {
    ...RUN,
    from: '2026-09-01',
    counts: { cells: cellsOf(1_234_567, { failed: 123_456, quarantined: 999 }) },
  };
  const error =
    'The database at db.example.com:5432/usage cannot be reached: connect ECONNREFUSED 10.0.0.12:5432';
  const runs = [{ ...run, status: 'partial' } as const, { ...run, status: 'failed', error } as const];
  const lines = render([{ ...QUIET, streams: [gappy] }], runs).flatMap((line) => wrapLine(line, 120));
  const texts = lines.map((line) => renderLine(line, { color: false }));
  expect(texts[3]).toContain('1,234,567 numbers of 10,346 organizations');
  expect(texts.filter((text) => text.trimEnd().length > 120)).toEqual([]);
});

test('says that final numbers changed', () => {
  const changed = { ...QUIET, finalChanges30Days: 3, finalChanges: 7 };
  expect(shown([changed])).toContain(
    '  3 final numbers changed in the last 30 days: see the view restatements',
  );
  expect(shown([{ ...changed, finalChanges30Days: 0 }]).join('\n')).not.toContain('changed');
});

describe('the sentence on yesterday', () => {
  const yesterdayOf = (yesterday: Partial<StreamHealth['yesterday']>, more: Partial<StreamHealth> = {}) =>
    shown([
      { ...QUIET, streams: [{ ...STREAM, ...more, yesterday: { ...STREAM.yesterday, ...yesterday } }] },
    ])[1];

  test.each([
    ['complete, whatever is the matter with older days', {}, 'complete.'],
    ['not complete while it waits', { waiting: 2 }, 'not complete: 2 waiting.'],
    [
      'not complete with what is worst first',
      { waiting: 1_000, in_doubt: 1, missing: 3 },
      'not complete: 3 missing, 1 in doubt, 1,000 waiting.',
    ],
  ])('is %s', (_what, counts, said) => {
    expect(yesterdayOf(counts, { gaps: 12, orgsWithGaps: 1, oldestGap: '2026-11-01' })).toBe(
      `  Yesterday, 2026-11-23, is ${said}`,
    );
  });

  test('says that nothing of it is wanted', () => {
    expect(yesterdayOf({}, { lastDay: '2026-11-20' })).toBe('  Yesterday, 2026-11-23, is not wanted.');
  });
});

test('says that organizations may be missing, and why', () => {
  expect(shown([{ ...QUIET, listProblem: 'page 2 did not come' }])).toContain(
    '  organizations may be missing: the list was not complete, page 2 did not come',
  );
});
