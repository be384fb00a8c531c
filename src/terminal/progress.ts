import { Presets, SingleBar } from 'cli-progress';
import { estimateLeftMs } from '../usage/planned-requests.ts';
import type { Output } from './output.ts';
import { count, showDuration, showNumber } from './words.ts';

/** The interval of lines where no terminal shows a bar. */
export const LINE_EVERY_MS = 10_000;

/** Shows the progress of a piece of work. */
export interface ProgressView {
  readonly start: (total: number) => void;
  readonly show: (done: number) => void;
  readonly stop: () => void;
}

export interface ProgressOptions {
  readonly output: Output;
  /** The stream on which a bar is drawn. */
  readonly stderr: NodeJS.WritableStream;
  readonly now: () => number;
  /** The expected number of steps per second. */
  readonly rate: number;
  /** The name of a step. */
  readonly noun: string;
}

/** `createProgress` shows a bar on a terminal, else a line at times, nothing with `--json`. */
export function createProgress(options: ProgressOptions): ProgressView {
  const { output } = options;
  if (output.json) return { start: () => {}, show: () => {}, stop: () => {} };
  return output.isTerminal ? createBar(options) : createLines(options);
}

function createBar({ stderr, now, rate, noun }: ProgressOptions): ProgressView {
  const format = '{bar} {percentage}% | {shown} | {left} left';
  const bar = new SingleBar(
    { format, stream: stderr, clearOnComplete: true, hideCursor: true, gracefulExit: false },
    Presets.shades_classic,
  );
  let startedAtMs = now();
  let total = 0;
  const describe = (done: number) => ({
    shown: `${showNumber(done)} of ${count(total, noun)}`,
    left: showDuration(estimateLeftMs({ done, total, elapsedMs: now() - startedAtMs, rate })),
  });
  return {
    start: (steps) => {
      startedAtMs = now();
      total = steps;
      if (total > 0) bar.start(total, 0, describe(0));
    },
    show: (done) => {
      if (total === 0) return;
      // More steps than planned may prove necessary.
      if (done > total) total = done;
      bar.setTotal(total);
      bar.update(done, describe(done));
    },
    stop: () => bar.stop(),
  };
}

function createLines({ output, now, rate, noun }: ProgressOptions): ProgressView {
  let startedAtMs = now();
  let lastMs = now();
  let total = 0;
  return {
    start: (steps) => {
      startedAtMs = now();
      total = steps;
    },
    show: (done) => {
      if (now() - lastMs < LINE_EVERY_MS) return;
      lastMs = now();
      const left = estimateLeftMs({ done, total, elapsedMs: now() - startedAtMs, rate });
      const shown = `${showNumber(done)} of ${count(Math.max(done, total), noun)}`;
      output.remark(`${shown} done, about ${showDuration(left)} left`);
    },
    stop: () => {},
  };
}
