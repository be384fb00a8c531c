/** Output to a terminal, to a pipe whose reader is gone, and to a full disk. */
import { beforeAll, expect, it } from 'vitest';
import { orgIdsOf, useInstallation } from '../e2e/installation.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, LAUNCHER, runProgram, startProcess, withLogin } from '../support/program.ts';

const day = daysAgo(1);
const EVIL = 'evil\x1b[2J\x1b[31mRED\ttab\nline\u009b31m\u202eoverride';

const installation = useInstallation({ orgs: 3 });
let orgId: string;

beforeAll(async () => {
  [orgId = ''] = await orgIdsOf(installation.platform);
  await installation.platform.send('PATCH', `/orgs/${orgId}`, { name: EVIL });
  // Its device counts stay missing.
  const faults = { kinds: ['server_error'], orgIds: [orgId], actions: ['deviceCounts'], forever: true };
  await installation.platform.control('config', { faults });
  await installation.run(['run'], { REQUEST_ATTEMPTS: '1' });
});

/** Without LOG_LEVEL, which would show the log on a terminal. */
function env(changes: Env = {}): Env {
  const { LOG_LEVEL: _, ...settings } = installation.env;
  return { ...settings, REQUEST_ATTEMPTS: '1', ...changes };
}

const onTerminal = (args: readonly string[], changes?: Env) => runProgram(args, env(changes), { isTerminal: true });

const ESCAPED = 'evil\\x1b[2J\\x1b[31mRED\\ttab\\nline\\x9b31m\\u202eoverride';

it.each([[['gaps']], [['explain', '--org', '$ORG', '--day', day]], [['check']], [['org', 'show', '--org', '$ORG']]])(
  'a hostile name reaches no terminal and breaks no line in %j',
  async (args) => {
    const { stdout } = await onTerminal(args.map((arg) => (arg === '$ORG' ? orgId : arg)));
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    if (args[0] !== 'check') expect(stdout).toContain(ESCAPED);
  },
);

it('a terminal shows a short summary of a run, and the log only with LOG_LEVEL', async () => {
  const { code, stdout } = await onTerminal(['run', '--day', day]);
  expect(code).toBe(3);
  const lines = stdout.split('\n');
  expect(lines[0]).toMatch(/^Partial: \S+, 3 organizations, \d+ requests, [\d.]+ s$/);
  expect(lines[1]).toBe('  12 cells read: 11 unchanged, 1 failed');
  expect(stdout).not.toMatch(/INFO|WARN|"level"/);
  expect((await onTerminal(['run', '--day', day], { LOG_LEVEL: 'info' })).stdout).toContain('run finished');
});

it.each([1, 2])('a reader of %i streams that goes away does not change the exit code of a run', async (streams) => {
  const running = installation.spawn(['run', '--day', day], { REQUEST_ATTEMPTS: '1' });
  // The reader closes them before the first line.
  running.process.stdout?.destroy();
  if (streams === 2) running.process.stderr?.destroy();
  const { code, stderr } = await running.ended;
  expect(stderr).not.toMatch(/bug|EPIPE/);
  expect(code).toBe(3);
});

it('a full disk under stdout is exit code 1', async () => {
  const command = `exec '${process.execPath}' '${LAUNCHER}' gaps --json > /dev/full`;
  const { code, stderr } = await startProcess('sh', ['-c', command], withLogin(['gaps'], installation.env)).ended;
  expect(stderr).toMatch(/^losant-usage: could not write the result: ENOSPC: no .*\n/m);
  expect(stderr).toContain('\n  the command itself ended with exit code 3, ');
  expect(code).toBe(1);
});
