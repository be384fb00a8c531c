import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const INSTALL_TIMEOUT_MS = 240_000;
const RUN_TIMEOUT_MS = 120_000;

const project = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly version: string;
  readonly devDependencies: { readonly node: string };
};

let folder: string;
let packed: readonly string[];

/** A user's environment: without the variables of npm scripts and tests, and without settings of ours. */
const userEnv = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_|NODE_ENV|VITEST|LOSANT_|DATABASE_|HTTP_)/i.test(name),
  ),
);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-package-'));
  const pack = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
    encoding: 'utf8',
    timeout: INSTALL_TIMEOUT_MS,
  });
  const [tarball] = JSON.parse(pack.slice(pack.indexOf('[\n'))) as readonly {
    readonly filename: string;
    readonly files: readonly { readonly path: string }[];
  }[];
  packed = (tarball?.files ?? []).map(({ path }) => path);
  writeFileSync(join(folder, 'package.json'), '{"private":true,"allowScripts":{"node":true}}');
  const wanted = [join(folder, tarball?.filename ?? ''), `node@${project.devDependencies.node}`];
  execFileSync(
    'npm',
    ['install', '--prefix', folder, '--prefer-offline', '--no-audit', '--no-fund', ...wanted],
    {
      cwd: folder,
      timeout: INSTALL_TIMEOUT_MS,
    },
  );
}, INSTALL_TIMEOUT_MS * 2);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function runInstalled(...args: readonly string[]) {
  const node = join(folder, 'node_modules/.bin/node');
  const command = join(folder, 'node_modules/.bin/losant-usage');
  const options = { cwd: folder, env: userEnv, encoding: 'utf8', timeout: RUN_TIMEOUT_MS } as const;
  const { status, stdout, stderr } = spawnSync(node, [command, ...args], options);
  return { status, stdout, stderr };
}

test('the package holds what is needed to run and to read, and no source or test', () => {
  const roots = [...new Set(packed.map((path) => path.split('/')[0] ?? ''))].toSorted();
  expect(roots).toEqual([
    '.env.example',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'bin',
    'deploy',
    'dist',
    'docs',
    'migrations',
    'pack-checks',
    'package.json',
    // Only its README.
    'simulator',
  ]);
  expect(packed).toContain('bin/losant-usage.js');
  expect(packed).toContain('dist/src/main.js');
  expect(packed.filter((path) => path.endsWith('.ts'))).toEqual([]);
});

test('the installed command tells its version', () => {
  expect(runInstalled('--version')).toEqual({ status: 0, stdout: `${project.version}\n`, stderr: '' });
});

test('the installed command runs the whole product on the simulator', () => {
  const { status, stderr } = runInstalled('demo');
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
});
