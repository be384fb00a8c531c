import { Presets, SingleBar } from 'cli-progress';
import type { Progress } from '../export/context.ts';
import type { CommandContext } from './command.ts';

/** How often a line is written where no terminal shows a bar. */
const LINE_EVERY_MS = 10_000;

export interface ProgressView {
  readonly show: (progress: Progress) => void;
  readonly stop: () => void;
}

/** A bar with rate and time left on a terminal, plain lines otherwise, nothing with `--json`. */
export function createProgress({
  output,
  hostNow,
}: Pick<CommandContext, 'output' | 'hostNow'>): ProgressView {
  if (output.json) return { show: () => {}, stop: () => {} };
  return output.isTerminal ? createBar() : createLines(output.remark, hostNow);
}

function createBar(): ProgressView {
  const format = '{bar} {percentage}% | {value}/{total} cells | {eta_formatted} left';
  const bar = new SingleBar({ format, clearOnComplete: true, hideCursor: true }, Presets.shades_classic);
  let isStarted = false;
  return {
    show: ({ planned, done }) => {
      if (!isStarted && planned > 0) bar.start(planned, done);
      isStarted ||= planned > 0;
      bar.setTotal(planned);
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}

function createLines(remark: (text: string) => void, hostNow: () => number): ProgressView {
  let lastMs = hostNow();
  return {
    show: ({ planned, done }) => {
      if (hostNow() - lastMs < LINE_EVERY_MS) return;
      lastMs = hostNow();
      remark(`${done} of ${planned} cells done\n`);
    },
    stop: () => {},
  };
}
