import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** Retains some objects for a while, as a load retains its rows, and prints the peak size of V8's young space. */
const WORK = `
  const { getHeapSpaceStatistics } = await import('node:v8');
  const retained = [];
  let peak = 0;
  for (let turn = 0; turn < 200; turn += 1) {
    for (let i = 0; i < 5_000; i += 1) retained[(turn * 5_000 + i) % 60_000] = { turn, text: 'a' + i };
    await new Promise((resolve) => setImmediate(resolve));
    peak = Math.max(peak, getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size);
  }
  console.log(peak);`;

async function measureYoungPeak(): Promise<number> {
  const memory = new URL('../../src/memory.ts', import.meta.url).href;
  const script = `const { limitGarbage } = await import(${JSON.stringify(memory)}); limitGarbage();${WORK}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  return Number(stdout);
}

test('garbage is collected before it needs more memory than the program', async () => {
  // Without the limit, the peak is above 25 MB.
  expect(await measureYoungPeak()).toBeLessThan(20_000_000);
});
