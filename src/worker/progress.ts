import type { RunProgress } from '../console/worker-status.ts';
import type { ExportEnvironment } from '../export/open.ts';

/** Often enough to see that a long run moves, seldom enough for a log. */
const LINE_EVERY_MS = 60_000;

/** Logs the beginning of a run when it is first told of progress, and then how far it is, once a minute. */
export function logProgress(
  { logger, hostNow }: Pick<ExportEnvironment, 'logger' | 'hostNow'>,
  { instanceId, runId }: { instanceId: string; runId: string },
): (progress: RunProgress) => void {
  const fields = { instance_id: instanceId, run_id: runId };
  let lastLineMs: number | null = null;
  return ({ planned, done, requests }) => {
    const isFirst = lastLineMs === null;
    if (lastLineMs !== null && hostNow() - lastLineMs < LINE_EVERY_MS) return;
    lastLineMs = hostNow();
    if (isFirst) logger.info(fields, 'run started');
    else logger.info({ ...fields, cells_done: done, cells_planned: planned, requests }, 'run under way');
  };
}
