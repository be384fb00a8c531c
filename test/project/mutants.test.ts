import { existsSync, globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MUTANTS, type Mutant } from '../mutants/catalog.ts';

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

test('every mutant can be planted: its text occurs once in its file', () => {
  const broken = MUTANTS.filter(({ file, find }) => read(file).split(find).length !== 2);
  expect(broken.map(({ file, find }) => `${file}: ${find}`)).toEqual([]);
});

/** Returns the last file that defines the view or function around a mutant; for a pack check, the newest version. */
function findLatest({ file, find }: Mutant): string {
  if (file.startsWith('pack-checks/')) return `pack-checks/${globSync('pack-checks/*.sql').length}.sql`;
  const listDefinitions = (sql: string) =>
    Array.from(sql.matchAll(/^create (?:or replace )?\w+ ([\w.]+)/gm), ([, name = '']) => name);
  const name = listDefinitions(`${read(file).split(find)[0]}${find}`).at(-1) ?? '';
  // Triggers and indexes, whose names have no schema, are not replaced.
  const isIn = (path: string) => name.includes('.') && listDefinitions(read(path)).includes(name);
  return globSync('migrations/0*.sql').toSorted().findLast(isIn) ?? file;
}

test('no mutant is in SQL that a later file replaces: move it there', () => {
  const broken = MUTANTS.filter((mutant) => findLatest(mutant) !== mutant.file);
  expect(broken.map((mutant) => `${mutant.file}, now in ${findLatest(mutant)}: ${mutant.find}`)).toEqual([]);
});

test('every mutant has a test, with the name that it runs', () => {
  const broken = MUTANTS.filter(({ test: path, only = '' }) => {
    const text = read(path).replaceAll("\\'", "'");
    return text === '' || !text.includes(only);
  });
  expect(broken.map(({ test: path, only }) => `${path}: ${only}`)).toEqual([]);
});
