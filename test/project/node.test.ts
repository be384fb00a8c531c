import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { createTestFolder } from '../support/folders.ts';
import { containing } from '../support/texts.ts';

let folder: string;

beforeEach(() => {
  folder = createTestFolder();
});

/** Creates a folder like the project's, with the launcher and a main for the test. Returns the launcher's path. */
function installLauncher(main: string): string {
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(folder, 'src/main.ts'), main);
  const launcher = join(folder, 'bin/losant-usage.js');
  copyFileSync('bin/losant-usage.js', launcher);
  return launcher;
}

function runNode(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 15_000 });
  return { status, stdout, stderr };
}

test('the scripts of package.json run on Node 24, whichever Node the machine has', () => {
  expect(process.version).toMatch(/^v24\./);
});

test('an older Node is rejected in one line with exit code 2 before main is read', () => {
  const launcher = installLauncher('process.stdout.write("started");');
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

const ARGS = `const args: string[] = process.argv.slice(2);
  process.stdout.write(JSON.stringify(args));
  process.exitCode = 3;`;
const THROWN = containing('no main today');
const UNFINISHED = 'losant-usage stopped before it had finished. This is a bug; please report it.\n';

test.each([
  ['with its arguments unchanged, and exits with its exit code', ARGS, 3, '["run","--day","2026-11-23",""]', ''],
  ['and prints an error that it throws', 'throw new Error("no main today");', 1, '', THROWN],
  ['and fails if it never finishes', 'await new Promise(() => {});', 13, '', UNFINISHED],
])('in a checkout the launcher runs src/main.ts %s', (_, text, ...[status, stdout, stderr]) => {
  const launcher = installLauncher(text);
  expect(runNode(launcher, 'run', '--day', '2026-11-23', '')).toEqual({ status, stdout, stderr });
});

test('a signal reaches main in the same process', () => {
  const launcher = installLauncher(`
    process.once('SIGTERM', () => { process.exitCode = 143; clearInterval(timer); });
    const timer = setInterval(() => {}, 1000);
    process.kill(process.pid, 'SIGTERM');`);
  expect(runNode(launcher).status).toBe(143);
});
