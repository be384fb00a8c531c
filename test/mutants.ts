/**
 * `npm run mutants` plants one bug after another in a copy of the program and expects its test to fail. With
 * arguments, only the mutants run whose guarantee, file or test contains one of them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { MUTANTS, type Mutant } from './mutants/catalog.ts';

/** The number of copies in which tests run at the same time. */
const LANES = 2;
const TEST_TIMEOUT_MS = 900_000;
/** Enough seeds and steps for the world to find each of its bugs; it stops at the first failure. */
const WORLD = { WORLD_SEEDS: '24', WORLD_STEPS: '40' };

/** The part of vitest's JSON report that is read. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

type Verdict = 'killed' | 'killed by the time limit' | 'SURVIVED' | 'DOES NOT APPLY' | 'DOES NOT LOAD';

const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'losant-usage-mutants-'));
const running = new Set<ChildProcess>();
const print = (line: string) => process.stdout.write(`${line}\n`);

process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of running) stop(child);
    process.exit(130);
  });
}

/** Ends a test run with every process that it has started. */
function stop({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, 'SIGTERM');
}

/** Copies the program, linked to the same packages, and returns the folder. */
function copyTree(lane: number): string {
  const copy = join(folder, String(lane));
  const isCopied = (path: string) => !['node_modules', '.git', 'dist'].includes(basename(path));
  cpSync(root, copy, { recursive: true, filter: isCopied });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Runs tests in a copy and returns the report; null if there is none, or none in time. */
async function runTests(copy: string, args: readonly string[]): Promise<Report | null> {
  const output = join(copy, 'mutants-report.json');
  rmSync(output, { force: true });
  const report = ['--reporter=json', `--outputFile=${output}`];
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const env = { ...process.env, ...WORLD };
  const options = { cwd: copy, env, stdio: 'ignore', detached: true } as const;
  const child = spawn(process.execPath, [vitest, 'run', ...args, ...report], options);
  running.add(child);
  const timer = setTimeout(() => stop(child), TEST_TIMEOUT_MS);
  await new Promise((resolve) => child.once('exit', resolve));
  clearTimeout(timer);
  running.delete(child);
  return existsSync(output) ? (JSON.parse(readFileSync(output, 'utf8')) as Report) : null;
}

/** Runs the test of a mutant. Returns the verdict, and the test that failed. */
async function runMutant(copy: string, mutant: Mutant): Promise<{ verdict: Verdict; by?: string }> {
  const { file, find, replace, test, only } = mutant;
  const path = join(copy, file);
  const source = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const parts = source.split(find);
  if (parts.length !== 2) return { verdict: 'DOES NOT APPLY', by: `${parts.length - 1} places in ${file}` };
  const startMs = performance.now();
  writeFileSync(path, parts.join(replace));
  try {
    const filter = only === undefined ? [] : ['-t', only.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')];
    const report = await runTests(copy, [test, ...filter, '--bail=1', '--testTimeout=20000']);
    if (report === null) {
      return { verdict: performance.now() - startMs < TEST_TIMEOUT_MS ? 'DOES NOT LOAD' : 'killed by the time limit' };
    }
    const failed = report.testResults.find(({ status }) => status === 'failed');
    if (failed === undefined) return { verdict: 'SURVIVED' };
    if (failed.assertionResults.length === 0) return { verdict: 'DOES NOT LOAD', by: failed.message };
    const by = failed.assertionResults.find(({ status }) => status === 'failed');
    return { verdict: 'killed', by: by?.fullName ?? failed.message };
  } finally {
    writeFileSync(path, source);
  }
}

/** Runs the tests without a bug: a broken test would kill every mutant. */
async function requirePassing(copy: string, tests: readonly string[]): Promise<void> {
  const report = await runTests(copy, [...tests, `--maxWorkers=${LANES}`]);
  const passed = report?.testResults.filter(({ status }) => status === 'passed').map(({ name }) => name) ?? [];
  const broken = tests.filter((test) => !passed.includes(join(copy, test)));
  if (broken.length > 0) throw new Error(`Without any bug these do not pass: ${broken.join(', ')}`);
}

const filters = process.argv.slice(2);
const mutants = MUTANTS.filter(
  ({ guarantee, file, test }) =>
    filters.length === 0 || filters.some((part) => [guarantee, file, test].some((text) => text.includes(part))),
);
const copies = Array.from({ length: LANES }, (_, lane) => copyTree(lane));
await requirePassing(copies[0] as string, [...new Set(mutants.map(({ test }) => test))]);
const queue = [...mutants];
let killed = 0;
const work = async (copy: string) => {
  for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
    const startMs = performance.now();
    const { verdict, by = '' } = await runMutant(copy, mutant);
    if (verdict.startsWith('killed')) killed += 1;
    const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
    print(`${verdict}: ${mutant.guarantee}, ${seconds} s: ${by.split('\n')[0]}`);
  }
};
await Promise.all(copies.map(work));
print(`${killed} of ${mutants.length} mutants killed`);
if (killed < mutants.length) process.exitCode = 1;
