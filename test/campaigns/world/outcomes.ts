/** Compares what a command reports with the tables after it. */
import { isGap } from './checker.ts';
import type { Ledger, LedgerCell } from './ledger.ts';
import { cellName, DAY_MS, dayAt } from './truth.ts';

/** The cells that a run is about. Null means all. */
export interface Scope {
  readonly instanceId: string;
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  readonly range: { readonly from: string; readonly to: string } | null;
  /** Whether cells are created for all days of the range. */
  readonly isBackfill?: boolean;
}

/** The end of a command that a step has run. */
export interface Outcome {
  readonly command: string;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly startedAtMs: number;
  /** The scope of a run; null for other commands. */
  readonly scope: Scope | null;
}

interface CheckInput {
  readonly ledger: Ledger;
  readonly previous: Ledger;
  /** The tracks that a complete run over everything must continue, by instance and `stream organization`. */
  readonly expectedTracks: readonly { readonly instanceId: string; readonly name: string }[];
  readonly horizonDays: number;
  /** The instance in the settings. */
  readonly instanceId: string;
}

interface Report {
  readonly status: string;
  readonly cells: Readonly<Record<string, number>>;
  readonly rows: Readonly<Record<string, number>>;
}

/** Returns what commands reported wrongly. They may have run concurrently, and are in the order of their ends. */
export function checkOutcomes(outcomes: readonly Outcome[], situation: CheckInput): string[] {
  // Of several runs only the last one that did anything describes the tables, unless one was suspended or interrupted.
  const effectiveRuns = outcomes.filter(({ scope, code }) => scope !== null && code !== 4 && code !== 1);
  const firstAtMs = effectiveRuns[0]?.startedAtMs;
  const isInOrder = effectiveRuns.every(({ startedAtMs, code }) => startedAtMs === firstAtMs && code !== 143);
  const lastRun = isInOrder ? effectiveRuns.at(-1) : undefined;
  const isAlone = outcomes.filter(({ scope }) => scope !== null).length === 1;
  return outcomes.flatMap((outcome) => {
    const { command, code, stdout, stderr, scope } = outcome;
    const lines: string[] = [];
    if (/^ {4}at /m.test(stderr) || stdout.includes('"unexpected"'))
      lines.push(`fails unexpectedly: ${stderr}${stdout}`);
    if (scope === null) lines.push(...checkReadCommand(outcome, situation));
    else if (outcome === lastRun) {
      if (code === 0) lines.push(...checkComplete(outcome, scope, situation));
      if (code === 0 || code === 3) lines.push(...checkRows(outcome.startedAtMs, scope, situation));
      if (isAlone && stdout.includes('"cells"')) lines.push(...checkReport(outcome, situation));
      if (isAlone && code === 0) lines.push(...checkSums(scope, situation));
    }
    return lines.map((line) => `${command}: ${line}`);
  });
}

/** Read-only commands exit with a code that follows from the tables. */
function checkReadCommand({ command, code, stdout }: Outcome, { ledger, instanceId }: CheckInput): string[] {
  const cells = [...ledger.cells.values()].filter((cell) => cell.instanceId === instanceId);
  const hasGaps = cells.some((cell) => isGap(cell, ledger.nowMs));
  const isIncomplete = (ledger.instances.get(instanceId)?.problem ?? null) !== null;
  const codes: Record<string, number> = { gaps: hasGaps ? 3 : 0, status: hasGaps || isIncomplete ? 3 : 0, migrate: 0 };
  return (codes[command] ?? code) === code ? [] : [`exit ${code}: ${stdout.slice(0, 300)}`];
}

function matchesScope({ instanceId, orgIds, streams, range }: Scope) {
  return (cell: LedgerCell) =>
    cell.instanceId === instanceId &&
    (orgIds?.includes(cell.orgId) ?? true) &&
    (streams?.includes(cell.stream) ?? true) &&
    (range === null || (range.from <= cell.day && cell.day <= range.to));
}

