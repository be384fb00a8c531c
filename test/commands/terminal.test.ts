import { stripVTControlCharacters } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { daysAgo } from '../support/days.ts';
import { runProgram } from '../support/program.ts';
import { runInTerminal } from '../support/terminal.ts';

const day = daysAgo(1);
const EVIL = 'evil\x1b[2J\x1b[31mRED\ttab\nline\u009b31m\u202eoverride';
const ESC = '\x1b';
/** A colour or a style. */
const COLOR = new RegExp(`${ESC}\\[\\d+m`, 'g');

const exported = useExport({ orgs: 3 });
let orgId: string;

beforeAll(async () => {
  [orgId = ''] = await orgIdsOf(exported.platform);
  await exported.platform.send('PATCH', `/orgs/${orgId}`, { name: EVIL });
  // Its devices are missing until the faults end.
  const faults = { kinds: ['server_error'], orgIds: [orgId], actions: ['deviceCounts'], forever: true };
  await exported.platform.control('config', { faults });
  await exported.run(['run'], { REQUEST_ATTEMPTS: '1' });
});

/** Without a LOG_LEVEL, which asks for the log. */
function env(changes: Record<string, string> = {}) {
  const { LOG_LEVEL: _, ...settings } = exported.env;
  return { ...settings, ...changes };
}

const onTerminal = (args: readonly string[], changes?: Record<string, string>) =>
  runProgram(args, { TERM: 'xterm-256color', ...env(changes) }, { columns: 120 });

describe('a hostile name', () => {
  const SHOWN = 'evil\\x1b[2J\\x1b[31mRED\\ttab\\nline\\x9b31m\\u202eoverride';

  // Promise (Operation): Whatever a name, tag or key contains, no terminal gets a control character of it, no page
  // markup, no CSV cell a formula.
  it.each([[['gaps']], [['explain', '--org', '$ORG', '--day', day]], [['check']]])(
    'reaches no terminal and breaks no line in %j',
    async (args) => {
      const { stdout } = await onTerminal(args.map((arg) => (arg === '$ORG' ? orgId : arg)));
      const withoutColors = stdout.replaceAll(COLOR, '');
      expect(withoutColors.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
      if (args[0] !== 'check') expect(withoutColors).toContain(SHOWN);
    },
  );

  it('is the same name in JSON, with the controls escaped', async () => {
    const [orgId = ''] = await orgIdsOf(exported.platform);
    const { stdout } = await exported.run(['explain', '--org', orgId, '--day', day, '--json']);
    expect(stdout.trimEnd()).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(JSON.parse(stdout)).toMatchObject({ org: { orgName: EVIL } });
  });
});

describe('a run on a terminal', () => {
  beforeAll(async () => {
    await exported.platform.control('config', { faults: null });
    await exported.run(['run', '--date', day]);
  });

  it('shows a bar and a short coloured summary, and no log', async () => {
    const { code, stdout } = await onTerminal(['run', '--date', day], { REQUESTS_PER_SECOND: '30' });
    expect(code).toBe(0);
    expect(stdout).toContain(' of 12 numbers | ');
    expect(stdout).toMatch(COLOR);
    expect(stdout).not.toMatch(/run finished|INFO|"level"/);
    const shown = stripVTControlCharacters(stdout).split('\n').slice(-3);
    expect(shown[0]).toMatch(
      /Instance [0-9a-f]{24}: complete, \S+, 3 organizations, \d+ requests, [\d.]+ s$/,
    );
    expect(shown.slice(1)).toEqual(['  12 numbers asked for: 12 unchanged', '']);
  });

  it.each([
    ['--verbose', ['--verbose'], {}],
    ['LOG_LEVEL', [], { LOG_LEVEL: 'info' }],
  ])('shows the log with %s, after the bar is gone', async (_how, options, changes) => {
    const slow = { ...changes, REQUESTS_PER_SECOND: '30' };
    const { stdout } = await onTerminal(['run', '--date', day, ...options], slow);
    expect(stdout).toContain('run finished');
    expect(stdout.lastIndexOf(' numbers | ')).toBeGreaterThan(-1);
    expect(stdout.lastIndexOf(' numbers | ')).toBeLessThan(stdout.indexOf('run finished'));
  });

  it('prints every count with --verbose, also those that are zero', async () => {
    const { stdout } = await exported.run(['run', '--date', day, '--verbose']);
    expect(stdout).toContain(
      '  12 numbers asked for: 0 new, 0 changed, 12 unchanged, 0 left out, 0 failed, 0 in quarantine, 0 unavailable\n',
    );
    expect(stdout).toMatch(/\n {2}rows: 0 inserted, 0 updated, 0 deleted, \d+ unchanged\n/);
  });

  it.each([
    ['NO_COLOR', [], { NO_COLOR: '1' }],
    ['--no-color', ['--no-color'], {}],
    ['a terminal that has none', [], { TERM: 'dumb' }],
  ])('has no colours with %s', async (_how, options, changes) => {
    for (const args of [['status'], ['--help'], ['run', '--colour']]) {
      const { stdout } = await onTerminal([...args, ...options], changes);
      expect(stdout).not.toMatch(COLOR);
    }
  });

  it('has colours in status, help and errors otherwise', async () => {
    for (const args of [['status'], ['--help'], ['run', '--colour']]) {
      expect((await onTerminal(args)).stdout).toMatch(COLOR);
    }
    expect((await runInTerminal(['status'], env())).stdout).toMatch(COLOR);
  });

  it('keeps each line of status within its width', async () => {
    const { stdout } = await onTerminal(['status', '--no-color']);
    expect(stdout).toContain('last runs:');
    expect(stdout.split('\n').filter((line) => line.length > 120)).toEqual([]);
  });
});

it('without a terminal there is no colour and no bar, and the log is JSON on stderr', async () => {
  const { stdout, stderr } = await exported.run(['run', '--date', day]);
  expect(stdout).not.toContain(ESC);
  expect(
    stderr
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { msg: string }).msg),
  ).toEqual(['run finished']);
});
