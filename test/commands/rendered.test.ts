/** What people read of a run, of gaps and of the state of everything. */
import { describe, expect, test } from 'vitest';
import { renderGaps } from '../../src/cli/gaps.ts';
import { type InstanceEnd, renderEnd } from '../../src/cli/run-result.ts';
import { renderStatus } from '../../src/cli/status.ts';
import { LosantError, SettingsError } from '../../src/errors.ts';
import { type Failure, type RunReport, Tally } from '../../src/export/report.ts';
import type { RunOutcome } from '../../src/export/run.ts';
import type { Gap } from '../../src/queries/gaps.ts';
import type { InstanceHealth, RunRecord, StreamHealth } from '../../src/queries/health.ts';
import { type Line, renderLine } from '../../src/terminal/text.ts';
import { STREAM as HEALTHY } from '../server/pages.ts';

const NOW = Date.UTC(2026, 10, 24, 21, 57);
const instanceId = '575ec8687ae143cd83dc4a97';

const plain = (lines: readonly Line[]) => lines.map((line) => renderLine(line, { color: false }));
const orgOf = (number: number) => number.toString(16).padStart(24, '0');

describe('a run', () => {
  const NONE = { loaded: 0, unchanged: 0, left_out: 0, failed: 0, quarantined: 0, unavailable: 0 };
  const REPORT: RunReport = {
    runId: '00000000-0000-4000-8000-000000000001',
    kind: 'manual',
    status: 'complete',
    from: '2026-11-23',
    to: '2026-11-23',
    orgs: 1_234,
    cells: { ...NONE, planned: 4_936, loaded: 4_936 },
    rows: { inserted: 7_000, updated: 0, deleted: 0, unchanged: 0 },
    requests: 7_405,
    durationMs: 372_000,
    failures: [],
  };
  const shown = (report: Partial<RunReport>, more: Partial<RunOutcome> = {}) => {
    const tally = new Tally(instanceId, () => 0);
    const outcome = { report: { ...REPORT, ...report }, tally, refusal: null, ...more };
    return plain(renderEnd({ instanceId, outcome }));
  };

  test('is two lines when all is well', () => {
    expect(shown({})).toEqual([
      `Instance ${instanceId}: complete, 2026-11-23, 1,234 organizations, 7,405 requests, 6 min 12 s`,
      '  4,936 numbers asked for: 4,936 new',
    ]);
    const nothing = { from: null, to: null, cells: { ...NONE, planned: 0 } };
    expect(shown(nothing)).toEqual([`Instance ${instanceId}: nothing is due`]);
  });

  test('names what changed apart from what is new, what is missing, and the next command', () => {
    const cells = { ...NONE, planned: 11, loaded: 4, unchanged: 6, left_out: 1 };
    const tally = Object.assign(new Tally(instanceId, () => 0), { restated: 3, restatedFinal: 1 });
    expect(shown({ status: 'partial', cells }, { tally }).slice(1)).toEqual([
      '  11 numbers asked for: 1 new, 3 changed, 6 unchanged, 1 left out',
      '  1 final number restated by Losant: see the view losant_usage.restatements',
      '  What is missing, and why: losant-usage gaps',
    ]);
  });

  test('of an instance that was not exported says why, and what to do', () => {
    const error = new SettingsError('the token is empty', { hint: 'write it into the file' });
    const end: InstanceEnd = { instanceId, error };
    expect(plain(renderEnd(end))).toEqual([
      `Instance ${instanceId}: not exported. the token is empty`,
      '  write it into the file',
    ]);
  });

  test('groups failures by cause, so that one does not hide another, and ends with what to do', () => {
    const message = (org: number) =>
      `instanceOrg.deviceCounts (org ${orgOf(org)}, days 2026-11-23): HTTP 403`;
    const refused = (org: number): Failure => ({
      instanceId,
      orgId: orgOf(org),
      stream: 'device_counts',
      from: '2026-11-20',
      to: '2026-11-23',
      code: 'forbidden',
      message: message(org),
    });
    const whole = { ...refused(9), stream: null, from: null, to: null, code: 'bad_body', message: 'no name' };
    const tally = new Tally(instanceId, () => 0);
    tally.addFailures([...Array.from({ length: 203 }, (_, index) => refused(index)), whole]);
    const refusal = new LosantError('forbidden', 'instanceOrg.deviceCounts: HTTP 403', {
      action: 'instanceOrg.deviceCounts',
      status: 403,
      body: null,
      hint: 'add instanceOrg.deviceCounts to it',
    });
    expect(shown({ status: 'partial' }, { tally, refusal }).slice(2)).toEqual([
      `  forbidden  device_counts  203 numbers, 203 organizations, e.g. ${orgOf(0)}  instanceOrg.deviceCounts: HTTP 403`,
      `  bad_body                  1 organization, e.g. ${orgOf(9)}                  no name`,
      '  Losant refused: instanceOrg.deviceCounts: HTTP 403',
      '  add instanceOrg.deviceCounts to it',
      '  What is missing, and why: losant-usage gaps',
    ]);
  });
});

