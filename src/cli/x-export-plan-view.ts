import type { PlanSummary, Progress } from '../export/context.ts';
import type { AttemptReport } from '../losant/client.ts';
import { createProgress, LINE_EVERY_MS } from '../terminal/progress.ts';
import { count, showNumber } from '../terminal/words.ts';
import { PlannedRequests } from '../usage/planned-requests.ts';
import type { CommandContext } from './command.ts';
import { renderPlan } from './export-plan.ts';

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
  const bar = createProgress({ output, now: hostNow, rate, noun: 'request' });
  const requests = new PlannedRequests();
  let lastLineMs = hostNow();
  return {
    onPlan: (summary) => {
      requests.plan(summary);
      if (showsPlan) output.remark(...renderPlan(summary, rate));
      bar.start(summary.requests);
    },
    // Where no plan was made, the numbers planned so far are all that is known: no time left can be told.
    onProgress: ({ planned, done }) => {
      if (requests.progress !== null || output.json || hostNow() - lastLineMs < LINE_EVERY_MS) return;
      lastLineMs = hostNow();
      output.remark(`${showNumber(done)} of ${count(planned, 'number')} done so far`);
    },
    onAttempt: (report) => {
      requests.count(report);
      if (requests.progress !== null) bar.show(requests.progress.done);
    },
    stop: () => bar.stop(),
  };
}
