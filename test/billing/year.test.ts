/** A year that is billed: every line is what an independent reckoning says, and every pack holds. */
import { expect, test } from 'vitest';
import { useBooks } from './books.ts';
import { playYear } from './play.ts';

const books = useBooks();

test('a year is billed to the number', { timeout: 300_000 }, async () => {
  const { compared, folders } = await playYear(books);
  expect(compared).toBeGreaterThan(400);
  expect(folders).toHaveLength(12);
});