describe('gaps', () => {
  const gap = (org: number, day: string, more: Partial<Gap> = {}): Gap => ({
    instanceId,
    orgId: orgOf(org),
    orgName: `Org ${org}`,
    day,
    stream: 'device_counts',
    standing: 'missing',
    reason: 'server_error',
    message: `instanceOrg.deviceCounts (org ${orgOf(org)}, days ${day}): HTTP 502`,
    nextReadAt: '2026-11-24T23:57:00.000Z',
    ...more,
  });
  const shown = (gaps: readonly Gap[]) => plain(renderGaps(gaps, NOW));

  test('of one cause are together, neighbouring days in one line, and end with commands to paste', () => {
    const gaps = [
      gap(1, '2026-11-23'),
      gap(1, '2026-11-22', { nextReadAt: '2026-11-24T23:57:02.123Z' }),
      gap(1, '2026-11-20'),
      gap(2, '2026-11-23'),
      gap(3, '2026-11-23', { reason: 'never_read', message: null, nextReadAt: null }),
    ];
    const cell = `--org ${orgOf(1)} --stream device_counts`;
    expect(shown(gaps)).toEqual([
      '5 numbers of 3 organizations are missing or in doubt.',
      '',
      'missing: server_error, instanceOrg.deviceCounts: HTTP 502 (4 numbers)',
      `  2026-11-22..2026-11-23  device_counts  next try 23:57 UTC (in 2 h)  ${orgOf(1)}  Org 1`,
      `  2026-11-20              device_counts  next try 23:57 UTC (in 2 h)  ${orgOf(1)}  Org 1`,
      `  2026-11-23              device_counts  next try 23:57 UTC (in 2 h)  ${orgOf(2)}  Org 2`,
      '',
      'missing: never_read (1 number)',
      `  2026-11-23  device_counts  not read again by itself  ${orgOf(3)}  Org 3`,
      '',
      'What is due is read by the next run. To read one at once, to see more of it, to accept it as it stands:',
      `  losant-usage backfill --from 2026-11-23 --to 2026-11-23 ${cell} --force`,
      `  losant-usage explain --day 2026-11-23 ${cell}`,
      `  losant-usage waive --day 2026-11-23 ${cell} --reason TEXT`,
    ]);
  });

  test('are not what is accepted or unavailable, which ends with the command that accepts it', () => {
    const known = [
      gap(1, '2026-08-03', { standing: 'unavailable', reason: 'past_horizon', message: null }),
      gap(1, '2026-07-01', { standing: 'unavailable', reason: 'past_horizon', message: null }),
      gap(2, '2026-08-03', { standing: 'accepted', reason: 'waived', message: 'agreed on 2026-11-20' }),
    ];
    expect(shown(known)).toEqual([
      'No gaps.',
      '',
      '3 numbers of 2 organizations are accepted or unavailable.',
      '',
      'unavailable: past_horizon (2 numbers)',
      `  2026-08-03  device_counts    ${orgOf(1)}  Org 1`,
      `  2026-07-01  device_counts    ${orgOf(1)}  Org 1`,
      '',
      'accepted: waived, agreed on 2026-11-20 (1 number)',
      `  2026-08-03  device_counts    ${orgOf(2)}  Org 2`,
      '',
      'What is unavailable no longer comes. To accept it:',
      `  losant-usage waive --day 2026-08-03 --org ${orgOf(1)} --stream device_counts --reason TEXT`,
    ]);
  });
});

