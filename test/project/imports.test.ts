import { beforeAll, describe, expect, test } from 'vitest';
import { type LintVerdict, lintTree } from './lint-tree.ts';

const RULE = 'imports-point-down';

/** [what is imported, the file that does, which gets a name of its own, its text]. */
const PLANTED = [
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

/** Each file of its own name, so that the linter starts once for all of them. */
const FILES = PLANTED.map(([, path, text], index) => ({
  path: path.replace('planted', `planted-${index}`),
  text,
}));

describe('an import is refused', () => {
  let verdict: LintVerdict;
  beforeAll(() => {
    verdict = lintTree(Object.fromEntries(FILES.map(({ path, text }) => [path, text])));
  });

  test.each(PLANTED.map(([what], index) => [what, FILES[index]?.path]))('%s', (_what, path) => {
    expect(verdict.problems).toContain(`${path}:1 ${RULE}`);
  });

  test('and of nothing else', () => {
    expect(verdict.status).toBe(1);
    expect(verdict.problems.filter((problem) => problem.endsWith(RULE))).toHaveLength(PLANTED.length);
  });
});

test('imports of what lies below pass', () => {
  expect(
    lintTree({
      'src/billing/planted.ts': `import '../ledger/load.ts';\nimport '../usage/day.ts';\nimport './close.ts';\n`,
      'src/losant/planted.ts': `import '../errors.ts';\nimport 'undici';\n`,
      'src/cli/org.ts': `import '../losant/admin.ts';\n`,
      'test/planted.ts': `import '../simulator/server.ts';\nimport 'pg';\n`,
    }),
  ).toEqual({ status: 0, problems: [] });
});
