import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { createTestFolder } from '../support/folders.ts';

const UNIT = 'deploy/systemd/losant-usage.service';

let folder: string;

beforeEach(() => {
  folder = createTestFolder();
});

function analyze(...args: readonly string[]) {
  const options = { encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr, error } = spawnSync('systemd-analyze', args, options);
  if (error) throw error;
  return { status, output: stdout + stderr };
}

/** Writes the unit with this machine's paths of Node and the program, because systemd looks for them. */
function writeLocalUnit(): string {
  const launcher = '/opt/losant-usage/lib/node_modules/losant-usage/bin/losant-usage.js';
  const text = readFileSync(UNIT, 'utf8')
    .replace('/usr/bin/node', `"${process.execPath}"`)
    .replace(launcher, `"${resolve('bin/losant-usage.js')}"`);
  const path = join(folder, 'losant-usage.service');
  writeFileSync(path, text);
  return path;
}

test('systemd finds no problem in the unit', () => {
  expect(analyze('verify', writeLocalUnit())).toEqual({ status: 0, output: '' });
});

test('systemd rates the exposure of the unit at most 2.0 of 10', () => {
  const { status, output } = analyze('security', '--offline=true', '--threshold=20', writeLocalUnit());
  expect(output).toMatch(/Overall exposure level for losant-usage\.service: [01]\.\d OK/);
  expect(status).toBe(0);
});
