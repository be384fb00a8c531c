import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { VERSION } from '../support/program.ts';

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
