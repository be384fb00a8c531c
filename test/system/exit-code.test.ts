import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-exit-code-'));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The exit code of a test run with the project's settings and one test of this text. */
function exitCodeOf(config: string, testText: string): number | null {
  const planted = join(folder, 'planted.test.ts');
  writeFileSync(planted, `import { expect, test } from 'vitest';\n${testText}\n`);
  const settings = join(folder, 'vitest.config.ts');
  writeFileSync(
    settings,
    `import project from ${JSON.stringify(resolve(config))};
     export default { ...project, test: { ...project.test, include: [${JSON.stringify(planted)}] } };`,
  );
  const args = [resolve('node_modules/vitest/vitest.mjs'), 'run', '--config', settings, '--root', '.'];
  return spawnSync(process.execPath, args, { stdio: 'ignore', timeout: 120_000 }).status;
}

test.each(['vitest.config.ts', 'vitest.system.config.ts'])(
  'a run of %s ends with exit code 1 when a test fails',
  (config) => {
    expect(exitCodeOf(config, `test('fails', () => { expect(1).toBe(2); });`)).toBe(1);
  },
);

test('a run ends with exit code 0 when all tests pass', () => {
  expect(exitCodeOf('vitest.config.ts', `test('passes', () => { expect(1).toBe(1); });`)).toBe(0);
});
