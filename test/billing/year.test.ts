/** A year that is billed: every line is what an independent reckoning says, and every pack holds. */
import { expect, test } from 'vitest';
import { useBooks } from './books.ts';
import { playYear } from './play.ts';

const books = useBooks();

// Promise (Billing): The sum over all statements of a month is the number of now, over a played year.
test('a year is billed to the number, and what differs since is found', { timeout: 600_000 }, async () => {
  const { compared, differing, folders } = await playYear(books);
  expect(compared).toBeGreaterThan(400);
  expect(differing).toBeGreaterThan(50);
  expect(folders).toHaveLength(12);
});
