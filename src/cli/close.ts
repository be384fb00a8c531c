import { type CloseOutcome, closePeriod, nameOf } from '../billing/close.ts';
import { type BlockedPeriod, describeBlocker } from '../billing/month.ts';
import type { BilledInstance, StatementLine, StatementTotal } from '../billing/statements.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { describeError, SettingsError } from '../errors.ts';
import { EXIT, worstExitCode } from '../exit.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import type { Month } from '../usage/period.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseBilledInstances } from './instances.ts';
import { requireWritable, withDatabase } from './open-database.ts';
import { idsOption, monthOption, required, switchOption, textOption } from './options.ts';

export const close = defineCommand({
  needs: 'database',
  whenInterrupted: 'what was closed stays closed; the same command goes on with the other instances',
  options: {
    period: required(monthOption('the month; with periods of Losant, the month in which they end')),
    instance: idsOption('instance', 'only these instances'),
    incomplete: textOption('REASON', 'close it though organizations are not billable, and why'),
    adjust: switchOption('settle what changed since it was closed, as a statement of differences'),
    dryRun: switchOption('show the statement, and keep nothing'),
  },
  examples: ({ lastMonth: { name } }) => [
    { args: `close --period ${name} --dry-run`, does: 'what would be closed' },
    { args: `close --period ${name}`, does: 'close last month' },
    { args: `close --period ${name} --adjust`, does: 'settle what Losant restated since' },
  ],
  async run(context, { period: month, instance, incomplete, adjust: isAdjustment, dryRun: isDryRun }) {
    const reason = incomplete === null ? null : incomplete.trim();
    if (reason === '') {
      throw new SettingsError('--incomplete is empty', {
        hint: 'say why numbers are missing, for whoever bills',
      });
    }
    if (reason !== null && isAdjustment) {
      throw new SettingsError('--incomplete and --adjust exclude each other', {
        hint: 'an adjustment asks for no complete numbers: leave --incomplete out',
      });
    }
    const work = async (handle: DatabaseHandle) => {
      requireWritable(handle);
      return await closeInstances(context, handle, { month, instance, reason, isAdjustment, isDryRun });
    };
    // A month of the ledger is sorted for the proof pack, which takes long on a server with other work.
    return await withDatabase(context, work, { statementTimeoutMs: VIEW_STATEMENT_MS });
  },
});

interface CloseOptions {
  readonly month: Month;
  readonly instance: readonly string[] | null;
  readonly reason: string | null;
  readonly isAdjustment: boolean;
  readonly isDryRun: boolean;
}

/** Closes the month of each instance separately: a failure of one does not stop another. */
async function closeInstances(
  context: CommandContext,
  handle: DatabaseHandle,
  options: CloseOptions,
): Promise<number> {
  const { output, newId, signal } = context;
  const instances = await chooseBilledInstances(context, handle, options.instance);
  const documents: object[] = [];
  const codes: number[] = [];
  for (const instance of instances) {
    try {
      const outcome = await closePeriod(handle, instance, { ...options, newId, signal });
      codes.push(outcome.kind === 'refused' ? EXIT.incomplete : EXIT.ok);
      documents.push(toDocument(instance, outcome));
      if (!output.json) output.print(...renderOutcome(instance, outcome, options));
    } catch (error) {
      if (!(error instanceof SettingsError) || instances.length === 1) throw error;
      codes.push(EXIT.usage);
      documents.push({ instanceId: instance.instanceId, outcome: 'failed', error: describeError(error) });
      if (!output.json) output.print(line`${styled('red', error.message)}.`, `  ${error.hint}`);
    }
  }
  if (output.json) output.printJson({ period: options.month, instances: documents });
  return worstExitCode(codes);
}

/** The number of organizations shown to people; `--json` has all. */
const BLOCKERS_MAX = 50;

type Closed = Extract<CloseOutcome, { kind: 'closed' }>;

/**
 * Returns the outcome of an instance as `--json` prints it. Quantities are text because they may
 * exceed 2^53 − 1.
 */
