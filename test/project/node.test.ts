import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-launcher-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A folder shaped like the project: the launcher, and a main of the test's choosing. */
function launcherBeside(main: { path: 'src/main.ts' | 'dist/src/main.js'; text: string }): string {
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, main.path, '..'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(folder, main.path), main.text);
  const launcher = join(folder, 'bin/losant-usage.js');
  copyFileSync('bin/losant-usage.js', launcher);
  return launcher;
}

function runNode(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 15_000 });
  return { status, stdout, stderr };
}

test('the scripts of package.json run on Node 24, whatever Node the machine has', () => {
  expect(process.version).toMatch(/^v24\./);
});

test('an older Node is refused in one line with exit code 2 before main is read', () => {
  const launcher = launcherBeside({ path: 'src/main.ts', text: 'process.stdout.write("started");' });
  const shim = join(folder, 'old-node.cjs');
  writeFileSync(
    shim,
    `Object.defineProperty(process, 'version', { value: 'v20.20.2' });
     Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });`,
  );
  expect(runNode('--require', shim, launcher, 'run')).toEqual({
    status: 2,
    stdout: '',
    stderr: 'losant-usage needs Node.js 24 or newer; this is v20.20.2.\n',
  });
});

test.each([
  [
    'in a checkout src/main.ts, with the arguments untouched',
    'src/main.ts',
    'const args: string[] = process.argv.slice(2); process.stdout.write(JSON.stringify(args));',
    { status: 0, stdout: '["run","--date","2026-11-23",""]', stderr: '' },
  ],
  [
    'where src is not installed dist/src/main.js',
    'dist/src/main.js',
    'process.stdout.write("built");',
    { status: 0, stdout: 'built', stderr: '' },
  ],
  [
    'a main whose exit code is kept',
    'src/main.ts',
    'process.exitCode = 3;',
    { status: 3, stdout: '', stderr: '' },
  ],
  [
    'a main that throws, with exit code 1 and its error on stderr',
    'src/main.ts',
    'throw new Error("no main today");',
    { status: 1, stdout: '', stderr: expect.stringContaining('no main today') as unknown },
  ],
  [
    'a main that waits for something that never comes, without success',
    'src/main.ts',
    'await new Promise(() => {});',
    { status: 13, stdout: '', stderr: 'losant-usage stopped before it was finished: this is a defect.\n' },
  ],
] as const)('the launcher runs %s', (_, path, text, ended) => {
  expect(runNode(launcherBeside({ path, text }), 'run', '--date', '2026-11-23', '')).toEqual(ended);
});

test('a signal reaches main, in the same process', () => {
  const launcher = launcherBeside({
    path: 'src/main.ts',
    text: `process.once('SIGTERM', () => { process.exitCode = 143; clearInterval(timer); });
           const timer = setInterval(() => {}, 1000);
           process.kill(process.pid, 'SIGTERM');`,
  });
  expect(runNode(launcher).status).toBe(143);
});
