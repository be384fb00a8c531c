import type { PlanSummary, Progress } from '../../export/context.ts';
import type { AttemptReport } from '../../losant/client.ts';
import { createProgress, LINE_EVERY_MS } from '../../terminal/progress.ts';
import { count, showNumber } from '../../terminal/words.ts';
import type { CommandContext } from '../command.ts';
import { renderPlan } from './preview.ts';

/** Shows a run while it works: its plan, and how many of the plan's requests are done. */
export interface PlanView {
  readonly onPlan: (plan: PlanSummary) => void;
  readonly onProgress: (progress: Progress) => void;
  readonly onAttempt: (report: AttemptReport) => void;
  readonly stop: () => void;
}

export function createPlanView(
  { output, hostNow }: Pick<CommandContext, 'output' | 'hostNow'>,
  { rate, showsPlan }: { rate: number; showsPlan: boolean },
): PlanView {
  const requests = createProgress({ output, now: hostNow, rate, noun: 'request' });
  let isPlanned = false;
  let answered = 0;
  let lastLineMs = hostNow();
  return {
    onPlan: (summary) => {
      isPlanned = true;
      answered = 0;
      if (showsPlan) output.remark(...renderPlan(summary, rate));
      requests.start(summary.requests);
    },
    // Where no plan was made, the numbers planned so far are all that is known: no time left can be told.
    onProgress: ({ planned, done }) => {
      if (isPlanned || output.json || hostNow() - lastLineMs < LINE_EVERY_MS) return;
      lastLineMs = hostNow();
      output.remark(`${showNumber(done)} of ${count(planned, 'number')} done so far`);
    },
    onAttempt: ({ retryReason, outcome }) => {
      if (!isPlanned || retryReason !== null || outcome === 'aborted') return;
      answered += 1;
      requests.show(answered);
    },
    stop: () => requests.stop(),
  };
}
