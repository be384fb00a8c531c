import { describeError } from '../errors.ts';
import type { PlanSummary } from '../export/preview.ts';
import type { Failure, RunReport } from '../export/report.ts';
import type { RunOutcome } from '../export/run.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showDuration, showNumber } from '../terminal/words.ts';
import { daysFrom } from '../usage/day.ts';

/** The end of the export of one instance. */
export type InstanceEnd =
  | { readonly instanceId: string; readonly outcome: ShownOutcome }
  | { readonly instanceId: string; readonly error: unknown };

export type ShownOutcome = Pick<RunOutcome, 'report' | 'refusal'> & {
  readonly tally: Pick<RunOutcome['tally'], 'restated' | 'restatedFinal'>;
};

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
  lines.push(...renderFailures(report.failures));
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

/** The number of causes shown to people, and of examples for each; the document of `--json` has all. */
const CAUSES_SHOWN = 10;
const EXAMPLES_SHOWN = 3;

/** Groups failures by cause, so that one refused scope does not hide another failure. */
function renderFailures(failures: readonly Failure[]): Line[] {
  const byCause = Map.groupBy(failures, ({ code, message }) => `${code}: ${withoutPlaces(message)}`);
  const sorted = [...byCause.values()].toSorted((a, b) => countNumbers(b) - countNumbers(a));
  const lines = sorted.slice(0, CAUSES_SHOWN).flatMap(renderCause);
  const hidden = sorted.length - CAUSES_SHOWN;
  if (hidden > 0) lines.push(`  and ${count(hidden, 'cause')} more (--json lists all failures)`);
  return lines;
}

function renderCause(failures: readonly Failure[]): Line[] {
  const [first] = failures;
  if (!first) return [];
  const days = ({ from, to }: Failure) => (from === null || to === null ? [] : [showDays({ from, to })]);
  if (first.orgId === null) {
    return [line`  ${styled('red', first.code)}: ${[first.message, ...days(first)].join(', ')}`];
  }
  const orgs = new Set(failures.map(({ orgId }) => orgId)).size;
  const text = failures.length === 1 ? first.message : withoutPlaces(first.message);
  const rows = failures.map((each) => [each.orgId ?? '', each.stream ?? 'all streams', ...days(each)]);
  const howMany = `${count(countNumbers(failures), 'failure')} in ${count(orgs, 'organization')}`;
  return [
    line`  ${styled('red', howMany)}: ${first.code}: ${text}`,
    ...renderTable({ rows, indent: 4, most: EXAMPLES_SHOWN }),
  ];
}

function countNumbers(failures: readonly Failure[]): number {
  const numbers = failures.map(({ from, to }) => (from === null || to === null ? 1 : daysFrom(from, to) + 1));
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** Returns a message without ids and days, which Losant's errors put in parentheses. */
export function withoutPlaces(message: string): string {
  return message
    .replaceAll(/ \((?:instance|org|days) [^()]*\)/g, '')
    .replaceAll(/\b[0-9a-f]{24}\b/g, 'ID')
    .replaceAll(/\b\d{4}-\d{2}-\d{2}(?:\.\.\d{4}-\d{2}-\d{2})?\b/g, 'DAY');
}

/** Renders what a run would read, at so many requests per second. */
export function renderPlan(
  { instanceId, from, to, orgs, cells, requests, pastHorizon }: PlanSummary,
  rate: number,
): Line[] {
  const lines: Line[] = [
    line`Instance ${styled('bold', instanceId)}: plan for ${count(orgs, 'organization')}`,
  ];
  if (from === null || to === null) lines.push('  nothing to read');
  else {
    const time = showDuration((requests / rate) * 1_000);
    lines.push(
      `  ${showDays({ from, to })}: ${count(cells, 'number')} to read`,
      `  ${count(requests, 'request')}, about ${time} at ${rate} per second`,
    );
  }
  if (pastHorizon > 0) {
    lines.push(
      `  ${count(pastHorizon, 'day')} past the horizon left out: Losant no longer keeps them (HORIZON_DAYS)`,
    );
  }
  return lines;
}
