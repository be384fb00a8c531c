import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { EXIT, FAILURES } from '../../src/errors.ts';
import { VERSION } from '../support/program.ts';
import { findLinkedAnchors, findLinkedFiles, listAnchors } from './links.ts';

const scripts = Object.keys((JSON.parse(readFileSync('package.json', 'utf8')) as { readonly scripts: object }).scripts);

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

/** Returns the paths in the checkout that are written as code or begin a line. Skips placeholders. */
function findPaths(text: string): string[] {
  const path = /(?:`|^)((?:src|simulator|test|bench|bin|docs|deploy|lint|migrations|\.ci)\/[\w./-]*)(?=`| |$)/gm;
  const paths = [...text.matchAll(path)].map((match) => match[1] ?? '');
  return paths.filter((each) => !/NNNN|NAME/.test(each));
}

function findScripts(text: string): string[] {
  return [...text.matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map((match) => match[1] ?? '');
}

test.each(documents)(
  '%s links only to files and headings that exist, and mentions only such files and scripts',
  (document) => {
    const text = readFileSync(document, 'utf8');
    const folder = dirname(document);
    expect(findLinkedFiles(text).filter((target) => !existsSync(join(folder, target)))).toEqual([]);
    const missing = findLinkedAnchors(text).filter(({ file, anchor }) => {
      return !listAnchors(file === '' ? text : readFileSync(join(folder, file), 'utf8')).includes(anchor);
    });
    expect(missing).toEqual([]);
    expect(findPaths(text).filter((path) => !existsSync(path))).toEqual([]);
    expect(findScripts(text).filter((script) => !scripts.includes(script))).toEqual([]);
  },
);

/** Returns the first cells of the tables in a section of the second level. */
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

test('docs/billing.md and the comment on month_blockers.cause have the same causes', () => {
  const listWords = (text = '') => (text.match(/\w+/g) ?? []).filter((word) => word !== 'or').toSorted();
  const [, ...causes] = firstCells(readFileSync('docs/billing.md', 'utf8'), 'What blocks a month');
  const migrations = globSync('migrations/*.sql').map((file) => readFileSync(file, 'utf8'));
  const comment = /month_blockers\.cause is '([^']*)'/.exec(migrations.join('\n'));
  expect(listWords(comment?.[1])).toEqual(listWords(causes.join()));
});

test('docs/runbook.md describes every exit code and no other', () => {
  const cells = firstCells(readFileSync('docs/runbook.md', 'utf8'), 'Exit codes').join(' ');
  const described = [...cells.matchAll(/\d+/g)].map(([code]) => Number(code));
  expect(described).toEqual(Object.values(EXIT));
});

test('docs/runbook.md describes every alert and no other', () => {
  const headings = readFileSync('docs/runbook.md', 'utf8').matchAll(/^### (LosantUsage.*)$/gm);
  const described = [...headings].flatMap(([, names = '']) => names.split(', '));
  const alerts = readFileSync('deploy/monitoring/alerts.yml', 'utf8').matchAll(/- alert: (\w+)/g);
  expect(described.toSorted()).toEqual([...alerts].map(([, name = '']) => name).toSorted());
});

/** Failures that are never the reason of a cell: one ends the run, the other is stored as `unplaceable_body`. */
const NO_REASONS = ['unauthorized', 'bad_body'];

test('docs/runbook.md describes every reason of a gap and no other', () => {
  const [, section = ''] = readFileSync('docs/runbook.md', 'utf8').split('\n## Reasons\n');
  const described = [...section.matchAll(/^- (`[a-z_]+`(?:, `[a-z_]+`)*): /gm)].flatMap(([, names = '']) =>
    names.replaceAll('`', '').split(', '),
  );
  const failures = Object.keys(FAILURES).filter((kind) => !NO_REASONS.includes(kind));
  const verdicts = ['omitted', 'not_hourly', 'invalid_value', 'unplaceable_body'];
  const reasons = [...failures, ...verdicts, 'never_read', 'database_rejected'];
  expect(described.toSorted()).toEqual(reasons.toSorted());
});

test('a command is called by the name of the package, and never fetched from a registry by it', () => {
  const { name, bin } = JSON.parse(readFileSync('package.json', 'utf8')) as { name: string; bin: object };
  expect(Object.keys(bin)).toEqual([name]);
  const files = globSync(['*.md', '{docs,src,deploy,simulator}/**/*.{md,ts,yaml,yml,service}']);
  expect(files.length).toBeGreaterThan(150);
  expect(files.filter((file) => readFileSync(file, 'utf8').includes(`npx ${name}`))).toEqual([]);
});

test('every file has the version of package.json, and the changelog has it with its date', () => {
  const mentions: readonly (readonly [string, RegExp])[] = [
    ...globSync('deploy/kubernetes/**/*.yaml').map((file) => [file, /(?:losant-usage:|newTag: )([\d.]+)/g] as const),
    ['docs/install.md', /losant-usage-([\d.]+)\.tgz/g],
    ['Dockerfile', /VERSION=([\d.]+)/g],
    ['package-lock.json', /"losant-usage",\s+"version": "([\d.]+)"/g],
  ];
  const versions = mentions.flatMap(([file, pattern]) =>
    [...readFileSync(file, 'utf8').matchAll(pattern)].map(([, version]) => `${file}: ${version}`),
  );
  expect(versions.length).toBeGreaterThanOrEqual(9);
  expect(versions.filter((each) => !each.endsWith(`: ${VERSION}`))).toEqual([]);
  const dated = /^## \[([\d.]+)\] - \d{4}-\d{2}-\d{2}$/m.exec(readFileSync('CHANGELOG.md', 'utf8'));
  expect(dated?.[1]).toBe(VERSION);
});
