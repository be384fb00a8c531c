/** The package as a user installs it, and the image, which is built from the same files. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { getStackFrames } from '../../src/terminal/text.ts';
import { getLast, readCopy, readInstructions } from '../deploy/dockerfile.ts';
import { findLinkedFiles } from '../project/links.ts';
import { usePlatform } from '../simulator/platform.ts';
import { createTestDatabase } from '../support/databases.ts';
import { type Ended, type Env, startProcess, VERSION } from '../support/program.ts';
import { loginAs, type Role } from '../support/roles.ts';
import { until } from '../support/wait.ts';
import { settingsOf } from '../worker/process.ts';

const INSTALL_TIMEOUT_MS = 240_000;
const NODE = 'node_modules/.bin/node';

const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly devDependencies: { readonly node: string };
};

const platform = usePlatform({ now: Date.now, orgs: 3 });
let folder: string;
let packed: readonly string[];

/** A secret like an operator's, which must not be in the package. */
const SECRET = 'deploy/secrets/planted-by-a-test';

beforeAll(() => {
  mkdirSync(dirname(SECRET), { recursive: true });
  writeFileSync(SECRET, 'secret');
  folder = mkdtempSync(join(tmpdir(), 'losant-usage package-'));
  const options = { encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS } as const;
  const pack = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], options);
  const [tarball] = JSON.parse(pack.slice(pack.indexOf('[\n'))) as readonly {
    readonly filename: string;
    readonly files: readonly { readonly path: string }[];
  }[];
  packed = (tarball?.files ?? []).map(({ path }) => path);
  writeFileSync(join(folder, 'package.json'), '{"private":true,"allowScripts":{"node":true}}');
  const packages = [join(folder, tarball?.filename ?? ''), `node@${devDependencies.node}`];
  const flags = ['--prefix', folder, '--prefer-offline', '--no-audit', '--no-fund'];
  execFileSync('npm', ['install', ...flags, ...packages], { ...options, cwd: folder });
}, INSTALL_TIMEOUT_MS * 2);

afterAll(() => {
  rmSync(SECRET, { force: true });
  rmSync(folder, { recursive: true, force: true });
});

test('the package has what is needed to run and read it, and no sources or tests', () => {
  const roots = [...new Set(packed.map((path) => path.split('/')[0] ?? ''))].toSorted();
  const texts = ['.env.example', 'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'SECURITY.md'];
  const folders = ['bench', 'bin', 'deploy', 'dist', 'docs', 'migrations', 'package.json'];
  // The simulator's README only.
  expect(roots).toEqual([...texts, ...folders, 'simulator']);
  expect(packed).toContain('bin/losant-usage.js');
  expect(packed).toEqual(expect.arrayContaining(['dist/main.js', 'dist/NOTICES.txt', 'dist/sbom.json']));
  expect(packed.filter((path) => path.endsWith('.ts'))).toEqual([]);
  expect(packed).not.toContain(SECRET);
  // Compose builds the image from the checkout.
  expect(packed.filter((path) => /compose|passwords|test/.test(path))).toEqual([]);
});

test('the list of components has every package whose license the bundle has', () => {
  const read = (name: string) => readFileSync(join(folder, 'node_modules/losant-usage/dist', name), 'utf8');
  const { components } = JSON.parse(read('sbom.json')) as {
    readonly components: readonly Record<'name' | 'version', string>[];
  };
  const notices = read('NOTICES.txt').match(/^\S+ \d+\.\d+\.\d+(?= \()/gm);
  expect(components.map(({ name, version }) => `${name} ${version}`).toSorted()).toEqual(notices?.toSorted());
  expect(components.map(({ name }) => name)).toEqual(expect.arrayContaining(['kysely', 'pg', 'pg-types', 'zod']));
});

test('the package has everything that its documents link to', () => {
  const linked = packed
    .filter((path) => path.endsWith('.md'))
    .flatMap((path) => findLinkedFiles(readFileSync(path, 'utf8')).map((target) => join(dirname(path), target)));
  const isPacked = (target: string) => packed.some((path) => path === target || path.startsWith(`${target}/`));
  expect(linked.length).toBeGreaterThan(20);
  expect(linked.filter((target) => !isPacked(target))).toEqual([]);
});

/** Copies the files that the last stage of the Dockerfile copies; the bundle comes from the package. */
function buildImage(): string {
  const app = mkdtempSync(join(tmpdir(), 'losant-usage image-'));
  onTestFinished(() => {
    rmSync(app, { recursive: true });
  });
  const instructions = readInstructions();
  const last = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'));
  const copies = last.filter(({ name }) => name === 'COPY');
  for (const { from, sources } of copies.map(({ text }) => readCopy(text))) {
    const origin = from === null ? '.' : join(folder, 'node_modules/losant-usage');
    for (const name of sources.map((source) => basename(source)))
      cpSync(join(origin, name), join(app, name), { recursive: true });
  }
  return app;
}

test.each([
  ['the installed command', () => [join(folder, 'node_modules/.bin/losant-usage')]],
  [
    'the image, which has no other packages,',
    () => {
      const [, ...entry] = JSON.parse(getLast('ENTRYPOINT')) as string[];
      const app = buildImage();
      return entry.map((word) => (word.startsWith('-') ? word : join(app, word)));
    },
  ],
])('%s prints its version, creates its tables and loads usage into them', async (_, entry) => {
  const database = await createTestDatabase({ template: false });
  onTestFinished(() => database.drop());
  const command = entry();
  const startAs = (role: Role, ...args: readonly string[]): Promise<Ended> => {
    const env = { ...settingsOf(platform, { url: loginAs(role, database.url) }), HOME: folder };
    return startProcess(join(folder, NODE), [...command, ...args], env).ended;
  };
  expect(await startAs('writer', '--version')).toMatchObject({ code: 0, stdout: `${VERSION}\n`, stderr: '' });
  expect(await startAs('migrator', 'migrate')).toMatchObject({ code: 0 });
  expect(await startAs('writer', 'run')).toMatchObject({ code: 0 });
});

test('the installed command has the simulator and the embedded database, as the simulator prints them', async () => {
  const command = join(folder, 'node_modules/.bin/losant-usage');
  const start = (args: readonly string[], env: Env) =>
    startProcess(join(folder, NODE), ['--liftoff-only', command, ...args], { ...env, HOME: folder });
  const simulator = start(['simulator', '--orgs', '2'], {});
  await until('the simulator prints its settings', () => simulator.stdout().includes('losant-usage run'), 60_000);
  const printed = simulator.stdout().matchAll(/(LOSANT_\w+)=(\S+)/g);
  const settings = Object.fromEntries([...printed].map(([, name = '', value = '']) => [name, value]));
  const database = { DATABASE_URL: `embedded:${join(folder, 'usage-data')}` };
  expect(await start(['run'], { ...settings, ...database }).ended).toMatchObject({ code: 0 });
  simulator.kill('SIGINT');
  expect(await simulator.ended).toMatchObject({ code: 0 });
});

test('a stack trace of the bundle names the files of the source', () => {
  const lines = readFileSync('dist/main.js', 'utf8').split('\n');
  const line = lines.findIndex((each) => each.includes('stopped by a bug')) + 1;
  const error = new Error('a bug');
  error.stack = `Error: a bug\n    at exit (${pathToFileURL('dist/main.js').href}:${line}:5)`;
  expect(getStackFrames(error)).toEqual([expect.stringMatching(/^ {4}at exit \(src\/main.ts:\d+:\d+\)$/)]);
});
