/** The workflows of GitHub, which cannot be run here: what can be checked without it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { createTestFolder } from '../support/folders.ts';

interface Job {
  readonly needs?: string | readonly string[];
  readonly if?: string;
  readonly environment?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps: readonly { readonly uses?: string; readonly run?: string; readonly name?: string }[];
}

const readWorkflow = (path: string) =>
  parse(readFileSync(path, 'utf8')) as { readonly jobs: Readonly<Record<string, Job>> };

const { jobs } = readWorkflow('.github/workflows/release.yml');

test('every action is pinned to a commit', () => {
  const uses = globSync('.github/workflows/*.yml')
    .flatMap((path) => Object.values(readWorkflow(path).jobs))
    .flatMap(({ steps }) => steps.flatMap((step) => step.uses ?? []));
  expect(uses.length).toBeGreaterThan(10);
  expect(uses.filter((action) => !/@[0-9a-f]{40}$/.test(action))).toEqual([]);
});

test('nothing is published before package and image are built, or without a tag', () => {
  const isPublishing = ({ permissions = {} }: Job) =>
    Object.entries(permissions).some(([, right]) => right === 'write');
  const publishing = Object.entries(jobs).filter(([, job]) => isPublishing(job));
  const job = { needs: ['prove', 'package', 'image'], if: "github.ref_type == 'tag'", environment: 'release' };
  expect(publishing).toMatchObject([['publish', job]]);
});

test('the notes of a release are the changes of its version', () => {
  const folder = createTestFolder();
  writeFileSync(join(folder, 'CHANGELOG.md'), '# Changelog\n\n## [1.1.0] - x\n\nB\n\n## [1.0.0] - x\n\nA\n');
  writeFileSync(join(folder, 'gh'), '#!/bin/sh\necho "$@"\n');
  chmodSync(join(folder, 'gh'), 0o755);
  const script = jobs['publish']?.steps.find(({ run = '' }) => run.includes('notes.md'))?.run ?? '';
  const env = { PATH: `${folder}${delimiter}${process.env['PATH']}`, VERSION: '1.0.0' };
  execFileSync('bash', ['-euc', script], { cwd: folder, env });
  expect(readFileSync(join(folder, 'notes.md'), 'utf8').trim()).toBe('A');
});

test('npm publishes the file that was built, not a repository of the same name', () => {
  const folder = createTestFolder();
  const env = { ...process.env, npm_config_cache: join(folder, 'cache'), npm_config_loglevel: 'notice' };
  const npm = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  mkdirSync(join(folder, 'package'));
  writeFileSync(join(folder, 'package.json'), '{ "name": "losant-usage", "version": "1.0.0" }');
  execFileSync(npm, ['pack', '--pack-destination', 'package'], { cwd: folder, env, stdio: 'ignore' });
  rmSync(join(folder, 'package.json'));
  // The registry has no such version, and gets none.
  const script = `#!/bin/sh\n[ "$1" != view ] && exec '${npm}' "$@" --dry-run --offline\n`;
  writeFileSync(join(folder, 'npm'), script, { mode: 0o755 });
  const publish = jobs['publish']?.steps.find(({ run = '' }) => run.includes('npm publish'))?.run ?? '';
  const path = `${folder}${delimiter}${process.env['PATH']}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-euc', publish], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...env, PATH: path, VERSION: '1.0.0' },
  });
  expect({ status, stdout, stderr }).toMatchObject({ status: 0, stdout: '+ losant-usage@1.0.0\n' });
});
