/** Lints a tree of files with the project's own settings. Every rule has a planted violation in it. */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { createTestFolder } from '../support/folders.ts';

type Files = Readonly<Record<string, string>>;

/** A file of the program with a violation per line, each with the one or two rules that report it. */
const PLANTED = `
import { Stats } from 'node:fs'; export const stats: Stats | null = null; // consistent-type-imports
export function begin(): void { Promise.resolve(1); } // no-floating-promises
export function leave(): void { void Promise.resolve(1); } // no-floating-promises
export const due = (async () => true)() ? 'due' : 'not due'; // no-misused-promises
export const one = await 1; // await-thenable no-unnecessary-await
export const body: any = 1; // no-explicit-any
export const total = (text: string): unknown => JSON.parse(text).total; // no-unsafe-member-access
export const first = [1][0]!; // no-non-null-assertion
console.log('started'); // no-console
export function parse(text: string): void { try { BigInt(text); } catch {} } // no-empty
try { begin(); } catch (error) { throw new Error(String(error)); } // preserve-caught-error
export function same(a: string, b: string): boolean { return a == b; } // eqeqeq
export default 1; // no-default-export
export const zone = process.env['TZ']; // no-restricted-properties
export const args = process.argv; // no-restricted-properties
process.exit(1); // no-restricted-properties
process.exitCode = 1; // no-restricted-properties
export const now = Date.now(); // no-restricted-properties
export const today = new Date(); // no-ambient-date
export const jitter = Math.random(); // no-restricted-properties
export const both = { ...{ a: 1, b: 2 } }; // no-useless-spread
// ${'x'.repeat(106)} line-length
`;
/** Files with a forbidden import on the first line. The rest of main is allowed. */
const IMPORTS: Files = {
  'src/ledger/above.ts': `import '../billing/close.ts';`,
  'src/losant/sibling.ts': `import '../database/open.ts';`,
  'src/console/losant.ts': `import '../losant/client.ts';`,
  'src/loading/writes.ts': `import '../losant/admin.ts';`,
  'src/worker/simulator.ts': `import '../../simulator/server.ts';`,
  'simulator/program.ts': `import '../src/usage/day.ts';`,
  'src/main.ts': `import '../test/support/days.ts';\nexport const at = [Date.now(), new Date(), process.env['TZ']];`,
  'src/loading/package.ts': `import ky from 'ky'; ky('');`,
  'src/elsewhere/outside.ts': `import '../errors.ts';`,
  'src/losant/type.ts': `import type { Load } from '../ledger/load.ts'; export type A = Load;`,
  'src/losant/inline.ts': `export type A = import('../ledger/load.ts').Load;`,
  'src/losant/reexport.ts': `export { load } from '../ledger/load.ts';`,
  'src/losant/dynamic.ts': `export const load = await import('../ledger/load.ts');`,
  'src/losant/template.ts': 'export const load = await import(`../ledger/load.ts`);',
};

/** Each way to declare a name, with a name that hides its noun. */
const NAMES = `
export const found = 1; // no-bare-word
export const [first, kept] = [1, 2]; // no-bare-word
export const turn = (given: number) => given + first; // no-bare-word
export function shown(): void {} // no-bare-word
export function pair({ left = 1 }): number { return left; } // no-bare-word
export function others({ first: one = 1, ...rest }): object { return { one, ...rest }; } // no-bare-word
try { turn(1); } catch (said) { turn(Number(said)); } // no-bare-word
export interface Totals { readonly theirs: number; } // no-bare-word
export interface Run { told(): void } // no-bare-word
export class Count {
  readonly #made = 1; // no-bare-word
  constructor(private readonly own: number) {} // no-bare-word
  asked(): number { return this.#made + this.own; } // no-bare-word
}
`;

