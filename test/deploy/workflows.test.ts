/** The workflows of GitHub, which cannot be run here: what can be checked without it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';

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
  expect(publishing).toMatchObject([
    ['publish', { needs: ['prove', 'package', 'image'], if: "github.ref_type == 'tag'", environment: 'release' }],
  ]);
});

test('the notes of a release are the changes of its version', () => {
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-release-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  writeFileSync(join(folder, 'CHANGELOG.md'), '# Changelog\n\n## [1.1.0] - x\n\nB\n\n## [1.0.0] - x\n\nA\n');
  writeFileSync(join(folder, 'gh'), '#!/bin/sh\necho "$@"\n');
  chmodSync(join(folder, 'gh'), 0o755);
  const script = jobs['publish']?.steps.find(({ run = '' }) => run.includes('notes.md'))?.run ?? '';
  const env = { PATH: `${folder}${delimiter}${process.env['PATH']}`, VERSION: '1.0.0' };
  execFileSync('bash', ['-euc', script], { cwd: folder, env });
  expect(readFileSync(join(folder, 'notes.md'), 'utf8').trim()).toBe('A');
});
