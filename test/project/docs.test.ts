import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { linkedFiles } from './links.ts';

const scripts = Object.keys(
  (JSON.parse(readFileSync('package.json', 'utf8')) as { readonly scripts: Record<string, string> }).scripts,
);

const documents = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'simulator/README.md'].filter((path) =>
    existsSync(path),
  ),
  ...(existsSync('docs') ? readdirSync('docs', { recursive: true, encoding: 'utf8' }) : [])
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path)),
];

/** Paths of the checkout written as code or listed at the start of a line. Placeholders are none. */
function namedPaths(text: string): string[] {
  const path =
    /(?:`|^)((?:src|simulator|test|bench|bin|docs|deploy|lint|migrations|\.ci)\/[\w./-]*)(?=`| |$)/gm;
  const paths = [...text.matchAll(path)].map((match) => match[1] ?? '');
  return paths.filter((each) => !each.includes('NNNN'));
}

function namedScripts(text: string): string[] {
  return [...text.matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map((match) => match[1] ?? '');
}

describe.each(documents)('%s', (document) => {
  const text = readFileSync(document, 'utf8');

  test('links only to files that exist', () => {
    expect(linkedFiles(text).filter((target) => !existsSync(join(dirname(document), target)))).toEqual([]);
  });

  test('names only files and folders that exist', () => {
    expect(namedPaths(text).filter((path) => !existsSync(path))).toEqual([]);
  });

  test('names only scripts of package.json', () => {
    expect(namedScripts(text).filter((script) => !scripts.includes(script))).toEqual([]);
  });
});
