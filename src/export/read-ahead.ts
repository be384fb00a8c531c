/**
 * The same items in the same order, the next one already asked for while one is
 * worked on. A failure is thrown when its turn comes. Ending it early waits for
 * what was asked for and ends the source: nothing goes on behind.
 */
export async function* readAhead<T>(source: AsyncGenerator<T>): AsyncGenerator<T, void> {
  let next = source.next();
  try {
    for (;;) {
      const result = await next;
      if (result.done) return;
      next = source.next();
      next.catch(() => {});
      yield result.value;
    }
  } finally {
    await next.catch(() => {});
    await source.return(undefined);
  }
}
