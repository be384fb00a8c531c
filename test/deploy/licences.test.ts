import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';

/** Permissive licences that ask for no more than keeping their text. */
const ALLOWED = ['Apache-2.0', 'BSD-3-Clause', 'ISC', 'MIT'];

interface LockedPackage {
  readonly version: string;
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

/** Package names by licence, as their own package.json says. */
let byLicence: Map<string, string[]>;

beforeAll(() => {
  byLicence = new Map();
  for (const [folder] of production) {
    const { name, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as {
      readonly name: string;
      readonly license?: unknown;
    };
    const licence = typeof license === 'string' ? license : `unclear (${folder})`;
    byLicence.set(licence, [...new Set([...(byLicence.get(licence) ?? []), name])].toSorted());
  }
});

test('every package that reaches production has a licence that is allowed', () => {
  expect([...byLicence].filter(([licence]) => !ALLOWED.includes(licence))).toEqual([]);
});

test('every package that reaches production is pinned by the hash of its content', () => {
  const unpinned = production.filter(([, { integrity }]) => !integrity?.startsWith('sha512-'));
  expect(unpinned.map(([folder]) => folder)).toEqual([]);
  expect(Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

test('no package that reaches production runs a script when it is installed', () => {
  expect(production.filter(([, { hasInstallScript }]) => hasInstallScript).map(([folder]) => folder)).toEqual(
    [],
  );
});
