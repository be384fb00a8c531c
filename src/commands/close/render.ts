import { type CloseOutcome, nameOf } from '../../billing/close.ts';
import { type BlockedPeriod, describeBlocker } from '../../billing/month.ts';
import type { BilledInstance, StatementLine, StatementTotal } from '../../billing/statements.ts';
import type { SettingsError } from '../../errors.ts';
import { renderTable } from '../../terminal/table.ts';
import { type Line, line, styled } from '../../terminal/text.ts';
import { count, showDays } from '../../terminal/words.ts';
import type { CloseOptions } from './instances.ts';

/** Organizations shown to people; `--json` has all. */
const BLOCKERS_MAX = 50;

type Closed = Extract<CloseOutcome, { kind: 'closed' }>;

/** What became of an instance, as `--json` prints it. Quantities are text: they may exceed 2^53 − 1. */
export function toDocument({ instanceId }: BilledInstance, outcome: CloseOutcome): object {
  if (outcome.kind === 'unchanged') return { instanceId, outcome: 'unchanged' };
  const blockers = outcome.blockers.map(({ orgId, orgName, from, to, blocker }) => {
    return { orgId, orgName, periodStart: from, periodEnd: to, ...blocker };
  });
  if (outcome.kind === 'refused') return { instanceId, outcome: 'refused', blockers };
  const { statement, lines, totals, dryRun } = outcome;
  const shown = { lines, totals, blockers };
  if (statement === null) return { instanceId, outcome: 'dry_run', ...shown, table: dryRun };
  const { statementId, kind, orgs, closedAt, closedBy, manifestSha256 } = statement;
  return {
    instanceId,
    outcome: 'closed',
    statementId,
    kind,
    orgs,
    closedAt,
    closedBy,
    manifestSha256,
    ...shown,
  };
}

export function renderOutcome(
  instance: BilledInstance,
  outcome: CloseOutcome,
  options: CloseOptions,
): Line[] {
  const name = nameOf(instance, options.month);
  if (outcome.kind === 'unchanged') return [`Nothing of ${name} has changed since its newest statement.`];
  return outcome.kind === 'refused'
    ? renderRefusal(name, outcome.blockers, options)
    : renderClosed(name, outcome, options);
}

export function renderFailure({ message, hint }: SettingsError): Line[] {
  return [line`${styled('red', message)}.`, `  ${hint}`];
}

function renderRefusal(name: string, blockers: readonly BlockedPeriod[], { month }: CloseOptions): Line[] {
  return [
    line`${styled('red', `${name} cannot be closed`)}: ${describeBlocked(blockers)}.`,
    ...renderBlockers(blockers),
    '',
    'To close it all the same, on record:',
    `  losant-usage close --period ${month} --incomplete REASON`,
  ];
}

/** How many organizations are not billable, or that it is the whole instance. */
function describeBlocked(blockers: readonly BlockedPeriod[]): string {
  const orgs = new Set(blockers.flatMap(({ orgId }) => (orgId === null ? [] : [orgId]))).size;
  if (orgs === 0) return 'no organization is billable';
  const are = `${count(orgs, 'organization')} ${orgs === 1 ? 'is' : 'are'} not billable`;
  return blockers.some(({ orgId }) => orgId === null) ? `${are}, and something speaks against all` : are;
}

function renderBlockers(blockers: readonly BlockedPeriod[]): Line[] {
  const rows = blockers
    .slice(0, BLOCKERS_MAX)
    .map(({ orgId, orgName, from, to, blocker }) => [
      orgId ?? 'all organizations',
      orgName ?? '',
      showDays({ from, to }),
      describeBlocker(blocker),
      blocker.whatToDo,
    ]);
  const more = blockers.length - rows.length;
  return [
    ...renderTable({ head: ['organization', 'name', 'period', 'why', 'what to do'], rows }),
    ...(more > 0 ? [`  and ${count(more, 'more', 'more')}: --json has all`] : []),
  ];
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

/** The table of a dry run. */
function renderLines(lines: readonly StatementLine[]): Line[] {
  if (lines.length === 0) return [];
  const rows = lines.map((each) => [
    each.orgName,
    each.orgId,
    showDays({ from: each.periodStart, to: each.periodEnd }),
    each.metric,
    show(each.quantity),
    `${each.daysStored}/${each.daysExpected}`,
  ]);
  const head = ['name', 'organization', 'period', 'metric', 'quantity', 'days stored'];
  return ['', ...renderTable({ head, rows, right: [4, 5] })];
}

function show(quantity: string | null): string {
  return quantity === null ? '-' : BigInt(quantity).toLocaleString('en-US');
}
