import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type LintVerdict, lintTree } from './lint-tree.ts';

/** [a folder or file of the project, what it imports there]: planted as a file each, with one import. */
type Import = readonly [importer: string, imported: string];

const REFUSED: readonly Import[] = [
  ['src/errors.ts', './exit.ts'],
  ['src/errors.ts', './usage/x.ts'],
  ['src/exit.ts', './usage/x.ts'],
  ['src/exit.ts', './settings/x.ts'],
  ['src/memory.ts', './errors.ts'],
  ['src/logger.ts', './usage/x.ts'],
  ['src/logger.ts', './settings/x.ts'],
  ['src/logger.ts', './main.ts'],
  ['src/usage', '../logger.ts'],
  ['src/usage', '../losant/x.ts'],
  ['src/usage', '../database/schema.ts'],
  ['src/usage', '../settings/x.ts'],
  ['src/usage', '../export/x.ts'],
  ['src/usage', '../main.ts'],
  ['src/usage/streams', '../../losant/x.ts'],
  ['src/usage/streams', '../../database/write/x.ts'],
  ['src/settings', '../logger.ts'],
  ['src/settings', '../database/connect/x.ts'],
  ['src/settings', '../losant/x.ts'],
  ['src/settings', '../cli/x.ts'],
  ['src/settings', '../main.ts'],
  ['src/losant', '../database/write/x.ts'],
  ['src/losant', '../database/schema.ts'],
  ['src/losant', '../export/x.ts'],
  ['src/losant', '../settings/x.ts'],
  ['src/losant', '../main.ts'],
  ['src/losant', './admin.ts'],
  ['src/losant', './transport.ts'],
  ['src/cli', '../losant/admin.ts'],
  ['src/cli/org-show.ts', '../losant/admin.ts'],
  ['src/cli/org.ts', '../losant/transport.ts'],
  ['src/export', '../losant/admin.ts'],
  ['src/worker', '../losant/admin.ts'],
  ['src/losant', 'kysely'],
  ['src/losant', 'pg'],
  ['src/database/schema.ts', '../losant/x.ts'],
  ['src/database/schema.ts', './connect/x.ts'],
  ['src/database/connect', '../read/x.ts'],
  ['src/database/connect', '../write/x.ts'],
  ['src/database/connect', '../migrate/x.ts'],
  ['src/database/connect', '../../losant/x.ts'],
  ['src/database/connect', '../../settings/x.ts'],
  ['src/database/connect', 'ky'],
  ['src/database/migrate', '../write/x.ts'],
  ['src/database/migrate', '../read/x.ts'],
  ['src/database/migrate', '../../losant/x.ts'],
  ['src/database/read', '../write/x.ts'],
  ['src/database/read', '../migrate/x.ts'],
  ['src/database/read', '../../losant/x.ts'],
  ['src/database/read', '../../server/x.ts'],
  ['src/database/read', 'undici'],
  ['src/database/write', '../read/x.ts'],
  ['src/database/write', '../migrate/x.ts'],
  ['src/database/write', '../../losant/x.ts'],
  ['src/database/write', '../../export/x.ts'],
  ['src/database/write', '../../settings/x.ts'],
  ['src/database/write', '../../main.ts'],
  ['src/export', '../settings/x.ts'],
  ['src/export', '../server/x.ts'],
  ['src/export', '../worker/x.ts'],
  ['src/export', '../check/x.ts'],
  ['src/export', '../cli/x.ts'],
  ['src/export', '../main.ts'],
  ['src/export', 'kysely'],
  ['src/export', 'kysely/migration'],
  ['src/export', 'ky'],
  ['src/explain', '../database/write/x.ts'],
  ['src/explain', '../server/x.ts'],
  ['src/explain', '../cli/x.ts'],
  ['src/explain', '../settings/x.ts'],
  ['src/server', '../database/write/x.ts'],
  ['src/server', '../database/connect/x.ts'],
  ['src/server', '../losant/x.ts'],
  ['src/server', '../export/x.ts'],
  ['src/server', '../settings/x.ts'],
  ['src/server', '../worker/x.ts'],
  ['src/server', '../main.ts'],
  ['src/server/console', '../../losant/x.ts'],
  ['src/server/console', '../../database/write/x.ts'],
  ['src/server', 'pg'],
  ['src/worker', '../losant/x.ts'],
  ['src/worker', '../check/x.ts'],
  ['src/worker', '../cli/x.ts'],
  ['src/worker', '../server/x.ts'],
  ['src/worker', '../settings/x.ts'],
  ['src/worker', '../main.ts'],
  ['src/worker', 'undici/lib/dispatcher/pool.js'],
  ['src/cli', '../main.ts'],
  ['src/cli', '../run.ts'],
  ['src/cli', '../../simulator/x.ts'],
  ['src/cli/demo.ts', '../main.ts'],
  ['src/cli/demo.ts', '../run.ts'],
  ['src/files', '../logger.ts'],
  ['src/files', '../terminal/x.ts'],
  ['src/files', '../database/read/x.ts'],
  ['src/files', '../cli/x.ts'],
  ['src/terminal', '../logger.ts'],
  ['src/terminal', '../cli/x.ts'],
  ['src/terminal', '../database/read/x.ts'],
  ['src/export', '../terminal/x.ts'],
  ['src/cli', '@electric-sql/pglite'],
  ['src/run.ts', './database/read/x.ts'],
  ['src/run.ts', './export/x.ts'],
  ['src/run.ts', '../simulator/x.ts'],
  ['src/run.ts', './main.ts'],
  ['src/main.ts', '../simulator/x.ts'],
  ['src/main.ts', '../test/x.ts'],
  ['src/losant', '../../simulator/x.ts'],
  ['src/export', '../../simulator/x.ts'],
  ['simulator', '../src/usage/day.ts'],
  ['simulator', '../src/errors.ts'],
  ['simulator', '../src/main.ts'],
  ['simulator', '../test/x.ts'],
  ['src/elsewhere', '../errors.ts'],
  ['src/elsewhere.ts', './errors.ts'],
];

