import { Presets, SingleBar } from 'cli-progress';
import type { Output } from './output.ts';
import { showDuration } from './time.ts';
import { showNumber } from './words.ts';

/** How often a line is written where no terminal shows a bar. */
const LINE_EVERY_MS = 10_000;

/** So many requests at the configured rate are mixed into the measured one: a few slow or fast answers at the start move the estimate little. */
const PRIOR_REQUESTS = 50;

/** Shows how far a piece of work is. */
export interface ProgressView {
  /** Begins the work of `requests`. */
  readonly start: (requests: number) => void;
  readonly showRequests: (done: number) => void;
  /** Numbers, where the requests are not known. */
  readonly showNumbers: (done: number, planned: number) => void;
  readonly stop: () => void;
}

export interface ProgressOptions {
  readonly output: Output;
  readonly now: () => number;
  /** Requests per second that are allowed. */
  readonly rate: number;
}

/** A bar with the time left on a terminal, a line now and then otherwise, nothing with `--json`. */
export function createProgress(options: ProgressOptions): ProgressView {
  const { output } = options;
  if (output.json) return { start() {}, showRequests() {}, showNumbers() {}, stop() {} };
  return output.isTerminal ? createBar(options) : createLines(options);
}

/** The time the rest takes, in ms. Pure. */
export function estimateLeftMs({
  done,
  total,
  elapsedMs,
  rate,
}: {
  readonly done: number;
  readonly total: number;
  readonly elapsedMs: number;
  readonly rate: number;
}): number {
  const prior = Math.min(PRIOR_REQUESTS, total);
  const perRequestMs = (elapsedMs + (prior * 1_000) / rate) / (done + prior);
  return Math.max(0, total - done) * perRequestMs;
}

function createBar({ now, rate }: ProgressOptions): ProgressView {
  const format = '{bar} {percentage}% | {shown} | {left} left';
  const bar = new SingleBar(
    { format, clearOnComplete: true, hideCursor: true, gracefulExit: false },
    Presets.shades_classic,
  );
  let startedAtMs = now();
  let total = 0;
  const describe = (done: number) => ({
    shown: `${showNumber(done)} of ${showNumber(total)} requests`,
    left: showDuration(estimateLeftMs({ done, total, elapsedMs: now() - startedAtMs, rate })),
  });
  return {
    start: (requests) => {
      startedAtMs = now();
      total = requests;
      if (total > 0) bar.start(total, 0, describe(0));
    },
    showRequests: (done) => {
      if (total === 0) return;
      // Windows that are refused are halved: more requests than were planned.
      if (done > total) total = done;
      bar.setTotal(total);
      bar.update(done, describe(done));
    },
    showNumbers: () => {},
    stop: () => bar.stop(),
  };
}

function createLines({ output, now, rate }: ProgressOptions): ProgressView {
  let startedAtMs = now();
  let lastMs = now();
  let total = 0;
  const say = (text: () => string) => {
    if (now() - lastMs < LINE_EVERY_MS) return;
    lastMs = now();
    output.remark(text());
  };
  return {
    start: (requests) => {
      startedAtMs = now();
      total = requests;
    },
    showRequests: (done) =>
      say(() => {
        const left = estimateLeftMs({ done, total, elapsedMs: now() - startedAtMs, rate });
        return `${showNumber(done)} of ${showNumber(Math.max(done, total))} requests done, about ${showDuration(left)} left`;
      }),
    showNumbers: (done, planned) =>
      say(() => `${showNumber(done)} of ${showNumber(planned)} numbers done so far`),
    stop: () => {},
  };
}
