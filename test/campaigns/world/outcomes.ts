/** Holds what a command says against the tables that it leaves. */
import { isGap } from './checker.ts';
import type { Ledger, LedgerCell } from './ledger.ts';
import { DAY_MS, dayAt, nameOf } from './truth.ts';

/** The cells that a run was about; null stands for all. */
export interface Scope {
  readonly instanceId: string;
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  readonly range: { readonly from: string; readonly to: string } | null;
  /** Whether rows are made for all days of the range. */
  readonly isBackfill?: boolean;
}

/** A command that a step played, and its end. */
export interface Outcome {
  readonly what: string;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly startedAtMs: number;
  /** What an export was about; null for other commands. */
  readonly scope: Scope | null;
}

interface Situation {
  readonly ledger: Ledger;
  readonly before: Ledger;
  /** The instance and the name, `stream organization`, of each track that a complete run over everything goes on with. */
  readonly wanted: readonly { readonly instanceId: string; readonly name: string }[];
  readonly horizonDays: number;
  /** The instance in the settings. */
  readonly instanceId: string;
}

interface Report {
  readonly status: string;
  readonly cells: Readonly<Record<string, number>>;
  readonly rows: Readonly<Record<string, number>>;
}

/** Returns what is untrue of what commands said that were played beside each other, in the order of their ends. */
export function checkOutcomes(outcomes: readonly Outcome[], situation: Situation): string[] {
  // Of several exports only the last one that worked can speak of the tables, unless one was frozen or interrupted.
  const worked = outcomes.filter(({ scope, code }) => scope !== null && code !== 4 && code !== 1);
  const isInOrder = worked.every(
    ({ startedAtMs, code }) => startedAtMs === worked[0]?.startedAtMs && code !== 143,
  );
  const last = isInOrder ? worked.at(-1) : undefined;
  const isAlone = outcomes.filter(({ scope }) => scope !== null).length === 1;
  return outcomes.flatMap((outcome) => {
    const { what, code, stdout, stderr, scope } = outcome;
    const lines: string[] = [];
    if (/^ {4}at /m.test(stderr) || stdout.includes('"unexpected"'))
      lines.push(`fails unexpectedly: ${stderr}${stdout}`);
    if (scope === null) lines.push(...checkLook(outcome, situation));
    else if (outcome === last) {
      if (code === 0) lines.push(...checkComplete(outcome, scope, situation));
      if (code === 0 || code === 3) lines.push(...checkRows(outcome.startedAtMs, scope, situation));
      if (isAlone && stdout.includes('"cells"')) lines.push(...checkReport(outcome, situation));
    }
    return lines.map((line) => `${what}: ${line}`);
  });
}

/** What looks at the tables ends by what they have. */
function checkLook({ what, code, stdout }: Outcome, { ledger, instanceId }: Situation): string[] {
  const cells = [...ledger.cells.values()].filter((cell) => cell.instanceId === instanceId);
  const hasGaps = cells.some((cell) => isGap(cell, ledger.nowMs));
  const isIncomplete = (ledger.instances.get(instanceId)?.problem ?? null) !== null;
  const expected: Readonly<Record<string, number>> = {
    gaps: hasGaps ? 3 : 0,
    status: hasGaps || isIncomplete ? 3 : 0,
    migrate: 0,
  };
  return (expected[what] ?? code) === code ? [] : [`exit ${code}: ${stdout.slice(0, 300)}`];
}

function inScope({ instanceId, orgIds, streams, range }: Scope) {
  return (cell: LedgerCell) =>
    cell.instanceId === instanceId &&
    (orgIds?.includes(cell.orgId) ?? true) &&
    (streams?.includes(cell.stream) ?? true) &&
    (range === null || (range.from <= cell.day && cell.day <= range.to));
}

