import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type LintVerdict, lintTree } from './lint-tree.ts';

/** [a folder or file of src, what it imports there]: planted as a file each, with one import. */
type Import = readonly [importer: string, imported: string];

const REFUSED: readonly Import[] = [
  ['day.ts', './errors.ts'],
  ['errors.ts', './day.ts'],
  ['errors.ts', './store/x.ts'],
  ['logger.ts', './streams/x.ts'],
  ['logger.ts', './config.ts'],
  ['streams', '../losant/x.ts'],
  ['streams', '../store/x.ts'],
  ['streams', '../sync/x.ts'],
  ['streams', '../config.ts'],
  ['losant', '../store/x.ts'],
  ['losant', '../sync/x.ts'],
  ['losant', '../queries/x.ts'],
  ['losant', '../config.ts'],
  ['losant', 'kysely'],
  ['store', '../losant/x.ts'],
  ['store', '../sync/x.ts'],
  ['store', '../queries/x.ts'],
  ['store', '../config.ts'],
  ['store', 'ky'],
  ['queries', '../store/load.ts'],
  ['queries', '../losant/x.ts'],
  ['queries', '../sync/x.ts'],
  ['queries', '../server/x.ts'],
  ['sync', '../queries/x.ts'],
  ['sync', '../server/x.ts'],
  ['sync', '../commands/x.ts'],
  ['sync', '../schedule.ts'],
  ['sync', '../config.ts'],
  ['sync', 'kysely'],
  ['sync', 'ky'],
  ['schedule.ts', './queries/x.ts'],
  ['schedule.ts', './server/x.ts'],
  ['schedule.ts', './commands/x.ts'],
  ['schedule.ts', './config.ts'],
  ['server', '../store/database.ts'],
  ['server', '../streams/x.ts'],
  ['server', '../sync/x.ts'],
  ['server', '../losant/x.ts'],
  ['server', '../config.ts'],
  ['simulator', '../day.ts'],
  ['simulator', '../streams/x.ts'],
  ['simulator', '../losant/x.ts'],
  ['main.ts', './simulator/x.ts'],
  ['cli.ts', './simulator/x.ts'],
  ['config.ts', './simulator/x.ts'],
  ['settings', '../simulator/x.ts'],
  ['settings', '../store/x.ts'],
  ['settings', '../config.ts'],
  ['exit.ts', './config.ts'],
  ['schedule.ts', './simulator/x.ts'],
  ['streams', '../simulator/x.ts'],
  ['losant', '../simulator/x.ts'],
  ['store', '../simulator/x.ts'],
  ['queries', '../simulator/x.ts'],
  ['sync', '../simulator/x.ts'],
  ['server', '../simulator/x.ts'],
  ['config.ts', './cli.ts'],
  ['config.ts', './store/x.ts'],
  ['cli.ts', './store/x.ts'],
  ['cli.ts', './main.ts'],
  ['config.ts', './main.ts'],
  ['schedule.ts', './main.ts'],
  ['logger.ts', './main.ts'],
  ['commands', '../main.ts'],
  ['server', '../main.ts'],
  ['sync', '../main.ts'],
  ['queries', '../main.ts'],
  ['store', '../main.ts'],
  ['losant', '../main.ts'],
  ['streams', '../main.ts'],
  ['simulator', '../main.ts'],
];

const ALLOWED: readonly Import[] = [
  ['logger.ts', './errors.ts'],
  ['streams', '../day.ts'],
  ['streams', './x.ts'],
  ['losant', '../streams/x.ts'],
  ['losant', '../errors.ts'],
  ['losant', 'ky'],
  ['store', '../streams/x.ts'],
  ['store', '../logger.ts'],
  ['store', 'kysely'],
  ['queries', '../streams/x.ts'],
  ['queries', '../day.ts'],
  ['sync', '../losant/x.ts'],
  ['sync', '../store/x.ts'],
  ['sync', '../streams/x.ts'],
  ['schedule.ts', './sync/x.ts'],
  ['server', '../queries/x.ts'],
  ['server', '../errors.ts'],
  ['simulator', './x.ts'],
  ['cli.ts', './commands/x.ts'],
  ['cli.ts', './config.ts'],
  ['config.ts', './streams/x.ts'],
  ['config.ts', './settings/x.ts'],
  ['settings', '../streams/x.ts'],
  ['exit.ts', './errors.ts'],
  ['main.ts', './commands/x.ts'],
  ['main.ts', './config.ts'],
  ['main.ts', './schedule.ts'],
  ['main.ts', './server/x.ts'],
  ['main.ts', './store/x.ts'],
  ['commands', '../simulator/x.ts'],
  ['commands', '../config.ts'],
  ['commands', '../queries/x.ts'],
];

