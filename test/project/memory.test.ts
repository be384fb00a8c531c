import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** Keeps some of what it makes for a while, as rows under way are kept, and tells the peak of the space of young objects. */
const WORK = `
  const { getHeapSpaceStatistics } = await import('node:v8');
  const held = [];
  let peak = 0;
  for (let turn = 0; turn < 200; turn += 1) {
    for (let i = 0; i < 5_000; i += 1) held[(turn * 5_000 + i) % 60_000] = { turn, text: 'a' + i };
    await new Promise((resolve) => setImmediate(resolve));
    peak = Math.max(peak, getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size);
  }
  console.log(peak);`;

async function peakOfYoung(before: string): Promise<number> {
  const script = `${before}${WORK}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  return Number(stdout);
}

test('garbage is collected before it takes more memory than the program, which this version of Node would let it', async () => {
  const memory = new URL('../../src/memory.ts', import.meta.url).href;
  const limited = `const { limitGarbage } = await import(${JSON.stringify(memory)}); limitGarbage();`;
  expect(await peakOfYoung('')).toBeGreaterThan(25_000_000);
  expect(await peakOfYoung(limited)).toBeLessThan(20_000_000);
});
