import { expect, test } from 'vitest';
import { type InstanceReport, renderStatus } from '../../src/cli/status.ts';
import { renderLine, wrapLine } from '../../src/terminal/text.ts';

const NOW = Date.UTC(2026, 10, 24, 22, 57);
const RUN = {
  runId: '00000000-0000-4000-8000-000000000001',
  instanceId: '575ec8687ae143cd83dc4a97',
  kind: 'manual',
  status: 'complete',
  from: '2026-11-23',
  to: '2026-11-23',
  startedAt: '2026-11-24T00:15:00.000Z',
  finishedAt: '2026-11-24T00:21:12.000Z',
  host: 'host',
  version: '0.1.0',
  cells: { planned: 4_936, failed: 0, quarantined: 0 },
  error: null,
} as const;
const QUIET: InstanceReport = {
  instanceId: '575ec8687ae143cd83dc4a97',
  apiUrl: 'https://api.losant.com',
  listedAt: null,
  lease: null,
  quarantined: 0,
  restatedFinal30Days: 0,
  restatedFinal: 0,
  streams: [],
  runs: [],
};

const shown = (instances: readonly InstanceReport[]) =>
  renderStatus(instances, NOW).map((line) => renderLine(line, { color: false }));

test('a database that nothing was exported to names the first command', () => {
  expect(shown([])).toEqual(['Nothing has been exported yet. Start with: losant-usage run']);
});

test('an instance that is exported right now says by whom and since when', () => {
  const lease = { runId: RUN.runId, host: 'worker-1', since: '2026-11-24T22:45:00.000Z' };
  expect(shown([{ ...QUIET, lease, quarantined: 1_234 }]).slice(2)).toEqual([
    '  exported now by worker-1, since 2026-11-24 22:45 UTC (12 min ago)',
    '  1,234 answers in quarantine',
    '  no runs on record',
  ]);
});

test('each run says how it ended, in words', () => {
  const backfill = { ...RUN, kind: 'backfill', from: '2026-09-01', to: '2026-11-20' } as const;
  const cells = { planned: 1_115, failed: 0, quarantined: 0 };
  const runs = [
    RUN,
    { ...RUN, status: 'partial', cells: { planned: 10, failed: 1, quarantined: 2 } },
    { ...backfill, status: 'interrupted', cells, error: 'Interrupted by SIGINT' },
    { ...RUN, status: 'interrupted', cells, error: 'the process died without reporting' },
    { ...RUN, status: 'failed', from: null, to: null, error: 'Losant is away' },
    { ...RUN, status: 'running', finishedAt: null, cells: { planned: 1, failed: 0, quarantined: 0 } },
  ] as const;
  const took = '2026-11-24 00:15 UTC';
  expect(shown([{ ...QUIET, runs }]).slice(4)).toEqual([
    `    ${took}  2026-11-23              6 min 12 s     run: complete, 4,936 numbers`,
    `    ${took}  2026-11-23              6 min 12 s     run: incomplete, 10 numbers, 1 number failed, 2 in quarantine`,
    `    ${took}  2026-09-01..2026-11-20  6 min 12 s     backfill stopped by you: 1,115 numbers so far; the same command goes on`,
    `    ${took}  2026-11-23              6 min 12 s     run stopped (the process died without reporting): 1,115 numbers so far; the next run goes on`,
    `    ${took}                          6 min 12 s     run: failed: Losant is away`,
    `    ${took}  2026-11-23              still running  run: 1 number so far`,
  ]);
});

const STREAM = {
  instanceId: QUIET.instanceId,
  stream: 'device_counts',
  trackedFrom: '2026-11-01',
  orgs: 1_000,
  orgsComplete: 1_000,
  newestDay: '2026-11-23',
  completeTo: '2026-11-23',
  gaps: 0,
  orgsWithGaps: 0,
  oldestGap: null,
} as const;

test('says of how many organizations nothing is missing, where it is not all of them', () => {
  const gappy = {
    ...STREAM,
    orgsComplete: 998,
    completeTo: null,
    gaps: 3,
    orgsWithGaps: 2,
    oldestGap: '2026-11-01',
  };
  expect(shown([{ ...QUIET, streams: [STREAM] }])[2]?.trimEnd()).toBe(
    '  device_counts          1,000  2026-11-23  2026-11-23   nothing',
  );
  expect(shown([{ ...QUIET, streams: [gappy] }])[2]).toBe(
    '  device_counts  998 of 1,000 complete  2026-11-23  no day       3 numbers of 2 organizations since 2026-11-01',
  );
});

test('fits a terminal of 120 columns, also with large numbers and long reasons', () => {
  const stream = { ...STREAM, stream: 'notebook_minutes', orgs: 12_345, orgsComplete: 11_999 };
  const gappy = { ...stream, gaps: 1_234_567, orgsWithGaps: 10_346, oldestGap: '2026-11-01' };
  const run = {
    ...RUN,
    from: '2026-09-01',
    cells: { planned: 1_234_567, failed: 123_456, quarantined: 999 },
  };
  const error =
    'The database at db.example.com:5432/usage cannot be reached: connect ECONNREFUSED 10.0.0.12:5432';
  const runs = [{ ...run, status: 'partial' } as const, { ...run, status: 'failed', error } as const];
  const lines = renderStatus([{ ...QUIET, streams: [gappy], runs }], NOW).flatMap((line) =>
    wrapLine(line, 120),
  );
  const texts = lines.map((line) => renderLine(line, { color: false }));
  expect(texts[2]).toContain('1,234,567 numbers of 10,346 organizations');
  expect(texts.filter((text) => text.trimEnd().length > 120)).toEqual([]);
});

test('says that final numbers were restated', () => {
  expect(shown([{ ...QUIET, restatedFinal30Days: 1, restatedFinal: 7 }])).toContain(
    '  1 final number was restated in the last 30 days: see the view restatements',
  );
  expect(shown([{ ...QUIET, restatedFinal30Days: 0, restatedFinal: 7 }]).join('\n')).not.toContain(
    'restated',
  );
});