describe('status', () => {
  const NO_CELLS = { final: 0, accepted: 0, stored: 0, waiting: 0, unavailable: 0, in_doubt: 0, missing: 0 };
  const STREAM: StreamHealth = {
    ...HEALTHY,
    cells: { ...NO_CELLS, final: 23_000 },
    orgs: 1_000,
    orgsComplete: 1_000,
  };
  const QUIET: InstanceHealth = {
    instanceId,
    name: 'Acme',
    organizations: 1_000,
    listedAt: null,
    listProblem: null,
    totalsProblem: null,
    lastRunAt: null,
    lastCompleteRunAt: null,
    leaseSince: null,
    finalChanges: 0,
    finalChanges30Days: 0,
    differences: 0,
    streams: [STREAM],
  };
  const shown = (instances: readonly InstanceHealth[], runs: readonly RunRecord[] = []) =>
    plain(renderStatus({ at: '', gaps: 0, instances, notInSettings: [], runs }, NOW));

  test('of a database that nothing was exported to names the first command', () => {
    expect(shown([])).toEqual(['Nothing has been exported yet. Start with: losant-usage run']);
  });

  test('says what is not as it should be, and the next command', () => {
    const yesterday = { waiting: 1_000, unavailable: 0, in_doubt: 1, missing: 3 };
    const gappy = { orgsComplete: 998, completeTo: null, gaps: 4, orgsWithGaps: 2, oldestGap: '2026-11-01' };
    const instance = {
      ...QUIET,
      leaseSince: '2026-11-24T21:45:00.000Z',
      finalChanges30Days: 3,
      listProblem: 'page 2 did not come',
      streams: [{ ...STREAM, ...gappy, yesterday, quarantined: 1_234, failing: 2 }],
    };
    expect(shown([instance])).toEqual([
      `Instance ${instanceId}`,
      '  Yesterday, 2026-11-23, is not complete: 3 missing, 1 in doubt, 1,000 waiting.',
      '  stream                 organizations  newest      complete to  gaps',
      '  device_counts  998 of 1,000 complete  2026-11-23  no day       4 numbers of 2 organizations since 2026-11-01',
      '  no runs on record',
      '  exported now, since 2026-11-24 21:45 UTC',
      '  organizations may be missing: the list was not complete, page 2 did not come',
      '  1,234 answers in quarantine',
      '  reads of 2 stored numbers keep failing',
      '  3 final numbers changed in the last 30 days: see the view restatements',
      '  Next: losant-usage gaps lists the gaps, and why',
    ]);
  });

  test.each([
    ['is complete.', {}, 12],
    ['is not complete: 2 waiting.', { yesterday: { ...STREAM.yesterday, waiting: 2 } }, 0],
    ['is not wanted.', { lastDay: '2026-11-20' }, 0],
  ])('of yesterday says that it %s', (sentence, changes, gaps) => {
    const streams = [{ ...STREAM, ...changes, gaps }];
    expect(shown([{ ...QUIET, streams }])[1]).toBe(`  Yesterday, 2026-11-23, ${sentence}`);
  });

  test('says of each run how it ended', () => {
    const cells = { loaded: 0, unchanged: 0, left_out: 0, unavailable: 0, planned: 4_936 };
    const run: RunRecord = {
      runId: '00000000-0000-4000-8000-000000000001',
      instanceId,
      kind: 'manual',
      status: 'complete',
      from: '2026-11-23',
      to: '2026-11-23',
      startedAt: '2026-11-24T00:15:00.000Z',
      finishedAt: '2026-11-24T00:21:12.000Z',
      version: '1.2.3',
      counts: { cells: { ...cells, failed: 0, quarantined: 0 } },
      failures: [],
      error: null,
    };
    const runs: readonly RunRecord[] = [
      run,
      { ...run, status: 'partial', counts: { cells: { ...cells, failed: 1, quarantined: 2 } } },
      { ...run, kind: 'backfill', from: '2026-11-01', status: 'interrupted', error: 'Interrupted by SIGINT' },
      { ...run, status: 'running', from: null, to: null, finishedAt: null },
    ];
    const at = '    2026-11-24 00:15 UTC';
    expect(shown([QUIET], runs).slice(5)).toEqual([
      `${at}  2026-11-23              6 min 12 s  manual    complete     4,936 numbers`,
      `${at}  2026-11-23              6 min 12 s  manual    partial      4,936 numbers, 1 failed, 2 in quarantine`,
      `${at}  2026-11-01..2026-11-23  6 min 12 s  backfill  interrupted  4,936 numbers, Interrupted by SIGINT`,
      `${at}                                      manual    running      4,936 numbers`,
    ]);
  });
});
