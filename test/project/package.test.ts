import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
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

test('the package says what it is', () => {
  const { name, description, keywords, license, author, bin, engines } = JSON.parse(
    readFileSync('package.json', 'utf8'),
  ) as Record<string, unknown>;
  expect({ name, license, author, bin, engines }).toEqual({
    name: 'losant-usage-export',
    license: 'MIT',
    author: 'losant-usage-export contributors',
    bin: { 'losant-usage': 'bin/losant-usage.js' },
    engines: { node: '>=24' },
  });
  expect(description).toMatch(/^Copies Losant usage counters into Postgres/);
  expect(keywords).toEqual(expect.arrayContaining(['losant', 'usage', 'billing', 'postgres']));
});
