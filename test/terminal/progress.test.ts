import { expect, test } from 'vitest';
import type { Output } from '../../src/terminal/output.ts';
import { createProgress, estimateLeftMs } from '../../src/terminal/progress.ts';
import { SILENT } from '../support/output.ts';

test.each([
  ['before anything is done it is what the rate allows', 0, 0, 60_000],
  ['at the pace of the rate it goes down evenly', 600, 30_000, 30_000],
  ['one slow answer at the start moves it little', 1, 1_000, 82_284],
  ['twice as slow as allowed, it is soon known to be', 300, 30_000, 83_571],
  ['at the end nothing is left', 1_200, 70_000, 0],
])('the time left: %s', (_what, done, elapsedMs, left) => {
  expect(Math.round(estimateLeftMs({ done, total: 1_200, elapsedMs, rate: 20 }))).toBe(left);
});

/** What is said beside the result, with a clock that is set by hand. */
function lines() {
  const said: unknown[] = [];
  const clock = { ms: 0 };
  const remark: Output['remark'] = (...more) => void said.push(...more);
  const output: Output = { ...SILENT, json: false, remark };
  return { said, clock, view: createProgress({ output, now: () => clock.ms, rate: 20, noun: 'request' }) };
}

test('without a terminal it is a line every ten seconds, in requests', () => {
  const { said, clock, view } = lines();
  view.start(12_000);
  for (let done = 0; done <= 500; done += 1) {
    clock.ms = done * 50;
    view.show(done);
  }
  expect(said).toEqual([
    '200 of 12,000 requests done, about 9 min 50 s left',
    '400 of 12,000 requests done, about 9 min 40 s left',
  ]);
});
