import { expect, test } from 'vitest';
import { readAhead } from '../../src/export/pipeline.ts';

/** Notes what is asked of it; the third item fails. */
async function* numbers(log: string[]): AsyncGenerator<number> {
  try {
    for (const number of [1, 2]) {
      log.push(`asked for ${number}`);
      yield await Promise.resolve(number);
    }
    throw new Error('no third number');
  } finally {
    log.push('ended');
  }
}

test('the next item is asked for while one is worked on, and a failure is thrown when its turn comes', async () => {
  const log: string[] = [];
  const read = async () => {
    for await (const number of readAhead(numbers(log))) {
      await new Promise(setImmediate);
      log.push(`worked on ${number}`);
    }
  };
  await expect(read()).rejects.toThrow('no third number');
  expect(log).toEqual(['asked for 1', 'asked for 2', 'worked on 1', 'ended', 'worked on 2']);
});

test('what is ended early has ended its source, and asks for nothing more', async () => {
  const log: string[] = [];
  const items = readAhead(numbers(log));
  expect(await items.next()).toEqual({ done: false, value: 1 });
  await items.return();
  expect(log).toEqual(['asked for 1', 'asked for 2', 'ended']);
});
