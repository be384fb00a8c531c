import { Presets, SingleBar } from 'cli-progress';
import { estimateLeftMs } from '../usage/planned-requests.ts';
import type { Output } from './output.ts';
import { count, showDuration, showNumber } from './words.ts';

/** The interval of lines where no terminal shows a bar. */
export const LINE_EVERY_MS = 10_000;

interface Terminal {
  readonly output: Output;
  readonly stderr: NodeJS.WritableStream;
  readonly hostNow: () => number;
}

/**
 * `createProgress` shows a bar on a terminal, else a line at times, nothing with `--json`. `rate` is the expected
 * number of steps per second.
 */
export function createProgress(
  { output, stderr, hostNow: now }: Terminal,
  { rate, noun }: { readonly rate: number; readonly noun: string },
) {
  const format = '{bar} {percentage}% | {shown} | {left} left';
  const options = { format, stream: stderr, clearOnComplete: true, hideCursor: true, gracefulExit: false };
  const hasBar = output.isTerminal && !output.json;
  const bar = hasBar ? new SingleBar(options, Presets.shades_classic) : null;
  let startedAtMs = now();
  let lastMs = now();
  let total = 0;
  const describe = (done: number) => ({
    shown: `${showNumber(done)} of ${count(total, noun)}`,
    left: showDuration(estimateLeftMs({ done, total, elapsedMs: now() - startedAtMs, rate })),
  });
  return {
    start: (steps: number) => {
      startedAtMs = now();
      total = steps;
      if (total > 0) bar?.start(total, 0, describe(0));
    },
    show: (done: number) => {
      if (bar === null ? output.json || now() - lastMs < LINE_EVERY_MS : total === 0) return;
      // More steps than planned may prove necessary.
      total = Math.max(done, total);
      const described = describe(done);
      bar?.setTotal(total);
      bar?.update(done, described);
      if (bar !== null) return;
      lastMs = now();
      output.remark(`${described.shown} done, about ${described.left} left`);
    },
    stop: () => bar?.stop(),
  };
}
