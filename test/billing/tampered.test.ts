/** Proof packs that somebody changed, with their hashes written anew: each contradiction is found offline. */
import { beforeAll, expect, test } from 'vitest';
import { checkPacks } from '../../src/billing/check-pack.ts';
import { readPacks } from '../../src/billing/read-packs.ts';
import { SIGNAL, useBooks } from './books.ts';
import { Copy, closeMarch } from './copies.ts';
import { TAMPERINGS } from './tamperings.ts';

const books = useBooks();
let march: string;

beforeAll(async () => {
  march = await closeMarch(books);
});

test.for(TAMPERINGS)('a tampered pack is told its place: tampering %#', async ([change, problem, file]) => {
  const copy = await Copy.of(march);
  await change.make(copy);
  const found = await readPacks(copy.out, []);
  expect(found.problems).toEqual([]);
  await checkPacks(found, SIGNAL);
  const expected = { file: file ?? change.file, problem: expect.stringMatching(problem) as string };
  expect(found.problems).toContainEqual(expected);
});