/** Files with violations, each line with the rule that reports it. */
const OTHERS: Files = {
  'src/loading/planted.ts': PLANTED,
  'src/loading/names.ts': NAMES,
  'src/loading/tally.ts': `export const tally = 1; // no-shared-export\nexport type Tally = 1; // no-shared-export\n`,
  'src/usage/tally.ts': `export async function tally() {} // no-shared-export
export interface Tally { a: 1 } // no-shared-export\n`,
  'src/usage/barrel.ts': `export * from './any.ts'; // no-barrel-file`,
  'src/usage/long.ts': `export const all = [\n${'  1,\n'.repeat(398)}];\nexport const two = 1; // max-lines`,
  'src/usage/large.ts': `export function sum(): void { // max-lines-per-function\n${'  void 0;\n'.repeat(59)}}\n`,
  // A cycle of imports, one of types in the simulator, and one that import() closes over a third file.
  'src/loading/a.ts': `import { b } from './b.ts'; // no-cycle\nexport const a = () => b;\n`,
  'src/loading/b.ts': `import { a } from './a.ts'; // no-cycle\nexport const b = () => a;\n`,
  'simulator/c.ts': `import type { D } from './d.ts'; // no-cycle\nexport interface C {\n  d: D;\n}\n`,
  'simulator/d.ts': `import type { C } from './c.ts'; // no-cycle\nexport interface D {\n  c: C;\n}\n`,
  'src/loading/e.ts': `export const e = async () => await import('./f.ts'); // no-dynamic-cycle\n`,
  'src/loading/f.ts': `export { g } from './g.ts';\nexport const f = 1;\n`,
  'src/loading/g.ts': `import type { e } from './e.ts';\nexport const g: typeof e | null = null;\n`,
  'src/ledger/query.ts': `import type { Kysely } from 'kysely';
export const write = (db: Kysely<{ runs: { run_id: string } }>) =>
  db.transaction().execute(async (tx) => {
    tx.deleteFrom('runs').execute(); // no-floating-promises
    await tx.selectFrom('runs').selectAll().execute();
  });\n`,
  'test/planted.test.ts': `test.skip('one', () => { expect(1).toBe(1); }); // no-disabled-tests
test.only('two', () => { expect(2).toBe(2); }); // no-focused-tests\n`,
};

/** The expected reports, from the comments at the ends of lines. */
const planted = Object.entries(OTHERS).flatMap(([file, text]) =>
  text.split('\n').flatMap((line, index) => {
    const rules = /\/\/ (?:x+ )?([\w -]+)$/.exec(line)?.[1]?.split(' ') ?? [];
    return rules.map((rule) => `${file}:${index + 1} ${rule}`);
  }),
);

/** Files without a violation: free access at the edges, dates of an instant, imports that point down. */
const GOOD: Files = {
  'simulator/serve.ts': `export const started = [process.env['TZ'], process.argv];
process.exitCode = Math.random() > 1 ? 1 : 0;\n`,
  'src/loading/plan.ts': `export const day = new Date(0).toISOString().slice(0, 10);\n`,
  'src/loading/words.ts': `export const givenDays = { found: 1 };\nexport const days = givenDays.found;\n`,
  'src/database/schema.ts': `export interface Lease { a: 1 }\n`,
  'src/usage/lease.ts': `export interface Lease { a: 2 }\n`,
  'src/billing/below.ts': `import '../ledger/load.ts';\nimport '../usage/day.ts';\nimport './close.ts';\n`,
  'src/losant/below.ts': `import '../errors.ts';\nimport 'ky';\n`,
  'src/cli/org.ts': `import '../losant/admin.ts';\n`,
  'test/below.ts': `import '../simulator/server.ts';\nimport 'pg';\n`,
};

test('the linter reports every planted violation at its line, and nothing else', () => {
  const { status, problems } = lintTree({ ...IMPORTS, ...OTHERS, ...GOOD });
  expect(status).toBe(1);
  const isInImports = (problem: string) => (problem.split(':')[0] as string) in IMPORTS;
  expect(problems.filter((each) => !isInImports(each))).toEqual(planted.toSorted());
  const breaches = problems.filter((each) => isInImports(each) && each.endsWith('imports-point-down'));
  const expectedBreaches = Object.keys(IMPORTS).map((path) => `${path}:1 imports-point-down`);
  expect(breaches).toEqual(expectedBreaches.toSorted());
});

test('a line of SQL has at most 120 characters, except for comments on objects', () => {
  const files = globSync(['migrations/*.sql', 'bench/*.sql', 'docs/sql/*.sql']);
  const lines = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .map((line, index) => ({ at: `${file}:${index + 1}`, line })),
  );
  expect(lines.length).toBeGreaterThan(1_000);
  const long = lines.filter(({ line }) => line.length > 120 && !line.startsWith('comment on '));
  expect(long.map(({ at }) => at)).toEqual([]);
});

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

/** Lints files in an empty folder with a copy of the project's settings. Returns the reports as `file:line rule`. */
function lintTree(files: Files): { readonly status: number | null; readonly problems: readonly string[] } {
  const root = createTestFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  for (const settings of ['.oxlintrc.json', 'tsconfig.json', 'lint', 'package.json'])
    cpSync(settings, join(root, settings), { recursive: true });
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
  const args = [resolve('node_modules/oxlint/bin/oxlint'), '--type-aware', '--format', 'json'];
  const options = { cwd: root, encoding: 'utf8', timeout: 30_000 } as const;
  const { status, stdout } = spawnSync(process.execPath, args, options);
  const { diagnostics } = JSON.parse(stdout) as { readonly diagnostics: readonly Diagnostic[] };
  const problems = diagnostics.map(({ code, filename, labels }) => {
    const rule = /\(([^)]+)\)/.exec(code)?.[1] ?? code;
    return `${filename}:${labels[0]?.span.line} ${rule}`;
  });
  return { status, problems: [...new Set(problems)].toSorted() };
}
