import { beforeAll, describe, expect, test } from 'vitest';
import { type LintVerdict, lintTree } from './lint-tree.ts';

/** [what is planted, the rule that names it, the line it is named on, the text]. */
const PLANTED: readonly (readonly [what: string, rule: string, line: number, text: string])[] = [
  [
    'a promise nobody waits for',
    'no-floating-promises',
    1,
    `export function load(): void { Promise.resolve(1); }`,
  ],
  [
    'a promise thrown away with void',
    'no-floating-promises',
    1,
    `export function load(): void { void Promise.resolve(1); }`,
  ],
  [
    'a promise taken for a truth',
    'no-misused-promises',
    2,
    `async function due(): Promise<boolean> { return Promise.resolve(false); }
export const text = due() ? 'due' : 'not due';`,
  ],
  ['an await of what is no promise', 'await-thenable', 1, `export const one = await 1;`],
  ['any', 'no-explicit-any', 1, `export const body: any = 1;`],
  [
    'a member of an untyped body',
    'no-unsafe-member-access',
    1,
    `export function total(text: string): unknown { return JSON.parse(text).total; }`,
  ],
  ['a non-null assertion', 'no-non-null-assertion', 1, `export const first = [1][0]!;`],
  ['console', 'no-console', 1, `console.log('started');`],
  [
    'an empty catch',
    'no-empty',
    1,
    `export function parse(text: string): void { try { BigInt(text); } catch {} }`,
  ],
  [
    'an error thrown anew without its cause',
    'preserve-caught-error',
    2,
    `export function parse(text: string): bigint {
  try { return BigInt(text); } catch (error) { throw new Error(\`bad \${String(error)}\`); }
}`,
  ],
  ['==', 'eqeqeq', 1, `export function same(a: string, b: string): boolean { return a == b; }`],
  ['a default export', 'no-default-export', 1, `export default 1;`],
  ['a barrel', 'no-barrel-file', 1, `export * from './any.ts';`],
  [
    'a type imported as a value',
    'consistent-type-imports',
    1,
    `import { Stats } from 'node:fs'; export const stats: Stats | null = null;`,
  ],
  ['the environment', 'no-restricted-properties', 1, `export const zone = process.env['TZ'];`],
  ['the command line', 'no-restricted-properties', 1, `export const args = process.argv;`],
  ['process.exit', 'no-restricted-properties', 1, `process.exit(1);`],
  ['process.exitCode', 'no-restricted-properties', 1, `process.exitCode = 1;`],
  ['Date.now()', 'no-restricted-properties', 1, `export const now = Date.now();`],
  ['new Date() of now', 'no-ambient-date', 1, `export const now = new Date();`],
  ['Math.random()', 'no-restricted-properties', 1, `export const jitter = Math.random();`],
  [
    'a file of 401 lines',
    'max-lines',
    401,
    `export const all = [\n${'  1,\n'.repeat(398)}];\nexport const one = 1;`,
  ],
  ['a line of 121 characters', 'line-length', 1, `// ${'x'.repeat(118)}`],
  ['a literal spread into a literal', 'no-useless-spread', 1, `export const both = { ...{ a: 1, b: 2 } };`],
  [
    'a function of 61 lines',
    'max-lines-per-function',
    1,
    `export function sum(): number {\n  let sum = 0;\n${'  sum += 1;\n'.repeat(57)}  return sum;\n}\n`,
  ],
];

function pathOf(index: number): string {
  return `src/export/planted-${index}.ts`;
}

/** [what is imported, the file that does, which gets a name of its own, its text]. */
const IMPORTED = [
  ['of a part above', 'src/ledger/planted.ts', `import '../billing/close.ts';`],
  ['of a part beside it', 'src/losant/planted.ts', `import '../database/open.ts';`],
  ['of Losant from a page', 'src/console/planted.ts', `import '../losant/client.ts';`],
  ['of what writes to Losant', 'src/export/planted.ts', `import '../losant/admin.ts';`],
  ['of the simulator', 'src/worker/planted.ts', `import '../../simulator/server.ts';`],
  ['of the program, from the simulator', 'simulator/planted.ts', `import '../src/usage/day.ts';`],
  ['of a test', 'src/main.ts', `import '../test/support/days.ts';`],
  ['of a package that another part calls', 'src/export/planted.ts', `import ky from 'ky'; ky('');`],
  ['from a part that has no place', 'src/elsewhere/planted.ts', `import '../errors.ts';`],
  [
    'of a type',
    'src/losant/planted.ts',
    `import type { Load } from '../ledger/load.ts'; export type A = Load;`,
  ],
  ['of a type in a type', 'src/losant/planted.ts', `export type A = import('../ledger/load.ts').Load;`],
  ['that exports again', 'src/losant/planted.ts', `export { load } from '../ledger/load.ts';`],
  ['that is dynamic', 'src/losant/planted.ts', `export const load = await import('../ledger/load.ts');`],
  ['of a template', 'src/losant/planted.ts', 'export const load = await import(`../ledger/load.ts`);'],
] as const;

