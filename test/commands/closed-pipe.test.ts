import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { Writable } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { daysAgo } from '../support/days.ts';
import { CLOCK, type Env, LAUNCHER, runProgram } from '../support/program.ts';

const day = daysAgo(1);
const exported = useExport({ orgs: 3 });

/** One number stays missing whatever is tried. */
beforeAll(async () => {
  const [orgId = ''] = await orgIdsOf(exported.platform);
  await exported.platform.control('config', {
    faults: { kinds: ['server_error'], orgIds: [orgId], actions: ['deviceCounts'], forever: true },
  });
  await exported.run(['run'], { REQUEST_ATTEMPTS: '1' });
});

interface Pipes {
  readonly stdout?: number;
  /** Streams whose reader goes away before the first line. */
  readonly closed?: readonly ('stdout' | 'stderr')[];
}

async function runInto({ stdout, closed = [] }: Pipes, args: readonly string[]) {
  const { PATH = '', HOME = '' } = process.env;
  const env: Env = { PATH, HOME, ...CLOCK, ...exported.env, REQUEST_ATTEMPTS: '1' };
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    env,
    stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
  });
  for (const name of closed) child[name]?.destroy();
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

const READ_AGAIN = ['run', '--date', day];
const BACKFILL = ['backfill', '--from', day, '--to', day, '--force'];
const INCOMPLETE: readonly (readonly string[])[] = [
  ['run', '--json'],
  ['gaps'],
  ['gaps', '--json'],
  ['status'],
  ['status', '--json'],
  READ_AGAIN,
  [...READ_AGAIN, '--json'],
  BACKFILL,
  [...BACKFILL, '--json'],
];

/** A stream whose reader went away before the first line. */
function closedPipe(): Writable {
  const failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  return new Writable({ write: (_part, _encoding, done) => done(failure) });
}

describe('a reader that goes away', () => {
  it.each(INCOMPLETE.map((args) => [args]))('of stdout keeps exit code 3 of %j', async (args) => {
    const env = { ...exported.env, REQUEST_ATTEMPTS: '1' };
    const { code, stderr } = await runProgram(args, env, { stdout: closedPipe() });
    expect(stderr).not.toMatch(/defect|EPIPE/);
    expect(code).toBe(3);
  });

  // Promise (Operation): An exit code is the same whether or not anybody reads the output.
  it('of a pipe keeps exit code 3 of a process, too', async () => {
    const { code, stderr } = await runInto({ closed: ['stdout'] }, ['run', '--json']);
    expect(stderr).not.toMatch(/defect|EPIPE/);
    expect(code).toBe(3);
  });

  it('of stderr changes nothing either, nor of both', async () => {
    expect((await runInto({ closed: ['stderr'] }, READ_AGAIN)).code).toBe(3);
    expect((await runInto({ closed: ['stdout', 'stderr'] }, READ_AGAIN)).code).toBe(3);
  });

  it('of both keeps exit code 2 of a refusal', async () => {
    expect((await runInto({ closed: ['stdout', 'stderr'] }, ['run', '--date', 'never', '--json'])).code).toBe(
      2,
    );
  });

  it('of help is no failure', async () => {
    expect((await runInto({ closed: ['stdout'] }, ['--help'])).code).toBe(0);
  });
});

describe('a full disk under stdout', () => {
  it.each([
    ['a result that is incomplete', ['gaps', '--json']],
    ['a result that would be fine', ['migrate']],
    ['help', ['--help']],
  ])('is told in one line with exit code 1: %s', async (_what, args) => {
    const { code, stderr } = await runInto({ stdout: openSync('/dev/full', 'w') }, args);
    const lines = stderr
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('{'));
    expect(lines).toEqual([
      expect.stringMatching(/^losant-usage: the result cannot be written: ENOSPC: no space left on device/),
    ]);
    expect(code).toBe(1);
  });
});