const ALLOWED: readonly Import[] = [
  ['src/exit.ts', './errors.ts'],
  ['src/logger.ts', './errors.ts'],
  ['src/logger.ts', './terminal/x.ts'],
  ['src/usage', './streams/x.ts'],
  ['src/usage', '../errors.ts'],
  ['src/usage/streams', '../day.ts'],
  ['src/settings', '../usage/streams/x.ts'],
  ['src/settings', '../errors.ts'],
  ['src/losant', '../usage/day.ts'],
  ['src/losant', '../logger.ts'],
  ['src/losant', 'ky'],
  ['src/losant', 'undici/lib/dispatcher/pool.js'],
  ['src/database/schema.ts', '../usage/day.ts'],
  ['src/database/connect', '../schema.ts'],
  ['src/database/connect', '@electric-sql/pglite'],
  ['src/database/migrate', '../connect/x.ts'],
  ['src/database/read', '../../usage/day.ts'],
  ['src/database/read', '../connect/x.ts'],
  ['src/database/write', '../../usage/settle.ts'],
  ['src/database/write', '../schema.ts'],
  ['src/database/write', 'kysely'],
  ['src/export', '../losant/x.ts'],
  ['src/export', '../database/write/x.ts'],
  ['src/export', '../usage/streams/x.ts'],
  ['src/explain', '../database/read/x.ts'],
  ['src/explain', '../terminal/words.ts'],
  ['src/server', '../database/read/x.ts'],
  ['src/server', '../explain/x.ts'],
  ['src/server', '../usage/day.ts'],
  ['src/server', '../files/x.ts'],
  ['src/server/console', '../guard.ts'],
  ['src/losant/http.ts', './transport.ts'],
  ['src/losant/admin.ts', './transport.ts'],
  ['src/cli/org-admin.ts', '../losant/admin.ts'],
  ['src/cli/org-set.ts', '../losant/admin.ts'],
  ['test', '../src/losant/admin.ts'],
  ['src/worker', '../export/x.ts'],
  ['src/worker', '../database/connect/x.ts'],
  ['src/worker', '../usage/day.ts'],
  ['src/cli', '../worker/x.ts'],
  ['src/cli', '../database/read/x.ts'],
  ['src/cli', '../settings/x.ts'],
  ['src/cli/demo.ts', '../../simulator/x.ts'],
  ['src/cli/demo.ts', './backfill.ts'],
  ['src/cli', '../files/x.ts'],
  ['src/cli', '../terminal/x.ts'],
  ['src/files', '../errors.ts'],
  ['src/files', '../usage/day.ts'],
  ['src/terminal', '../usage/day.ts'],
  ['src/cli/simulator.ts', '../../simulator/x.ts'],
  ['src/run.ts', './cli/x.ts'],
  ['src/run.ts', './settings/x.ts'],
  ['src/main.ts', './run.ts'],
  ['src/main.ts', './database/connect/x.ts'],
  ['simulator', './x.ts'],
  ['test', '../simulator/x.ts'],
  ['test', '../src/usage/day.ts'],
  ['test', 'pg'],
  ['bench', '../src/export/x.ts'],
  ['bench', '../simulator/x.ts'],
];