/** Nothing that was due is left, and nothing that was read is required, in doubt or failed. */
function checkComplete({ startedAtMs }: Outcome, scope: Scope, { ledger, wanted }: Situation): string[] {
  const lines = [...ledger.cells.values()]
    .filter((cell) => inScope(scope)(cell) && isRecentlyDeleted(cell, startedAtMs, scope))
    .map((cell) => `says that nothing is required, and ${nameOf(cell)} is ${cell.standing} (${cell.reason})`);
  const problem = ledger.instances.get(scope.instanceId)?.problem ?? null;
  if (problem !== null && scope.orgIds === null) lines.push(`is complete, and yet ${problem}`);
  if (scope.orgIds !== null || scope.streams !== null || scope.range !== null) return lines;
  const goesOn = new Set(
    ledger.tracks.filter((each) => each.goesOn).map(({ stream, orgId }) => `${stream} ${orgId}`),
  );
  const untracked = wanted.filter((each) => each.instanceId === scope.instanceId && !goesOn.has(each.name));
  return [...lines, ...untracked.map(({ name }) => `is complete, and ${name} is not exported`)];
}

function isRecentlyDeleted(cell: LedgerCell, startedAtMs: number, { range }: Scope): boolean {
  const { lastAttemptAtMs, nextReadAtMs, attempts, standing } = cell;
  const isFailing = attempts > 0 && !['waived', 'unavailable'].includes(standing);
  const isOpen = isFailing || isGap(cell, startedAtMs);
  // Of days that were named by the ledger, of others by what became of those that were due.
  if (range !== null) return isOpen;
  const isDue = nextReadAtMs !== null && nextReadAtMs <= startedAtMs && lastAttemptAtMs !== startedAtMs;
  return isDue || ((lastAttemptAtMs ?? 0) >= startedAtMs && isOpen);
}

/** Everything that is wanted has a row after a run, and all that a backfill was to add after a backfill. */
function checkRows(startedAtMs: number, scope: Scope, { ledger, horizonDays }: Situation): string[] {
  // Of a day that has ended meanwhile, a run that has nothing more to read makes no rows.
  const cells = [...ledger.cells.values()].filter(
    ({ instanceId, day }) => instanceId === scope.instanceId && Date.parse(day) + DAY_MS <= startedAtMs,
  );
  const lines = cells.filter(({ hasRow }) => !hasRow).map((cell) => `ended, and ${nameOf(cell)} has no row`);
  const { range, orgIds, streams, isBackfill } = scope;
  if (!isBackfill || range === null) return lines;
  for (const { instanceId, orgId, stream, removed, createdOn } of ledger.tracks) {
    const isMeant = (orgIds?.includes(orgId) ?? true) && (streams?.includes(stream) ?? true) && !removed;
    if (!isMeant || instanceId !== scope.instanceId) continue;
    const horizon = dayAt(ledger.nowMs - horizonDays * DAY_MS);
    const from = [range.from, horizon, createdOn ?? ''].sort().at(-1) as string;
    for (let day = from; day <= range.to; day = dayAt(Date.parse(day) + DAY_MS)) {
      if (!ledger.cells.has(`${stream} ${orgId} ${day}`))
        lines.push(`ended, and ${stream} ${orgId} ${day} is not expected`);
    }
  }
  return lines;
}

/** Whether what a run says of itself adds up, and is what the tables show. */
function checkReport({ code, stdout }: Outcome, { ledger, before }: Situation): string[] {
  const { status, cells, rows } = JSON.parse(stdout) as Report;
  const { planned = 0, ...parts } = cells;
  const lines: string[] = [];
  const sum = Object.values(parts).reduce((total, count) => total + count, 0);
  if (sum !== planned) lines.push(`${planned} planned, but the counts add up to ${sum}`);
  if ((status === 'complete') !== (code === 0) && code !== 5)
    lines.push(`exit ${code} of a run that is ${status}`);
  const more = countStored(ledger) - countStored(before);
  if (more !== rows['inserted']) lines.push(`${more} cells more are stored, and it says ${rows['inserted']}`);
  return lines;
}

const countStored = ({ cells }: Ledger) => [...cells.values()].filter(({ isStored }) => isStored).length;
