import { describeError } from '../errors.ts';
import type { Failure, RunReport } from '../export/report.ts';
import type { RunOutcome } from '../export/run.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showDuration, showNumber, showWhen } from '../terminal/words.ts';
import { type DayRange, daysFrom } from '../usage/day.ts';
import type { CommandContext } from './command.ts';

export interface ShownOutcome extends Pick<RunOutcome, 'report' | 'refusal' | 'excluded'> {
  readonly tally: Pick<RunOutcome['tally'], 'restated' | 'restatedFinal' | 'unreadable'>;
}

/** The end of the export of one instance, with the earliest time at which a missing number is tried again, if known. */
export type InstanceEnd =
  | { readonly instanceId: string; readonly outcome: ShownOutcome; readonly nextTryAt: string | null }
  | { readonly instanceId: string; readonly error: unknown };

/** `addUnreadable` adds the numbers that were asked for and cannot be read to the failures. */
export function addUnreadable(
  outcome: RunOutcome,
  instanceId: string,
  { from, to }: DayRange,
  horizonDays: number,
): RunOutcome {
  const { report, tally } = outcome;
  if (tally.unreadable === 0) return outcome;
  const message = `${count(tally.unreadable, 'number')} cannot be read: older than the ${horizonDays} days for which Losant keeps the detail (backfill --past-horizon asks anyway), or of a deleted organization`;
  const failure: Failure = { instanceId, orgId: null, stream: null, from, to, code: 'unreadable', message };
  return { ...outcome, report: { ...report, failures: [...report.failures, failure] } };
}

export function printEnds(
  { output, hostNow }: Pick<CommandContext, 'output' | 'hostNow'>,
  ends: readonly InstanceEnd[],
  verbose: boolean,
): void {
  output.print(...ends.flatMap((end) => renderEnd(end, { verbose, nowMs: hostNow() })));
  const documents = ends.map((end) =>
    'error' in end ? { error: describeError(end.error) } : end.outcome.report,
  );
  output.printJson(documents.length === 1 ? documents[0] : documents);
}

export function renderEnd(end: InstanceEnd, { verbose, nowMs }: { verbose: boolean; nowMs: number }): Line[] {
  if ('error' in end) {
    const { message, hint } = describeError(end.error);
    return [
      line`Instance ${styled('bold', end.instanceId)}: ${styled('red', 'not exported')}. ${message}`,
      `  ${hint}`,
    ];
  }
  const { instanceId, outcome, nextTryAt } = end;
  const { report, refusal, tally, excluded } = outcome;
  // A sentence says what this run did, another what the ledger lacks: older gaps make no run incomplete.
  const didAll = report.status === 'complete';
  const lines = [renderHead(instanceId, report, didAll), ...renderCounts(report, tally.restated, verbose)];
  if (tally.restatedFinal > 0) {
    const what = `${count(tally.restatedFinal, 'final number')} restated by Losant`;
    lines.push(line`  ${styled('yellow', what)}: see the view losant_usage.restatements`);
  }
  if (report.alsoTracked !== null) {
    lines.push(
      `  ${showDays(report.alsoTracked)}, up to what was tracked already, is tracked too: the next run reads it`,
    );
  }
  if (excluded > 0) lines.push(`  ${count(excluded, 'organization')} not in the configuration`);
  if (report.gapsLeft > 0) {
    const what = `${count(report.gapsLeft, 'gap')} ${report.gapsLeft === 1 ? 'is' : 'are'} left`;
    const next = nextTryAt === null ? 'not due for another try' : `next try ${showWhen(nextTryAt, nowMs)}`;
    lines.push(line`  In the ledger ${styled('yellow', what)} in its scope; ${next}: see losant-usage gaps`);
  } else if (didAll) {
    lines.push('  In the ledger no gap is left in its scope');
  }
  lines.push(...renderFailures(report.failures));
  if (refusal) lines.push(`  Losant refused: ${refusal.message}`, `  ${refusal.hint}`);
  return lines;
}

function renderHead(instanceId: string, report: RunReport, didAll: boolean): Line {
  const { from, to, orgs, requests, durationMs } = report;
  const head = line`Instance ${styled('bold', instanceId)}: `;
  if (from === null || to === null) {
    const state = didAll ? styled('green', 'nothing is due') : styled('red', 'nothing was read');
    return orgs === 0 ? [...head, state] : [...head, state, ` (${count(orgs, 'organization')})`];
  }
  const state = didAll ? styled('green', 'complete') : styled('yellow', 'incomplete');
  const facts = `${count(orgs, 'organization')}, ${count(requests, 'request')}, ${showDuration(durationMs)}`;
  return [...head, state, `, ${showDays({ from, to })}, ${facts}`];
}

function renderCounts({ from, cells, rows }: RunReport, restated: number, verbose: boolean): Line[] {
  if (from === null) return [];
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
    .filter(([number]) => verbose || number > 0)
    .map(([number, what]) => `${showNumber(number)} ${what}`);
  const lines = [`  ${count(cells.planned, 'number')} asked for: ${shown.join(', ')}`];
  if (!verbose) return lines;
  const changes = Object.entries(rows).map(([what, number]) => `${showNumber(number)} ${what}`);
  return [...lines, `  rows: ${changes.join(', ')}`];
}

/** The number of causes shown to people, and of examples for each; the document of `--json` has all. */
const CAUSES_SHOWN = 10;
const EXAMPLES_SHOWN = 3;

/** `renderFailures` groups failures by cause, so that one refused scope does not hide another failure. */
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

/** `withoutPlaces` returns a message without ids and days, which Losant's errors put in parentheses. */
export function withoutPlaces(message: string): string {
  return message
    .replaceAll(/ \((?:instance|org|days) [^()]*\)/g, '')
    .replaceAll(/\b[0-9a-f]{24}\b/g, 'ID')
    .replaceAll(/\b\d{4}-\d{2}-\d{2}(?:\.\.\d{4}-\d{2}-\d{2})?\b/g, 'DAY');
}
