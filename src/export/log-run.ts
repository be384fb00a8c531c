import type { Logger } from '../logger.ts';
import type { RunOutcome } from './run.ts';

/** One log line for a run, and one more where final numbers were restated. */
export function logRun(
  logger: Logger,
  instanceId: string,
  { report, tally, refusal, excluded }: RunOutcome,
): void {
  const { runId, failures, from, to, kind, ...counts } = report;
  const fields = {
    instance_id: instanceId,
    run_id: runId,
    kind,
    status: counts.status,
    from,
    to,
    orgs: counts.orgs,
    orgs_excluded: excluded,
    cells: counts.cells,
    rows: counts.rows,
    requests: counts.requests,
    duration_ms: counts.durationMs,
    waiting: tally.waiting,
    restated: tally.restated,
    restated_final: tally.restatedFinal,
    unknown_keys: tally.unknownKeys,
    outside_buckets: tally.outsideBuckets,
    failures: failures.length,
    ...(refusal ? { refused: refusal.message } : {}),
  };
  if (report.status === 'complete' && !refusal) logger.info(fields, 'run finished');
  else logger.warn({ ...fields, first_failure: failures[0] }, 'run finished, something is missing');
  if (tally.restatedFinal > 0) {
    logger.warn(
      { run_id: runId, cells: tally.restatedFinal },
      'final numbers were restated, see the view restatements',
    );
  }
}
