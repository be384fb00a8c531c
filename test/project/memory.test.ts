import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** Keeps some of what it makes for a while, as rows under way are kept, and prints the largest size of the space of young objects. */
const WORK = `
  const { getHeapSpaceStatistics } = await import('node:v8');
  const kept = [];
  let peak = 0;
  for (let turn = 0; turn < 200; turn += 1) {
    for (let i = 0; i < 5_000; i += 1) kept[(turn * 5_000 + i) % 60_000] = { turn, text: 'a' + i };
    await new Promise((resolve) => setImmediate(resolve));
    peak = Math.max(peak, getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size);
  }
  console.log(peak);`;

async function peakOfYoung(): Promise<number> {
  const memory = new URL('../../src/memory.ts', import.meta.url).href;
  const script = `const { limitGarbage } = await import(${JSON.stringify(memory)}); limitGarbage();${WORK}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  return Number(stdout);
}

test('garbage is collected before it takes more memory than the program', async () => {
  // Without the limit it is more than 25 MB.
  expect(await peakOfYoung()).toBeLessThan(20_000_000);
});