function toDocument({ instanceId }: BilledInstance, outcome: CloseOutcome): object {
  if (outcome.kind === 'unchanged') return { instanceId, outcome: 'unchanged' };
  const blockers = outcome.blockers.map(({ orgId, orgName, from, to, blocker }) => {
    return { orgId, orgName, periodStart: from, periodEnd: to, ...blocker };
  });
  if (outcome.kind === 'refused') return { instanceId, outcome: 'refused', blockers };
  const { statement, lines, totals, dryRun } = outcome;
  const shown = { lines, totals, blockers };
  if (statement === null) return { instanceId, outcome: 'dry_run', ...shown, table: dryRun };
  const { statementId, kind, orgs, closedAt, closedBy, manifestSha256 } = statement;
  const facts = { statementId, kind, orgs, closedAt, closedBy, manifestSha256 };
  return { instanceId, outcome: 'closed', ...facts, ...shown };
}

function renderOutcome(instance: BilledInstance, outcome: CloseOutcome, options: CloseOptions): Line[] {
  const name = nameOf(instance, options.month);
  if (outcome.kind === 'unchanged') return [`Nothing of ${name} has changed since its newest statement.`];
  return outcome.kind === 'refused'
    ? renderRefusal(name, outcome.blockers, options)
    : renderClosed(name, outcome, options);
}

function renderRefusal(name: string, blockers: readonly BlockedPeriod[], { month }: CloseOptions): Line[] {
  return [
    line`${styled('red', `${name} cannot be closed`)}: ${describeBlocked(blockers)}.`,
    ...renderBlockers(blockers),
    '',
    'To close it anyway, on record:',
    `  losant-usage close --period ${month} --incomplete REASON`,
  ];
}

/** Describes the number of organizations that are not billable, or that no organization of the instance is. */
function describeBlocked(blockers: readonly BlockedPeriod[]): string {
  const orgs = new Set(blockers.flatMap(({ orgId }) => (orgId === null ? [] : [orgId]))).size;
  if (orgs === 0) return 'no organization is billable';
  const are = `${count(orgs, 'organization')} ${orgs === 1 ? 'is' : 'are'} not billable`;
  return blockers.some(({ orgId }) => orgId === null) ? `${are}, and something blocks all of them` : are;
}

function renderBlockers(blockers: readonly BlockedPeriod[]): Line[] {
  const rows = blockers.map(({ orgId, orgName, from, to, blocker }) => [
    orgId ?? 'all organizations',
    orgName ?? '',
    showDays({ from, to }),
    describeBlocker(blocker),
    blocker.whatToDo,
  ]);
  const head = ['organization', 'name', 'period', 'why', 'what to do'];
  return renderTable({ head, rows, most: BLOCKERS_MAX });
}

function renderClosed(name: string, closed: Closed, { month, reason, isAdjustment }: CloseOptions): Line[] {
  const { statement, lines, totals, dryRun, blockers } = closed;
  const done = isAdjustment ? 'Adjusted' : 'Closed';
  const head: Line =
    statement === null
      ? line`${styled('bold', `Would have ${done.toLowerCase()}`)} ${name}: ${count(lines, 'line')}. Nothing was kept.`
      : line`${styled('green', done)} ${name}: ${count(statement.orgs, 'organization')}, ${count(lines, 'line')}.`;
  return [
    head,
    ...(blockers.length === 0 ? [] : [line`Incomplete: ${reason ?? ''}`, ...renderBlockers(blockers)]),
    ...renderTotals(totals, isAdjustment),
    ...renderLines(dryRun),
    ...(statement === null
      ? []
      : [
          `Statement ${statement.statementId}, manifest SHA-256 ${statement.manifestSha256}.`,
          `Its proof pack: losant-usage statement --period ${month} --out DIR`,
        ]),
  ];
}

function renderTotals(totals: readonly StatementTotal[], isAdjustment: boolean): Line[] {
  return renderTable({
    head: ['metric', 'organizations', isAdjustment ? 'difference' : 'quantity', 'unit'],
    rows: totals.map(({ metric, orgs, quantity, unit }) => [metric, `${orgs}`, show(quantity), unit]),
    right: [1, 2],
  });
}

/** Renders the table of a dry run. */
function renderLines(lines: readonly StatementLine[]): Line[] {
  if (lines.length === 0) return [];
  const rows = lines.map(({ periodStart: from, periodEnd: to, ...each }) => {
    const days = `${each.daysStored}/${each.daysExpected}`;
    return [each.orgName, each.orgId, showDays({ from, to }), each.metric, show(each.quantity), days];
  });
  const head = ['name', 'organization', 'period', 'metric', 'quantity', 'days stored'];
  return ['', ...renderTable({ head, rows, right: [4, 5] })];
}

function show(quantity: string | null): string {
  return quantity === null ? '-' : BigInt(quantity).toLocaleString('en-US');
}