/** Where an import is planted: a root file of src under its name, a folder as a file in it. */
function pathOf(importer: string): string {
  return importer.endsWith('.ts') ? `src/${importer}` : `src/${importer}/planted.ts`;
}

/** One file for each importer with one import a line; and the `file:line` of each import. */
function plant(imports: readonly Import[]) {
  const files: Record<string, string> = {};
  const places = imports.map(([importer, imported]) => {
    const path = pathOf(importer);
    const text = files[path] ?? '';
    files[path] = `${text}import '${imported}';\n`;
    return { importer, imported, place: `${path}:${text.split('\n').length}` };
  });
  return { files, places };
}

describe('an import against the direction is refused', () => {
  const { files, places } = plant(REFUSED);
  let verdict: LintVerdict;

  beforeAll(() => {
    verdict = lintTree(files);
  });

  test.each(places)('$importer importing $imported', ({ place }) => {
    expect(verdict.status).toBe(1);
    expect(verdict.problems).toContain(`${place} no-restricted-imports`);
  });
});

describe('an import is refused in whatever form it is written', () => {
  test.each([
    ['a named import', `import { load } from '../store/load.ts'; load();`],
    [
      'a type import',
      `import type { Batch } from '../store/load.ts'; export const batch: Batch | null = null;`,
    ],
    ['a re-export', `export { load } from '../store/load.ts';`],
    ['a dynamic import', `export const load = await import('../store/load.ts');`],
  ])('%s', (_form, text) => {
    const { status, problems } = lintTree({ 'src/losant/planted.ts': text });
    expect(status).toBe(1);
    expect(problems).toContain('src/losant/planted.ts:1 no-restricted-imports');
  });
});

test('imports in the direction of the design pass', () => {
  expect(lintTree(plant(ALLOWED).files)).toEqual({ status: 0, problems: [] });
});

test('queries take types from the store, and nothing that runs', () => {
  const files = {
    'src/store/database.ts': 'export type Database = string;\nexport const open = 1;\n',
    'src/queries/types.ts': `import type { Database } from '../store/database.ts';\nexport const db: Database = '';\n`,
    'src/queries/values.ts': `import { open } from '../store/database.ts';\nexport const opened = open;\n`,
  };
  expect(lintTree(files)).toEqual({ status: 1, problems: ['src/queries/values.ts:1 no-restricted-imports'] });
});

test('sync may name the types of the database library it never calls', () => {
  const text = `import type { Kysely } from 'kysely';\nexport const db: Kysely<object> | null = null;\n`;
  expect(lintTree({ 'src/sync/planted.ts': text })).toEqual({ status: 0, problems: [] });
});

test('tests and benches start the program as a process instead of importing main', () => {
  const text = `import '../src/main.ts';\n`;
  expect(lintTree({ 'test/planted.ts': text, 'bench/planted.ts': text })).toEqual({
    status: 1,
    problems: ['bench/planted.ts:1 no-restricted-imports', 'test/planted.ts:1 no-restricted-imports'],
  });
});

describe('every folder and root file of src has exactly one list of imports', () => {
  const settings = JSON.parse(readFileSync('.oxlintrc.json', 'utf8')) as {
    readonly overrides: readonly {
      readonly files: readonly string[];
      readonly rules: Readonly<Record<string, unknown>>;
    }[];
  };
  // A second list for the same file would silently replace the first.
  const listed = settings.overrides
    .filter((override) => 'no-restricted-imports' in override.rules)
    .flatMap((override) => override.files);

  test.each(
    readdirSync('src', { withFileTypes: true }).map((entry) => [entry.name, entry.isDirectory()] as const),
  )('src/%s', (name, isFolder) => {
    expect(listed.filter((files) => files === (isFolder ? `src/${name}/**` : `src/${name}`))).toHaveLength(1);
  });
});
