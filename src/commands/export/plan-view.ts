import type { PlanSummary, Progress } from '../../export/context.ts';
import type { AttemptReport } from '../../losant/client.ts';
import { createProgress } from '../../terminal/progress.ts';
import type { CommandContext } from '../command.ts';
import { renderPlan } from './preview.ts';

/** Shows a run while it works: its plan, and how many of the plan's requests are done. */
export interface PlanView {
  /** Whether a bar is shown, which needs the plan. */
  readonly wantsPlan: boolean;
  /** The plan, once it is known. */
  readonly plan: PlanSummary | null;
  readonly onPlan: (plan: PlanSummary) => void;
  readonly onProgress: (progress: Progress) => void;
  readonly onAttempt: (report: AttemptReport) => void;
  readonly stop: () => void;
}

export function createPlanView(
  { output, hostNow }: Pick<CommandContext, 'output' | 'hostNow'>,
  { rate, showsPlan }: { rate: number; showsPlan: boolean },
): PlanView {
  const progress = createProgress({ output, now: hostNow, rate });
  let plan: PlanSummary | null = null;
  let answered = 0;
  return {
    wantsPlan: output.isTerminal && !output.json,
    get plan() {
      return plan;
    },
    onPlan: (summary) => {
      plan = summary;
      answered = 0;
      if (showsPlan) output.remark(...renderPlan(summary, rate));
      progress.start(summary.requests);
    },
    // Without a plan, numbers are all that is known.
    onProgress: ({ planned, done }) => {
      if (plan === null) progress.showNumbers(done, planned);
    },
    onAttempt: ({ retryReason, outcome }) => {
      if (plan === null || retryReason !== null || outcome === 'aborted') return;
      answered += 1;
      progress.showRequests(answered);
    },
    stop: () => progress.stop(),
  };
}
