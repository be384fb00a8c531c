import { expect, test } from 'vitest';
import type { Output } from '../../src/terminal/output.ts';
import { createProgress } from '../../src/terminal/progress.ts';

/** An output that discards everything, for commands that are called inside a test. */
const SILENT: Output = {
  json: true,
  isTerminal: false,
  isShown: false,
  print: () => {},
  printJson: () => {},
  hasDocument: () => false,
  writePart: () => Promise.resolve(true),
  remark: () => {},
};

/** What is said beside the result, with a clock that is set by hand. */
function lines() {
  const said: unknown[] = [];
  const clock = { ms: 0 };
  const remark: Output['remark'] = (...more) => void said.push(...more);
  const output: Output = { ...SILENT, json: false, remark };
  return {
    said,
    clock,
    view: createProgress({ output, stderr: process.stderr, hostNow: () => clock.ms }, 'number'),
  };
}

test('without a terminal it is a line every ten seconds', () => {
  const { said, clock, view } = lines();
  for (let done = 0; done <= 500; done += 1) {
    clock.ms = done * 50;
    view.show({ planned: 12_000, done });
  }
  expect(said).toEqual([
    '200 of 12,000 numbers done, about 9 min 50 s left',
    '400 of 12,000 numbers done, about 9 min 40 s left',
  ]);
});

test('takes more than was planned, and says nothing where there is nothing to do', () => {
  const { said, clock, view } = lines();
  view.show({ planned: 0, done: 0 });
  clock.ms = 20_000;
  view.show({ planned: 0, done: 0 });
  view.show({ planned: 2, done: 3 });
  expect(said).toEqual(['3 of 3 numbers done, about 0.0 s left']);
});
