/** Proof packs that somebody changed, with their hashes written anew: each contradiction is found offline. */
import { beforeAll, describe, expect, test } from 'vitest';
import { checkPacks } from '../../src/billing/check-pack.ts';
import { openPacks } from '../../src/billing/open-packs.ts';
import { SIGNAL, useBooks } from './books.ts';
import { Copy, closeMarch } from './copies.ts';
import { TAMPERED_NUMBERS } from './tampered-numbers.ts';
import { TAMPERED_RECORD } from './tampered-record.ts';

const TAMPERINGS = [...TAMPERED_NUMBERS, ...TAMPERED_RECORD];

const books = useBooks();
let march: string;

beforeAll(async () => {
  march = await closeMarch(books);
});

describe('a pack that was tampered with', () => {
  test.for(TAMPERINGS)('is told its place: tampering %#', async ([change, file, problem]) => {
    const copy = await Copy.of(march);
    await change(copy);
    const { packs, problems } = await openPacks(copy.out, []);
    expect(problems).toEqual([]);
    const checked = await checkPacks(packs, SIGNAL);
    expect(checked.problems).toContainEqual({ file, problem: expect.stringMatching(problem) as string });
  });

  test('is among at least sixty', () => {
    expect(TAMPERINGS.length).toBeGreaterThanOrEqual(60);
  });
});
