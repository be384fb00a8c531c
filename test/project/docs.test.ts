import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { EXIT } from '../../src/errors.ts';
import { VERSION } from '../support/program.ts';
import { anchorsIn, linkedAnchors, linkedFiles } from './links.ts';

const scripts = Object.keys(
  (JSON.parse(readFileSync('package.json', 'utf8')) as { readonly scripts: Record<string, string> }).scripts,
);

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'simulator/README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path)),
];

/** Paths of the checkout written as code or listed at the start of a line. Placeholders are none. */
function namedPaths(text: string): string[] {
  const path =
    /(?:`|^)((?:src|simulator|test|bench|bin|docs|deploy|lint|migrations|\.ci)\/[\w./-]*)(?=`| |$)/gm;
  const paths = [...text.matchAll(path)].map((match) => match[1] ?? '');
  return paths.filter((each) => !/NNNN|NAME/.test(each));
}

function namedScripts(text: string): string[] {
  return [...text.matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map((match) => match[1] ?? '');
}

describe.each(documents)('%s', (document) => {
  const text = existsSync(document) ? readFileSync(document, 'utf8') : '';

  test('is there', () => {
    expect(text).not.toBe('');
  });

  test('links only to files that exist', () => {
    expect(linkedFiles(text).filter((target) => !existsSync(join(dirname(document), target)))).toEqual([]);
  });

  test('links only to headings that exist', () => {
    const missing = linkedAnchors(text).filter(({ file, anchor }) => {
      const target = file === '' ? text : readFileSync(join(dirname(document), file), 'utf8');
      return !anchorsIn(target).includes(anchor);
    });
    expect(missing).toEqual([]);
  });

  test('names only files and folders that exist', () => {
    expect(namedPaths(text).filter((path) => !existsSync(path))).toEqual([]);
  });

  test('names only scripts of package.json', () => {
    expect(namedScripts(text).filter((script) => !scripts.includes(script))).toEqual([]);
  });
});

/** The first cells of the rows of all tables below a heading of the second level. */
function firstCells(text: string, heading: string): string[] {
  const [, after = ''] = text.split(`\n## ${heading}\n`);
  const [section = ''] = after.split('\n## ');
  const rows = section.split('\n').filter((line) => /^\| *[`\d]/.test(line));
  return rows.map((line) => line.split('|')[1] ?? '');
}

test('README.md describes every command and no other', () => {
  const cells = firstCells(readFileSync('README.md', 'utf8'), 'Commands').join(' ');
  const described = [...cells.matchAll(/`([\w -]+)`/g)].map((match) => match[1] ?? '');
  expect(described.toSorted()).toEqual([...commands.keys()].toSorted());
});

test('docs/runbook.md describes every exit code and no other', () => {
  const cells = firstCells(readFileSync('docs/runbook.md', 'utf8'), 'Exit codes').join(' ');
  const described = [...cells.matchAll(/\d+/g)].map(([code]) => Number(code));
  expect(described).toEqual(Object.values(EXIT));
});

test('docs/runbook.md says for each alert what to do', () => {
  const headings = readFileSync('docs/runbook.md', 'utf8').matchAll(/^### (LosantUsage.*)$/gm);
  const described = [...headings].flatMap(([, names = '']) => names.split(', '));
  const alerts = readFileSync('deploy/monitoring/alerts.yml', 'utf8').matchAll(/- alert: (\w+)/g);
  expect(described.toSorted()).toEqual([...alerts].map(([, name = '']) => name).toSorted());
});

test('docs/architecture.md has a line for each folder of src and no other', () => {
  const shown = readFileSync('docs/architecture.md', 'utf8').matchAll(/^(src\/[\w/]+)\/ /gm);
  const folders = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect([...shown].map(([, folder = '']) => folder).toSorted()).toEqual(
    folders.map(({ name }) => join('src', name)).toSorted(),
  );
});

test('files that name the version name that of package.json, and the changelog has it with its date', () => {
  const named: readonly (readonly [string, RegExp])[] = [
    ...globSync('deploy/kubernetes/**/*.yaml').map(
      (file) => [file, /(?:losant-usage:|newTag: )([\d.]+)/g] as const,
    ),
    ['docs/install.md', /losant-usage-export-([\d.]+)\.tgz/g],
    ['Dockerfile', /VERSION=([\d.]+)/g],
    ['package-lock.json', /"losant-usage-export",\s+"version": "([\d.]+)"/g],
  ];
  const versions = named.flatMap(([file, pattern]) =>
    [...readFileSync(file, 'utf8').matchAll(pattern)].map(([, version]) => version),
  );
  expect(versions.length).toBeGreaterThanOrEqual(9);
  expect(new Set(versions)).toEqual(new Set([VERSION]));
  const dated = /^## \[([\d.]+)\] - \d{4}-\d{2}-\d{2}$/m.exec(readFileSync('CHANGELOG.md', 'utf8'));
  expect(dated?.[1]).toBe(VERSION);
});
