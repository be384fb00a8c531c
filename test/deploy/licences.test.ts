import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Permissive licences that ask for no more than keeping their text. */
const ALLOWED = ['Apache-2.0', 'BSD-3-Clause', 'ISC', 'MIT'];

interface LockedPackage {
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
}

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};
const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

/** What is installed with `npm ci --omit=dev`: folder and lock entry. */
const production = Object.entries(packages).filter(([folder, { dev }]) => folder !== '' && dev !== true);
const without = (isFine: (entry: LockedPackage, folder: string) => boolean) =>
  production.filter(([folder, entry]) => !isFine(entry, folder)).map(([folder]) => folder);

test('every package that reaches production has a licence that is allowed, by its own package.json', () => {
  const licenceOf = (folder: string) =>
    (JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { readonly license?: string }).license ??
    '';
  expect(without((_, folder) => ALLOWED.includes(licenceOf(folder)))).toEqual([]);
});

test('every package that reaches production is pinned by its content, and runs no script when installed', () => {
  expect(without(({ integrity }) => integrity?.startsWith('sha512-') ?? false)).toEqual([]);
  expect(without(({ hasInstallScript }) => hasInstallScript !== true)).toEqual([]);
  expect(Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});
