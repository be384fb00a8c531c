import { expect, test } from 'vitest';
import type { Output } from '../../src/terminal/output.ts';
import { createProgress } from '../../src/terminal/progress.ts';
import { SILENT } from '../support/output.ts';

/** What is said beside the result, with a clock that is set by hand. */
function lines() {
  const said: unknown[] = [];
  const clock = { ms: 0 };
  const remark: Output['remark'] = (...more) => void said.push(...more);
  const output: Output = { ...SILENT, json: false, remark };
  return {
    said,
    clock,
    view: createProgress(
      { output, stderr: process.stderr, hostNow: () => clock.ms },
      { rate: 20, noun: 'request' },
    ),
  };
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
