import { describeError } from '../errors.ts';
import type { PlanSummary } from '../export/preview.ts';
import type { RunReport } from '../export/report.ts';
import type { RunOutcome } from '../export/run.ts';
import type { FailureGroup } from '../ledger/runs.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showDuration, showNumber } from '../terminal/words.ts';

/** The end of the export of one instance. */
export type InstanceEnd =
  | { readonly instanceId: string; readonly outcome: RunOutcome }
  | { readonly instanceId: string; readonly error: unknown };

/** Returns the document of `--json`. */
export function toDocument(end: InstanceEnd): unknown {
  return 'error' in end ? { error: describeError(end.error) } : end.outcome.report;
}

export function renderEnd(end: InstanceEnd): Line[] {
  const { instanceId } = end;
  if ('error' in end) {
    const { message, hint } = describeError(end.error);
    const state = styled('red', 'not exported');
    return [line`Instance ${styled('bold', instanceId)}: ${state}. ${message}`, `  ${hint}`];
  }
  const { report, refusal, tally } = end.outcome;
  const lines = [renderHead(instanceId, report)];
  if (report.from !== null) lines.push(renderCounts(report, tally.restated));
  if (tally.restatedFinal > 0) {
    const what = `${count(tally.restatedFinal, 'final number')} restated by Losant`;
    lines.push(line`  ${styled('yellow', what)}: see the view losant_usage.restatements`);
  }
  lines.push(...renderFailures(tally.groupFailures()));
  if (refusal) lines.push(`  Losant refused: ${refusal.message}`, `  ${refusal.hint}`);
  if (report.status !== 'complete') lines.push('  What is missing, and why: losant-usage gaps');
  return lines;
}

function renderHead(instanceId: string, report: RunReport): Line {
  const { from, to, orgs, requests, durationMs, status } = report;
  const head = line`Instance ${styled('bold', instanceId)}: `;
  const didAll = status === 'complete';
  if (from === null || to === null) {
    return [...head, didAll ? styled('green', 'nothing is due') : styled('red', 'nothing was read')];
  }
  const state = didAll ? styled('green', 'complete') : styled('yellow', 'incomplete');
  const facts = `${count(orgs, 'organization')}, ${count(requests, 'request')}, ${showDuration(durationMs)}`;
  return [...head, state, `, ${showDays({ from, to })}, ${facts}`];
}

function renderCounts({ cells }: RunReport, restated: number): Line {
  const parts: readonly (readonly [number, string])[] = [
    [cells.loaded - restated, 'new'],
    [restated, 'changed'],
    [cells.unchanged, 'unchanged'],
    [cells.left_out, 'left out'],
    [cells.failed, 'failed'],
    [cells.quarantined, 'in quarantine'],
    [cells.unavailable, 'unavailable'],
  ];
  const shown = parts
    .filter(([number]) => number > 0)
    .map(([number, what]) => `${showNumber(number)} ${what}`);
  return `  ${count(cells.planned, 'number')} asked for: ${shown.join(', ')}`;
}

/** The number of causes shown to people; the document of `--json` has all. */
const CAUSES_SHOWN = 10;

function renderFailures(groups: readonly FailureGroup[]): Line[] {
  const rows = groups.map(({ code, message, stream, cells, orgs, example }) => {
    const where = [
      cells > 0 ? count(cells, 'number') : '',
      orgs > 0 ? count(orgs, 'organization') : '',
      example === null ? '' : `e.g. ${example}`,
    ].filter((part) => part !== '');
    return [styled('red', code), stream ?? '', where.join(', '), message];
  });
  return renderTable({ rows, most: CAUSES_SHOWN });
}

/** Renders what a run would read, at so many requests per second. */
export function renderPlan(
  { instanceId, from, to, orgs, cells, requests, pastHorizon }: PlanSummary,
  rate: number,
): Line[] {
  const head = line`Instance ${styled('bold', instanceId)}: plan for ${count(orgs, 'organization')}`;
  const left = `${count(pastHorizon, 'day')} past the horizon left out: Losant no longer keeps them (HORIZON_DAYS)`;
  const leftOut = pastHorizon > 0 ? [`  ${left}`] : [];
  if (from === null || to === null) return [head, '  nothing to read', ...leftOut];
  const time = showDuration((requests / rate) * 1_000);
  return [
    head,
    `  ${showDays({ from, to })}: ${count(cells, 'number')} to read`,
    `  ${count(requests, 'request')}, about ${time} at ${rate} per second`,
    ...leftOut,
  ];
}
