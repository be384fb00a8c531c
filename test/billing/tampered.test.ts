/** Proof packs that somebody changed, with new hashes: every contradiction is found offline. */
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

test.for(TAMPERINGS)('a tampered pack has a problem in the file that contradicts: tampering %#', async (tampering) => {
  const [change, problem, file] = tampering;
  const copy = await Copy.of(march);
  await change.make(copy);
  const verification = await readPacks(copy.out, []);
  expect(verification.problems).toEqual([]);
  await checkPacks(verification, SIGNAL);
  const expected = { file: file ?? change.file, problem: expect.stringMatching(problem) as string };
  expect(verification.problems).toContainEqual(expected);
});
