/** The result of a run, and its plan, as lines for people. */
import type { FailureGroup } from '../ledger/runs.ts';
import type { PlanSummary } from '../loading/preview.ts';
import { findNextCommand, type RunOutcome, type RunReport } from '../loading/report.ts';
import { formatTable } from '../terminal/text.ts';
import { count, joinParts, showDays, showDuration, showNumber } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';

/** Describes a run for people, with the days of the command in its head; without any, those that were read. */
export function renderRun(outcome: RunOutcome, requestedDays: DayRange | null = null): string[] {
  const { report, rejection, tally } = outcome;
  const { restatedFinal } = tally;
  const restated = tally.rows.updated;
  const lines = [renderHead(report, requestedDays)];
  if (report.from !== null && report.to !== null) {
    const readDays = showDays({ from: report.from, to: report.to });
    const isOther = requestedDays !== null && readDays !== showDays(requestedDays);
    const daysNote = isOther ? ` of ${readDays}` : '';
    const results = Object.entries(report.cells).filter(([name, cells]) => name !== 'planned' && cells > 0);
    const parts = results.map(([name, cells]) => `${showNumber(cells)} ${name}`);
    lines.push(`  ${count(report.cells.planned, 'cell')}${daysNote} read: ${parts.join(', ')}`);
  }
  if (restated > 0) {
    lines.push(
      `  ${count(restated, 'cell')} restated by Losant, ${showNumber(restatedFinal)} of them already final: ` +
        'see the view restatements',
    );
  }
  const { between } = report;
  if (between !== null && between.from !== null && between.to !== null) {
    const effort = `${count(between.cells, 'cell')}, ${count(between.requests, 'request')}`;
    const days = showDays({ from: between.from, to: between.to });
    lines.push(`  later runs read the days between, ${days}, due within an hour: ${effort}`);
  }
  lines.push(...renderFailures(tally.groupFailures()));
  if (rejection) lines.push(`  Losant rejected the request: ${rejection.message}`, `  ${rejection.hint}`);
  const nextCommand = report.status === 'complete' ? null : findNextCommand(outcome);
  if (nextCommand !== null) lines.push(`  To see what is wrong and why: ${nextCommand}`);
  return lines;
}

function renderHead(report: RunReport, requestedDays: DayRange | null): string {
  const { from, to, orgs, requests, durationMs } = report;
  const isComplete = report.status === 'complete';
  if (from === null || to === null) return isComplete ? 'Nothing is due.' : 'Nothing was read.';
  const status = isComplete ? 'Complete' : 'Partial';
  const facts = `${count(orgs, 'organization')}, ${count(requests, 'request')}, ${showDuration(durationMs)}`;
  return `${status}: ${showDays(requestedDays ?? { from, to })}, ${facts}`;
}

/** The causes shown to people; the document of `--json` has all. */
const MAX_CAUSES = 10;

function renderFailures(groups: readonly FailureGroup[]): string[] {
  const rows = groups.map(({ code, message, stream: name, cells, orgs, example }) => {
    const [cellCount, orgCount] = [cells > 0 && count(cells, 'cell'), orgs > 0 && count(orgs, 'organization')];
    return [code, name ?? '', joinParts(', ', cellCount, orgCount, example && `e.g. ${example}`), message];
  });
  return formatTable({ rows, most: MAX_CAUSES });
}

export function renderPlan(plan: PlanSummary, rate: number): string[] {
  const { orgs, between, pastHorizon, untracked } = plan;
  const lines = [`Plan for ${count(orgs, 'organization')}:`, `  ${renderPlanPart(plan, rate)}`];
  if (between.cells > 0) lines.push(`  then, in the next runs: ${renderPlanPart(between, rate)}`);
  if (pastHorizon > 0) {
    const days = count(pastHorizon, 'day');
    lines.push(`  skipping ${days} past the horizon, which Losant no longer retains (HORIZON_DAYS)`);
  }
  const [example] = untracked;
  if (example !== undefined) {
    const pairs = count(untracked.length, 'organization and stream', 'pairs of organization and stream');
    const name = joinParts(' ', example.orgId, example.stream);
    lines.push(`  skipping ${pairs} that were never tracked, e.g. ${name}`);
  }
  return lines;
}

function renderPlanPart({ from, to, cells, requests }: PlanSummary['between'], rate: number): string {
  if (from === null || to === null) return 'nothing to read';
  const time = showDuration((requests / rate) * 1_000);
  const effort = `${count(requests, 'request')}, about ${time} at ${rate} per second`;
  return `${showDays({ from, to })}: ${count(cells, 'cell')}, ${effort}`;
}
