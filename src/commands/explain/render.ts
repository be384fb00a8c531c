import type { CellStory, LedgerRow, OrgName, Revision, StoredValue } from '../../database/read/explain.ts';
import { renderTable } from '../../terminal/table.ts';
import { type Line, line, styled } from '../../terminal/text.ts';
import { showInstant, showWhen } from '../../terminal/time.ts';
import { count, showDays, showNumber } from '../../terminal/words.ts';
import type { UsageDay } from '../../usage/day.ts';
import { streamNamed } from '../../usage/streams/catalog.ts';
import type { Stream } from '../../usage/streams/stream.ts';

export interface Explained extends CellStory {
  readonly nextStep: string;
}

/** The story of a day's cells, for people. */
export function renderStory(
  org: OrgName,
  day: UsageDay,
  { cells, nowMs }: { cells: readonly Explained[]; nowMs: number },
): Line[] {
  const removed = org.removedAt === null ? '' : `, found deleted ${showInstant(org.removedAt)}`;
  return [
    line`${styled('bold', org.orgName)} (${org.orgId}, instance ${org.instanceId}${removed}), ${day}`,
    ...cells.flatMap((cell) => [
      '',
      line`${styled('bold', cell.stream)}: ${renderState(cell)}`,
      ...renderDetails(cell, nowMs),
    ]),
  ];
}

function renderState({ ledger, isTracked, isGap }: Explained): Line {
  const parts: string[] = [ledger?.state ?? 'never read'];
  if (ledger && (ledger.state === 'loaded' || ledger.state === 'final')) {
    parts.push(`revision ${ledger.revision}`);
    if (!ledger.reported) parts.push('zeros for a day Losant left out');
  }
  if (!isTracked) parts.push('not tracked');
  return isGap ? line`${parts.join(', ')}, ${styled('red', 'a gap')}` : parts.join(', ');
}

function renderDetails(cell: Explained, nowMs: number): Line[] {
  const { ledger, values, revisions, quarantine, nextStep } = cell;
  const lines = renderValues(values, streamNamed(cell.stream));
  if (ledger) lines.push(...renderLedger(ledger, nowMs));
  for (const change of revisions) lines.push(renderRevision(change));
  for (const { code, problem, times, lastSeenAt, resolvedAt, ...range } of quarantine) {
    const end = resolvedAt === null ? 'not resolved' : `resolved ${showInstant(resolvedAt)}`;
    const seen = `${count(times, 'time')}, last ${showInstant(lastSeenAt)}, ${end}`;
    lines.push(`  quarantine ${showDays(range)}: ${code}: ${problem} (${seen})`);
  }
  return [...lines, line`  next: ${nextStep}`];
}

/** A row each, with the stream's columns in their own order. */
function renderValues(values: readonly StoredValue[], { keyColumns, columns }: Stream): Line[] {
  if (values.length === 0) return [];
  const head = [...keyColumns, ...columns, 'revision'];
  const rows = values.map((row) => [
    ...keyColumns.map((column) => row.key[column] ?? ''),
    ...columns.map((column) => showHeld(row.values[column])),
    `${row.revision}`,
  ]);
  const right = head.map((_, column) => column).slice(keyColumns.length);
  return renderTable({ head, rows, right });
}

function renderLedger(ledger: LedgerRow, nowMs: number): Line[] {
  const { runId, runKind, runHost, runVersion, attempts } = ledger;
  const instant = (text: string | null) => (text === null ? null : showInstant(text));
  const facts: readonly (readonly [string, string | null])[] = [
    ['first loaded', instant(ledger.firstLoadedAt)],
    ['read', instant(ledger.verifiedAt)],
    ['final since', instant(ledger.finalizedAt)],
    ['response sha256', ledger.responseSha256],
    [
      'run',
      runKind === null
        ? runId
        : `${runId} (${[runKind, runHost, `version ${runVersion}`].filter((part) => part !== null).join(', ')})`,
    ],
    ['last attempt', attempts > 0 ? instant(ledger.attemptedAt) : null],
    ['failed attempts', attempts > 0 ? `${attempts}` : null],
    [attempts > 0 ? 'next try' : 'next read', showNextRead(ledger, nowMs)],
    ['reason', ledger.errorCode === null ? null : `${ledger.errorCode}: ${ledger.errorMessage ?? ''}`],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [`  ${name}: ${value}`]));
}

function showNextRead({ nextReadAt }: LedgerRow, nowMs: number): string | null {
  if (nextReadAt === null) return null;
  return Date.parse(nextReadAt) > nowMs ? showWhen(nextReadAt, nowMs) : 'with the next run';
}

function renderRevision(change: Revision): Line {
  const { revision, changedAt, changedBy, runId } = change;
  const who = runId === null ? `by hand, ${changedBy}` : `run ${runId}`;
  return `  revision ${revision}, ${showInstant(changedAt)}, ${who}: ${showChange(change)}`;
}

/** Only what differs: `minutes 5 -> 6`. */
function showChange({ key, old, new: now }: Revision): string {
  const columns = Object.keys(now ?? old ?? {}).filter((column) => old?.[column] !== now?.[column]);
  const changes = columns.map(
    (column) => `${column} ${showHeld(old?.[column])} -> ${showHeld(now?.[column])}`,
  );
  return [...Object.values(key), changes.join(', ')].join('  ');
}

function showHeld(value: number | undefined): string {
  return value === undefined ? 'nothing' : showNumber(value);
}
