/** docs/guarantees.md has few promises, and each names the test that holds it. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const MAX_PROMISES = 20;

/** A promise with its test: `- A sentence. (`test/file.test.ts`, "a part of the name of the test")`. */
const PROMISE = /^- [A-Z].*\. \(`(?<file>test\/[\w/-]+\.test\.ts)`(?:, "(?<name>[^"]+)")?\)$/;

const promises = readFileSync('docs/guarantees.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('- '));

test(`docs/guarantees.md has at most ${MAX_PROMISES} promises`, () => {
  expect(promises.length).toBeGreaterThan(10);
  expect(promises.length).toBeLessThanOrEqual(MAX_PROMISES);
});

test.each(promises)('a test holds: %s', (promise) => {
  const { file = '', name = '' } = PROMISE.exec(promise)?.groups ?? {};
  expect({ promise, file, exists: existsSync(file) }).toEqual({ promise, file, exists: true });
  expect(readFileSync(file, 'utf8')).toContain(name);
});
