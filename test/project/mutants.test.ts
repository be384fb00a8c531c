import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MUTANTS } from '../mutants/catalog.ts';

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

test('every mutant can be planted: its text occurs once in its file', () => {
  const broken = MUTANTS.filter(({ file, find }) => read(file).split(find).length !== 2);
  expect(broken.map(({ file, find }) => `${file}: ${find}`)).toEqual([]);
});

test('every mutant has a test, with the name that it runs', () => {
  const broken = MUTANTS.filter(({ test: path, only = '' }) => {
    const text = read(path).replaceAll("\\'", "'");
    return text === '' || !text.includes(only);
  });
  expect(broken.map(({ test: path, only }) => `${path}: ${only}`)).toEqual([]);
});