/** Each file of its own name. */
const IMPORTS = IMPORTED.map(([what, path, text], index) => ({
  what,
  path: path.replace('planted', `imported-${index}`),
  text,
}));

/** What is named in files of its own, and where. */
const ELSEWHERE: readonly (readonly [
  what: string,
  files: Record<string, string>,
  problems: readonly string[],
])[] = [
  [
    'a cycle of imports',
    {
      'src/export/a.ts': `import { b } from './b.ts';\nexport const a = () => b;\n`,
      'src/export/b.ts': `import { a } from './a.ts';\nexport const b = () => a;\n`,
    },
    ['src/export/a.ts:1 no-cycle', 'src/export/b.ts:1 no-cycle'],
  ],
  [
    'a cycle of types',
    {
      'src/export/c.ts': `import type { D } from './d.ts';\nexport interface C {\n  d: D;\n}\n`,
      'src/export/d.ts': `import type { C } from './c.ts';\nexport interface D {\n  c: C;\n}\n`,
    },
    ['src/export/c.ts:1 no-cycle', 'src/export/d.ts:1 no-cycle'],
  ],
  [
    'a cycle that import() closes, over a file between',
    {
      'src/export/e.ts': `export const e = async () => await import('./f.ts');\n`,
      'src/export/f.ts': `export { g } from './g.ts';\nexport const f = 1;\n`,
      'src/export/g.ts': `import type { e } from './e.ts';\nexport const g: typeof e | null = null;\n`,
    },
    ['src/export/e.ts:1 no-dynamic-circle'],
  ],
  [
    'a cycle in the simulator',
    {
      'simulator/a.ts': `import type { B } from './b.ts';\nexport interface A {\n  b: B;\n}\n`,
      'simulator/b.ts': `import type { A } from './a.ts';\nexport interface B {\n  a: A;\n}\n`,
    },
    ['simulator/a.ts:1 no-cycle', 'simulator/b.ts:1 no-cycle'],
  ],
  [
    'a query of a transaction that nobody waits for',
    {
      'src/ledger/planted.ts': `import type { Kysely } from 'kysely';
export async function write(db: Kysely<{ runs: { run_id: string } }>): Promise<void> {
  await db.transaction().execute(async (tx) => {
    tx.deleteFrom('runs').execute();
    await tx.selectFrom('runs').selectAll().execute();
  });
}
`,
    },
    ['src/ledger/planted.ts:4 no-floating-promises'],
  ],
  [
    'a skipped test and a test that runs alone',
    {
      'test/planted.test.ts': `test.skip('one', () => { expect(1).toBe(1); });
test.only('two', () => { expect(2).toBe(2); });
`,
    },
    ['test/planted.test.ts:1 no-disabled-tests', 'test/planted.test.ts:2 no-focused-tests'],
  ],
];

describe('the linter names', () => {
  let verdict: LintVerdict;

  beforeAll(() => {
    const planted = Object.fromEntries([
      ...PLANTED.map(([, , , text], i) => [pathOf(i), text]),
      ...IMPORTS.map(({ path, text }) => [path, text]),
    ]);
    verdict = lintTree(Object.assign(planted, ...ELSEWHERE.map(([, files]) => files)));
  });

  test.each(PLANTED.map(([what, rule, line], index) => ({ what, rule, line, index })))(
    '$what',
    ({ rule, line, index }) => {
      expect(verdict.status).toBe(1);
      expect(verdict.problems).toContain(`${pathOf(index)}:${line} ${rule}`);
    },
  );

  test.each(IMPORTS)('an import $what', ({ path }) => {
    expect(verdict.problems).toContain(`${path}:1 imports-point-down`);
  });

  test('no import but those', () => {
    expect(verdict.problems.filter((each) => each.endsWith('imports-point-down'))).toHaveLength(
      IMPORTS.length,
    );
  });

  test.each(ELSEWHERE)('%s', (_, files, problems) => {
    const found = verdict.problems.filter((each) => Object.keys(files).some((path) => each.startsWith(path)));
    expect(found).toEqual(problems);
  });
});

test('clock, environment and exit code are free at the edges, and a date of a given instant anywhere', () => {
  const text = `export const started = [Date.now(), new Date().toISOString(), process.env['TZ'], process.argv];
process.exitCode = Math.random() > 1 ? 1 : 0;
`;
  const given = `export const day = new Date(0).toISOString().slice(0, 10);\n`;
  const files = { 'src/main.ts': text, 'simulator/serve.ts': text, 'src/export/plan.ts': given };
  expect(lintTree(files)).toEqual({ status: 0, problems: [] });
});

test('imports of what lies below pass', () => {
  expect(
    lintTree({
      'src/billing/planted.ts': `import '../ledger/load.ts';\nimport '../usage/day.ts';\nimport './close.ts';\n`,
      'src/losant/planted.ts': `import '../errors.ts';\nimport 'ky';\n`,
      'src/cli/org.ts': `import '../losant/admin.ts';\n`,
      'test/planted.ts': `import '../simulator/server.ts';\nimport 'pg';\n`,
    }),
  ).toEqual({ status: 0, problems: [] });
});