const RULE = 'imports-point-down';

/** Where an import is planted: a file under its name, a folder as a file in it. */
function pathOf(importer: string): string {
  return importer.endsWith('.ts') ? importer : `${importer}/planted.ts`;
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
    expect(verdict.problems).toContain(`${place} ${RULE}`);
  });
});

describe('an import is refused in whatever form it is written', () => {
  test.each([
    ['a named import', `import { load } from '../database/write/load.ts'; load();`],
    [
      'a type import',
      `import type { Batch } from '../database/write/load.ts'; export const batch: Batch | null = null;`,
    ],
    ['an inline type import', `export const batch: import('../database/write/load.ts').Batch | null = null;`],
    ['a re-export', `export { load } from '../database/write/load.ts';`],
    ['a re-export of everything', `export * from '../database/write/load.ts';`],
    ['a dynamic import', `export const load = await import('../database/write/load.ts');`],
    ['a dynamic import with a template', 'export const load = await import(`../database/write/load.ts`);'],
  ])('%s', (_form, text) => {
    const { status, problems } = lintTree({ 'src/losant/planted.ts': text });
    expect(status).toBe(1);
    expect(problems).toContain(`src/losant/planted.ts:1 ${RULE}`);
  });
});

test('imports in the direction of the design pass', () => {
  expect(lintTree(plant(ALLOWED).files)).toEqual({ status: 0, problems: [] });
});

describe('types may be named where values may not be imported', () => {
  test.each([
    ['worker', 'server/status.ts'],
    ['worker', 'settings/config.ts'],
    ['server', 'database/connect/handle.ts'],
  ])('%s takes types of %s, and nothing that runs', (importer, imported) => {
    const files = {
      [`src/${imported}`]: 'export type Named = string;\nexport const called = 1;\n',
      [`src/${importer}/types.ts`]: `import type { Named } from '../${imported}';\nexport const name: Named = '';\n`,
      [`src/${importer}/values.ts`]: `import { called } from '../${imported}';\nexport const again = called;\n`,
    };
    expect(lintTree(files)).toEqual({ status: 1, problems: [`src/${importer}/values.ts:1 ${RULE}`] });
  });
});

test('export may name the types of the database library it never calls', () => {
  const text = `import type { Kysely } from 'kysely';\nexport const db: Kysely<object> | null = null;\n`;
  expect(lintTree({ 'src/export/planted.ts': text })).toEqual({ status: 0, problems: [] });
});

test('tests and benches start the program as a process instead of importing main', () => {
  const text = `import '../src/main.ts';\n`;
  expect(lintTree({ 'test/planted.ts': text, 'bench/planted.ts': text })).toEqual({
    status: 1,
    problems: [`bench/planted.ts:1 ${RULE}`, `test/planted.ts:1 ${RULE}`],
  });
});

test('every folder and root file of the program has an entry, and every entry exists', async () => {
  const { MAY_IMPORT } = (await import(resolve('lint/imports-point-down.js'))) as {
    readonly MAY_IMPORT: Readonly<Record<string, unknown>>;
  };
  const children = (folder: string) => readdirSync(folder).map((name) => join(folder, name));
  const folders = [...children('src').filter((path) => path !== 'src/database'), ...children('src/database')];
  expect(Object.keys(MAY_IMPORT)).toEqual(expect.arrayContaining([...folders, 'simulator', 'test', 'bench']));
  expect(Object.keys(MAY_IMPORT).filter((path) => !existsSync(path) && !existsSync(`${path}.ts`))).toEqual(
    [],
  );
});
