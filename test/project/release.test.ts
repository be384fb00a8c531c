/** The workflow of a release, which has never run here: what can be said of it by reading it. */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { VERSION } from '../support/program.ts';

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly needs?: string;
  readonly permissions: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}

const text = readFileSync('.github/workflows/release.yml', 'utf8');
const { jobs, permissions } = parse(text) as {
  readonly jobs: Readonly<Record<'prove' | 'package' | 'image', Job>>;
  readonly permissions: object;
};

test('nothing is published before everything was proven, nor without a tag', () => {
  expect(jobs.prove.steps.map(({ run }) => run)).toContain('.ci/run');
  expect([jobs.package.needs, jobs.image.needs]).toEqual(['prove', 'prove']);
  const publish = jobs.package.steps.filter(({ run }) => /npm publish|gh release/.test(run ?? ''));
  expect(publish.map((step) => step.if)).toEqual(["github.ref_type == 'tag'", "github.ref_type == 'tag'"]);
  const build = jobs.image.steps.find(({ uses }) => uses?.startsWith('docker/build-push-action'));
  expect(build?.with).toMatchObject({ push: "${{ github.ref_type == 'tag' }}" });
});

test('package and image have provenance and a list of what is in them', () => {
  const commands = jobs.package.steps.map(({ run }) => run ?? '').join('\n');
  expect(commands).toContain('npm publish --ignore-scripts --provenance');
  expect(commands).toContain('npm sbom');
  expect(jobs.package.permissions).toMatchObject({ 'id-token': 'write' });
  const build = jobs.image.steps.find(({ uses }) => uses?.startsWith('docker/build-push-action'));
  expect(build?.with).toMatchObject({ provenance: 'mode=max', sbom: true });
});

test('a job has no right that it does not name', () => {
  expect(permissions).toEqual({});
  expect(jobs.prove.permissions).toEqual({ contents: 'read' });
  const checkouts = Object.values(jobs).flatMap(({ steps }) =>
    steps.filter(({ uses }) => uses?.startsWith('actions/checkout')),
  );
  expect(checkouts.map((step) => step.with)).toEqual(Array(3).fill({ 'persist-credentials': false }));
});

test('files that name the version name that of package.json, and the changelog has it with its date', () => {
  const named: readonly (readonly [string, RegExp])[] = [
    ...globSync('deploy/kubernetes/**/*.yaml').map(
      (file) => [file, /(?:losant-usage:|newTag: )([\d.]+)/g] as const,
    ),
    ['docs/install.md', /losant-usage-export-([\d.]+)\.tgz/g],
    ['Dockerfile', /VERSION=([\d.]+)/g],
    ['package-lock.json', /"losant-usage-export",\s+"version": "([\d.]+)"/g],
  ];
  const versions = named.flatMap(([file, pattern]) =>
    [...readFileSync(file, 'utf8').matchAll(pattern)].map(([, version]) => version),
  );
  expect(versions.length).toBeGreaterThanOrEqual(9);
  expect(new Set(versions)).toEqual(new Set([VERSION]));
  const dated = /^## \[([\d.]+)\] - \d{4}-\d{2}-\d{2}$/m.exec(readFileSync('CHANGELOG.md', 'utf8'));
  expect(dated?.[1]).toBe(VERSION);
});