/** Nothing that was due remains, and nothing that was read is missing, in doubt or failed. */
function checkComplete({ startedAtMs }: Outcome, scope: Scope, { ledger, expectedTracks }: CheckInput): string[] {
  const lines = [...ledger.cells.values()]
    .filter((cell) => matchesScope(scope)(cell) && isUnread(cell, startedAtMs, scope))
    .map((cell) => `reports that nothing is missing, but ${cellName(cell)} is ${cell.standing} (${cell.reason})`);
  const problem = ledger.instances.get(scope.instanceId)?.problem ?? null;
  if (problem !== null && scope.orgIds === null) lines.push(`is complete, although ${problem}`);
  if (scope.orgIds !== null || scope.streams !== null || scope.range !== null) return lines;
  const isTracked = (name: string) =>
    ledger.tracks.some(({ isActive, stream, orgId }) => isActive && `${stream} ${orgId}` === name);
  const untracked = expectedTracks.filter((each) => each.instanceId === scope.instanceId && !isTracked(each.name));
  return [...lines, ...untracked.map(({ name }) => `is complete, but ${name} is not tracked`)];
}

function isUnread(cell: LedgerCell, startedAtMs: number, { range }: Scope): boolean {
  const { lastAttemptAtMs, nextReadAtMs, failedReads, standing } = cell;
  const isFailing = failedReads > 0 && !['waived', 'unavailable'].includes(standing);
  const isIncomplete = isFailing || isGap(cell, startedAtMs);
  // The status of a run of named days comes from the ledger, that of others from what was due.
  if (range !== null) return isIncomplete;
  const isDue = nextReadAtMs !== null && nextReadAtMs <= startedAtMs && lastAttemptAtMs !== startedAtMs;
  return isDue || ((lastAttemptAtMs ?? 0) >= startedAtMs && isIncomplete);
}

/** After a run every expected cell has a row, and after a backfill every cell that it had to create. */
function checkRows(startedAtMs: number, scope: Scope, { ledger, horizonDays }: CheckInput): string[] {
  // A run that has nothing more to read creates no cells of a day that has ended in the meantime.
  const cells = [...ledger.cells.values()].filter(
    ({ instanceId, day }) => instanceId === scope.instanceId && Date.parse(day) + DAY_MS <= startedAtMs,
  );
  const lines = cells.filter(({ hasRow }) => !hasRow).map((cell) => `ended, and ${cellName(cell)} has no row`);
  const { range, orgIds, streams, isBackfill } = scope;
  if (!isBackfill || range === null) return lines;
  for (const { instanceId, orgId, stream, isDeleted, createdOn } of ledger.tracks) {
    const isInScope = (orgIds?.includes(orgId) ?? true) && (streams?.includes(stream) ?? true) && !isDeleted;
    if (!isInScope || instanceId !== scope.instanceId) continue;
    const horizon = dayAt(ledger.nowMs - horizonDays * DAY_MS);
    const from = [range.from, horizon, createdOn ?? ''].sort().at(-1) as string;
    for (let day = from; day <= range.to; day = dayAt(Date.parse(day) + DAY_MS)) {
      if (!ledger.cells.has(`${stream} ${orgId} ${day}`))
        lines.push(`ended, and ${stream} ${orgId} ${day} is not expected`);
    }
  }
  return lines;
}

/** A run leaves no day without sums. */
function checkSums({ instanceId }: Scope, { ledger }: CheckInput): string[] {
  const days = ledger.instances.get(instanceId)?.daysNotSummed ?? [];
  return days.map((day) => `is complete, but ${day} is not summed`);
}

/** The counts of a run add up, and agree with the tables. */
function checkReport({ code, stdout }: Outcome, { ledger, previous }: CheckInput): string[] {
  const { status, cells, rows } = JSON.parse(stdout) as Report;
  const { planned = 0, ...parts } = cells;
  const lines: string[] = [];
  const sum = Object.values(parts).reduce((total, count) => total + count, 0);
  if (sum !== planned) lines.push(`${planned} planned, but the counts add up to ${sum}`);
  if ((status === 'complete') !== (code === 0) && code !== 5)
    lines.push(`exits with ${code} although its status is ${status}`);
  const newCells = countStored(ledger) - countStored(previous);
  if (newCells !== rows['inserted'])
    lines.push(`${newCells} more cells are stored, but it reports ${rows['inserted']}`);
  return lines;
}

const countStored = ({ cells }: Ledger) => [...cells.values()].filter(({ isStored }) => isStored).length;
