import { dayEndMs, type UsageDay } from '../usage/day.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import {
  type CellStory,
  type OrgName,
  type Revision,
  readCellStory,
  readOrgName,
} from '../database/read/explain.ts';
import { streams } from '../usage/streams/catalog.ts';
import { adviseCell } from './advice.ts';
import { type CommandContext, printJson } from './command.ts';
import { withDatabase } from './read.ts';

export interface ExplainOptions {
  readonly orgId: string;
  readonly day: UsageDay;
  /** Null: all streams. */
  readonly streams: readonly string[] | null;
}

interface Explained extends CellStory {
  readonly nextStep: string;
}

/** `explain`: where the numbers of one organization and day come from, and what became of them. */
export async function explainCommand(
  context: CommandContext,
  { orgId, day, streams: wanted }: ExplainOptions,
): Promise<number> {
  const { output, hostNow } = context;
  const { org, stories } = await withDatabase(context, async ({ db }) => {
    const known = requireOrg(await readOrgName(db, orgId), orgId);
    const cells: CellStory[] = [];
    for (const stream of streams) {
      if (wanted && !wanted.includes(stream.name)) continue;
      cells.push(await readCellStory(db, stream, { orgId, day }));
    }
    return { org: known, stories: cells };
  });
  const isOver = dayEndMs(day) <= hostNow();
  const isRemoved = org.removedAt !== null;
  const explained = stories.map((story) => ({
    ...story,
    nextStep: adviseCell(story, { orgId, day, isOver, isRemoved }),
  }));
  if (output.json) printJson(output, { ...org, day, cells: explained });
  else output.write(render(org, day, explained));
  return EXIT.ok;
}

function requireOrg(org: OrgName | null, orgId: string): OrgName {
  if (org) return org;
  throw new SettingsError(`--org ${orgId}: this database has never seen that organization`, {
    hint: 'check the id; losant_usage.organizations lists those it knows',
  });
}

function render(org: OrgName, day: UsageDay, cells: readonly Explained[]): string {
  const removed = org.removedAt === null ? '' : `, found deleted ${org.removedAt}`;
  const lines = [`${org.orgName} (${org.orgId}, instance ${org.instanceId}${removed}), ${day}`];
  for (const cell of cells) lines.push(`${cell.stream}: ${renderState(cell)}`, ...renderDetails(cell));
  return `${lines.join('\n')}\n`;
}

function renderState({ ledger, isTracked, isGap }: Explained): string {
  const parts: string[] = [ledger?.state ?? 'never asked for'];
  if (ledger && (ledger.state === 'loaded' || ledger.state === 'final')) {
    parts.push(`revision ${ledger.revision}`);
    if (!ledger.reported) parts.push('zeros for a day Losant left out');
  }
  if (!isTracked) parts.push('not promised');
  if (isGap) parts.push('a gap');
  return parts.join(', ');
}

function renderDetails({ ledger, values, revisions, quarantine, nextStep }: Explained): string[] {
  const lines = values.map(
    (row) =>
      `  ${[...Object.values(row.key), showNumbers(row.values)].join('  ')} (revision ${row.revision})`,
  );
  if (ledger) lines.push(...renderLedger(ledger));
  for (const change of revisions) {
    const who = change.runId === null ? `by hand, ${change.changedBy}` : `run ${change.runId}`;
    lines.push(`  revision ${change.revision}, ${change.changedAt}, ${who}: ${showChange(change)}`);
  }
  for (const { from, to, code, problem, times, lastSeenAt, resolvedAt } of quarantine) {
    const end = resolvedAt === null ? 'stands' : `resolved ${resolvedAt}`;
    lines.push(
      `  quarantine ${from}..${to}: ${code}: ${problem} (${times} times, last ${lastSeenAt}, ${end})`,
    );
  }
  return [...lines, `  next: ${nextStep}`];
}

function renderLedger(ledger: NonNullable<CellStory['ledger']>): string[] {
  const { runId, runKind, runHost, runVersion } = ledger;
  const run = runKind === null ? runId : `${runId} (${runKind}, ${runHost}, version ${runVersion})`;
  const facts: readonly (readonly [string, string | null])[] = [
    ['first loaded', ledger.firstLoadedAt],
    ['read', ledger.verifiedAt],
    ['final since', ledger.finalizedAt],
    ['response sha256', ledger.responseSha256],
    ['run', run],
    ['last attempt', ledger.attempts > 0 ? ledger.attemptedAt : null],
    ['failed attempts', ledger.attempts > 0 ? String(ledger.attempts) : null],
    ['not tried before', ledger.nextAttemptAt],
    ['reason', ledger.errorCode === null ? null : `${ledger.errorCode}: ${ledger.errorMessage ?? ''}`],
  ];
  return facts.filter(([, value]) => value !== null).map(([name, value]) => `  ${name}: ${value}`);
}

/** Only what differs: `minutes 5 -> 6`. */
function showChange({ key, old, new: now }: Revision): string {
  const columns = Object.keys(now ?? old ?? {}).filter((column) => old?.[column] !== now?.[column]);
  const changes = columns.map(
    (column) => `${column} ${old?.[column] ?? 'nothing'} -> ${now?.[column] ?? 'nothing'}`,
  );
  return [...Object.values(key), changes.join(', ')].join('  ');
}

function showNumbers(numbers: Readonly<Record<string, number>>): string {
  return Object.entries(numbers)
    .map(([column, value]) => `${column} ${value}`)
    .join(', ');
}
