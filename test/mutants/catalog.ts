/**
 * Reads the mutants from the text files of this folder. After `= FILE, TEST` or `= FILE, TEST: ONLY` each has a line
 * with what is true of the program without the bug, then, as in a diff, the text to find with `- ` before each line and
 * its replacement with `+ `; nothing replaces the text if there is none. Lines with `#` are comments. The file of SQL is
 * the first that has the text; the bug is planted in the last one that replaces the view, function or pack check.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A bug in one place of the program that a test must find. */
export interface Mutant {
  /** What is true of the program without the bug. */
  readonly guarantee: string;
  readonly file: string;
  /** A text that occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The test file that must fail. */
  readonly test: string;
  /** Part of the names of the tests to run; all tests of the file if unset. */
  readonly only?: string;
}

const MUTANT = /^(?<guarantee>(?![#=]|[-+](?: |$)).+)\n(?<find>(?:-(?: .*)?\n)+)(?<replace>(?:\+(?: .*)?\n)*)/gm;

/** Returns the lines of a diff without their signs. */
function toText(lines = ''): string {
  return lines.slice(0, -1).replaceAll(/^[-+] ?/gm, '');
}

/** Returns the last file that defines the view or function around a text; for a pack check, the newest version. */
function findLatest(file: string, find: string): string {
  if (file.startsWith('pack-checks/')) return `pack-checks/${globSync('pack-checks/*.sql').length}.sql`;
  if (!file.startsWith('migrations/')) return file;
  const read = (path: string) => readFileSync(path, 'utf8');
  const listDefinitions = (sql: string) =>
    Array.from(sql.matchAll(/^create (?:or replace )?\w+ ([\w.]+)/gm), ([, name = '']) => name);
  const name = listDefinitions(`${read(file).split(find)[0]}${find}`).at(-1) ?? '';
  // Triggers and indexes, whose names have no schema, are not replaced.
  const isIn = (path: string) => name.includes('.') && listDefinitions(read(path)).includes(name);
  return globSync('migrations/0*.sql').toSorted().findLast(isIn) ?? file;
}

/** Throws if a line belongs to no mutant. */
function readMutants(path: string): Mutant[] {
  const sections = readFileSync(path, 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .split(/^= /m);
  return sections.slice(1).flatMap((section) => {
    const [head = '', file = '', test = '', only] = /^(.+?), (.+?)(?:: (.+))?\n/.exec(section) ?? [];
    const bugs = section.slice(head.length);
    const stray = bugs.replaceAll(MUTANT, '');
    if (stray !== '') throw new Error(`${path}: no mutant: ${stray}`);
    return [...bugs.matchAll(MUTANT)].map(({ groups }) => {
      const [find, replace] = [toText(groups?.['find']), toText(groups?.['replace'])];
      const target = { file: findLatest(file, find), test, ...(only !== undefined && { only }) };
      return { guarantee: groups?.['guarantee'] ?? '', find, replace, ...target };
    });
  });
}

export const MUTANTS: readonly Mutant[] = globSync(join(import.meta.dirname, '*.txt'))
  .toSorted()
  .flatMap(readMutants);
