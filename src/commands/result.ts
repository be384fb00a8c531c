import { ExportError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { RunReport } from '../export/report.ts';
import type { RunOutcome } from '../export/run.ts';
import { type CommandContext, printJson } from './command.ts';

/** How the export of one instance ended. */
export type InstanceEnd =
  | { readonly instanceId: string; readonly outcome: RunOutcome }
  | { readonly instanceId: string; readonly error: unknown };

/** Failures shown to people; the document of `--json` has more. */
const FAILURES_SHOWN = 10;

/** `{code, message, hint}` of an error, as `--json` prints it. */
export function describeError(error: unknown): { code: string; message: string; hint: string } {
  if (error instanceof ExportError) {
    return { code: error.kind, message: error.message, hint: error.hint };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'unexpected', message, hint: 'this is a defect: please report it with the log' };
}

/** One log line for a run. */
export function logEnd(
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

/** Prints how the instances ended: one document, or text for people. */
export function printEnds(context: CommandContext, ends: readonly InstanceEnd[]): void {
  const { output } = context;
  if (output.json) {
    const documents = ends.map((end) =>
      'error' in end ? { error: describeError(end.error) } : end.outcome.report,
    );
    printJson(output, documents.length === 1 ? documents[0] : documents);
    return;
  }
  for (const end of ends) output.write(renderEnd(end));
}

function renderEnd(end: InstanceEnd): string {
  if ('error' in end) {
    const { message, hint } = describeError(end.error);
    return `Instance ${end.instanceId}: not exported. ${message}\n  ${hint}\n`;
  }
  const { report, refusal, tally, excluded } = end.outcome;
  const lines = [renderSummary(end.instanceId, report)];
  if (tally.restated > 0)
    lines.push(`  ${count(tally.restated, 'cell')} restated (see the view restatements)`);
  if (excluded > 0) lines.push(`  ${count(excluded, 'organization')} not in the configuration`);
  if (tally.waiting > 0)
    lines.push(
      `  ${count(tally.waiting, 'cell')} still missing or unverified, not due for another try: losant-usage gaps`,
    );
  for (const failure of report.failures.slice(0, FAILURES_SHOWN)) {
    const { orgId, stream, from, to, code, message } = failure;
    const where = [orgId, stream, from === to ? from : `${from}..${to}`].filter((part) => part !== null);
    lines.push(`  ${code}: ${where.join(' ')}: ${message}`);
  }
  const more = report.failures.length - FAILURES_SHOWN;
  if (more > 0) lines.push(`  and ${more} more (--json lists them)`);
  if (refusal) lines.push(`  Losant refused: ${refusal.message}`, `  ${refusal.hint}`);
  return `${lines.join('\n')}\n`;
}

function renderSummary(
  instanceId: string,
  { status, from, to, orgs, cells, rows, requests, durationMs }: RunReport,
): string {
  if (from === null) {
    const state = status === 'complete' ? 'nothing is due' : 'nothing could be read';
    return `Instance ${instanceId}: ${state} (${count(orgs, 'organization')})`;
  }
  const days = from === to ? from : `${from}..${to}`;
  return [
    `Instance ${instanceId}: ${status}, ${days}, ${count(orgs, 'organization')}, ${count(requests, 'request')}, ${(durationMs / 1_000).toFixed(1)} s`,
    `  cells: ${cells.planned} planned = ${cells.loaded} loaded + ${cells.unchanged} unchanged + ${cells.absent} absent + ${cells.failed} failed + ${cells.quarantined} quarantined + ${cells.unavailable} unavailable`,
    `  rows:  ${rows.inserted} inserted, ${rows.updated} updated, ${rows.deleted} deleted, ${rows.unchanged} unchanged`,
  ].join('\n');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
