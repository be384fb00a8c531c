import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Permissive licenses that require no more than keeping their text. */
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

/** What `npm ci --omit=dev` installs: folder and lock entry. */
const productionPackages = Object.entries(packages).filter(([folder, { dev }]) => folder !== '' && dev !== true);
const findExceptions = (isAllowed: (entry: LockedPackage, folder: string) => boolean) =>
  productionPackages.filter(([folder, entry]) => !isAllowed(entry, folder)).map(([folder]) => folder);

test('every production package has an allowed license in its package.json', () => {
  const getLicense = (folder: string) =>
    (JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { readonly license?: string }).license ?? '';
  expect(findExceptions((_, folder) => ALLOWED.includes(getLicense(folder)))).toEqual([]);
});

test('every production package is pinned by its hash, and runs no install script', () => {
  expect(findExceptions(({ integrity }) => integrity?.startsWith('sha512-') ?? false)).toEqual([]);
  expect(findExceptions(({ hasInstallScript }) => hasInstallScript !== true)).toEqual([]);
  expect(Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});
