import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { VERSION } from '../support/program.ts';
import { linkedFiles } from './links.ts';

/** A file as an operator has it: it must never leave the machine with the package. */
const SECRET = 'deploy/secrets/planted-by-a-test';

afterEach(() => {
  rmSync(SECRET, { force: true });
});

/** The paths that the package would hold, without those of `dist`, which is built when it is packed. */
function packedFiles(): string[] {
  const text = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8' });
  const [tarball] = JSON.parse(text.slice(text.indexOf('['))) as readonly {
    readonly files: readonly { readonly path: string }[];
  }[];
  return (tarball?.files ?? []).map(({ path }) => path).filter((path) => !path.startsWith('dist/'));
}

test('the package holds everything that its documents link to, and no secret', () => {
  mkdirSync(dirname(SECRET), { recursive: true });
  writeFileSync(SECRET, 'secret');
  const packed = packedFiles();
  const documents = packed.filter((path) => path.endsWith('.md'));
  expect(documents).toEqual(expect.arrayContaining(['README.md', 'SECURITY.md', 'docs/settings.md']));
  const linked = documents.flatMap((document) =>
    linkedFiles(readFileSync(document, 'utf8')).map((target) => join(dirname(document), target)),
  );
  const missing = linked.filter(
    (target) => !packed.some((path) => path === target || path.startsWith(`${target}/`)),
  );
  expect(missing).toEqual([]);
  expect(packed).not.toContain(SECRET);
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
