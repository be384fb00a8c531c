import { describe, expect, test } from 'vitest';
import { type InstanceEnd, renderEnd, type ShownOutcome } from '../../src/cli/export-result.ts';
import { LosantError, SettingsError } from '../../src/errors.ts';
import type { Failure, RunReport } from '../../src/export/report.ts';
import { renderLine } from '../../src/terminal/text.ts';

const instanceId = '575ec8687ae143cd83dc4a97';
const NONE = { planned: 0, loaded: 0, unchanged: 0, left_out: 0, failed: 0, quarantined: 0, unavailable: 0 };

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

function shown(report: Partial<RunReport>, more: Partial<ShownOutcome> = {}, verbose = false) {
  const tally = { restated: 0, restatedFinal: 0 };
  const outcome: ShownOutcome = { report: { ...REPORT, ...report }, tally, refusal: null, ...more };
  return lines({ instanceId, outcome }, verbose);
}

function lines(end: InstanceEnd, verbose = false) {
  return renderEnd(end, verbose).map((line) => renderLine(line, { color: false }));
}

const orgOf = (number: number) => number.toString(16).padStart(24, '0');

describe('the summary of a run', () => {
  test('is two lines with separators when all is well', () => {
    expect(shown({})).toEqual([
      `Instance ${instanceId}: complete, 2026-11-23, 1,234 organizations, 7,405 requests, 6 min 12 s`,
      '  4,936 numbers asked for: 4,936 new',
    ]);
  });

  test('counts one of a thing as one', () => {
    const cells = { ...NONE, planned: 1, unchanged: 1 };
    expect(shown({ orgs: 1, requests: 1, durationMs: 400, cells })).toEqual([
      `Instance ${instanceId}: complete, 2026-11-23, 1 organization, 1 request, 0.4 s`,
      '  1 number asked for: 1 unchanged',
    ]);
  });

  test('names what changed apart from what is new', () => {
    const cells = { ...NONE, planned: 10, loaded: 4, unchanged: 6 };
    const tally = { restated: 3, restatedFinal: 1 };
    expect(shown({ cells }, { tally }).slice(1)).toEqual([
      '  10 numbers asked for: 1 new, 3 changed, 6 unchanged',
      '  1 final number restated by Losant: see the view losant_usage.restatements',
    ]);
  });

  test('shows every count when asked', () => {
    expect(shown({}, {}, true).slice(1)).toEqual([
      '  4,936 numbers asked for: 4,936 new, 0 changed, 0 unchanged, 0 left out, 0 failed, 0 in quarantine, 0 unavailable',
      '  rows: 7,000 inserted, 0 updated, 0 deleted, 0 unchanged',
    ]);
  });

  test('says that nothing is due, or that nothing was read', () => {
    const nothing = { from: null, to: null, cells: NONE };
    expect(shown(nothing)).toEqual([`Instance ${instanceId}: nothing is due`]);
    expect(shown({ ...nothing, status: 'partial' })[0]).toBe(`Instance ${instanceId}: nothing was read`);
  });

  test('is incomplete if Losant left out what it read, although nothing failed, and names the next command', () => {
    const cells = { ...NONE, planned: 2, loaded: 1, left_out: 1 };
    const lines = shown({ status: 'partial', cells });
    expect(lines[0]).toContain(`Instance ${instanceId}: incomplete, 2026-11-23`);
    expect(lines.slice(1)).toEqual([
      '  2 numbers asked for: 1 new, 1 left out',
      '  What is missing, and why: losant-usage gaps',
    ]);
  });

  test('of an instance that was not exported says why, and what to do', () => {
    const error = new SettingsError('the token is empty', { hint: 'write it into the file' });
    expect(lines({ instanceId, error })).toEqual([
      `Instance ${instanceId}: not exported. the token is empty`,
      '  write it into the file',
    ]);
  });
});

describe('failures', () => {
  const refused = (number: number): Failure => ({
    instanceId,
    orgId: orgOf(number),
    stream: 'notebook_minutes',
    from: '2026-11-23',
    to: '2026-11-23',
    code: 'forbidden',
    message: `instanceOrg.notebookMinuteCounts (org ${orgOf(number)}, days 2026-11-23): HTTP 403 Forbidden`,
  });
  const broken: Failure = {
    ...refused(999),
    stream: 'device_counts',
    from: '2026-11-20',
    code: 'server_error',
    message: `instanceOrg.deviceCounts (org ${orgOf(999)}, days 2026-11-20..2026-11-23): HTTP 500 Internal Server Error`,
  };

  test('of one cause are one group, and do not hide the failure of another organization', () => {
    const failures = [...Array.from({ length: 203 }, (_, index) => refused(index)), broken];
    expect(shown({ status: 'partial', failures }).slice(2, -1)).toEqual([
      '  203 failures in 203 organizations: forbidden: instanceOrg.notebookMinuteCounts: HTTP 403 Forbidden',
      `    ${orgOf(0)}  notebook_minutes  2026-11-23`,
      `    ${orgOf(1)}  notebook_minutes  2026-11-23`,
      `    ${orgOf(2)}  notebook_minutes  2026-11-23`,
      '    and 200 more (--json has all)',
      `  4 failures in 1 organization: server_error: ${broken.message}`,
      `    ${orgOf(999)}  device_counts  2026-11-20..2026-11-23`,
    ]);
  });

  test('of an organization as a whole say so', () => {
    const failure = {
      ...refused(1),
      stream: null,
      from: null,
      to: null,
      code: 'bad_body',
      message: 'name is missing',
    };
    expect(shown({ status: 'partial', failures: [failure] }).slice(2, -1)).toEqual([
      '  1 failure in 1 organization: bad_body: name is missing',
      `    ${orgOf(1)}  all streams`,
    ]);
  });

  test('of a refused scope end with what to do', () => {
    const refusal = new LosantError('forbidden', 'instanceOrg.deviceCounts: HTTP 403', {
      action: 'instanceOrg.deviceCounts',
      status: 403,
      body: null,
      hint: 'The token lacks a scope: add instanceOrg.deviceCounts to it.',
    });
    expect(shown({ status: 'partial', failures: [refused(1)] }, { refusal }).slice(-3, -1)).toEqual([
      '  Losant refused: instanceOrg.deviceCounts: HTTP 403',
      '  The token lacks a scope: add instanceOrg.deviceCounts to it.',
    ]);
  });
});
