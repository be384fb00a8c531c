import { Presets, SingleBar } from 'cli-progress';
import type { Output } from './output.ts';
import { count, showDuration, showNumber } from './words.ts';

/** The interval of lines where no terminal shows a bar. */
const LINE_EVERY_MS = 10_000;

interface Terminal {
  readonly output: Output;
  readonly stderr: NodeJS.WritableStream;
  readonly hostNow: () => number;
}

/** Shows a bar on a terminal, else a line at times, nothing with `--json`. */
export function createProgress({ output, stderr, hostNow: now }: Terminal, noun: string) {
  const format = '{bar} {percentage}% | {shown} | {left} left';
  const options = { format, stream: stderr, clearOnComplete: true, hideCursor: true, gracefulExit: false };
  const hasBar = output.isTerminal && !output.json;
  const bar = hasBar ? new SingleBar(options, Presets.shades_classic) : null;
  let startedAtMs: number | null = null;
  let lastMs = now();
  return {
    /** Shows what is done of what is known to be done so far, which may still grow. */
    show: ({ planned, done }: { readonly planned: number; readonly done: number }) => {
      const isFirst = startedAtMs === null;
      startedAtMs ??= now();
      const total = Math.max(done, planned);
      if (total === 0) return;
      const elapsedMs = now() - startedAtMs;
      const left = done === 0 ? '…' : showDuration(((total - done) * elapsedMs) / done);
      const shown = `${showNumber(done)} of ${count(total, noun)}`;
      if (bar !== null) {
        if (isFirst) bar.start(total, done, { shown, left });
        bar.setTotal(total);
        bar.update(done, { shown, left });
      } else if (!output.json && now() - lastMs >= LINE_EVERY_MS) {
        lastMs = now();
        output.remark(`${shown} done${done === 0 ? '' : `, about ${left} left`}`);
      }
    },
    stop: () => bar?.stop(),
  };
}
