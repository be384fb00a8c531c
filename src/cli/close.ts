import { type CloseOutcome, closeMonth, requireClosable } from '../billing/close.ts';
import { type Blocker, type MonthSummary, readMonthBlockers, readMonths } from '../billing/months.ts';
import { type MetricTotal, readDraftTotals, readStatements, readStatementTotals } from '../billing/statements.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { EXIT, SettingsError } from '../errors.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { formatTable, MAX_TABLE_ROWS } from '../terminal/text.ts';
import { count, joinParts, showCode, showDays, showInstant, showName, showQuantity } from '../terminal/words.ts';
import type { Month } from '../usage/day.ts';
import { type CommandResult, defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { flagOption, month, optionalOption, reason } from './options.ts';

export const close = defineCommand({
  needs: ['database'],
  role: 'losant_usage_writer',
  options: {
    month: optionalOption('YYYY-MM', 'the month', month, 'list all months'),
    adjust: flagOption('bill what has changed since the month was closed, as an adjustment'),
    acceptBlockers: flagOption('close the month despite its blockers; needs --reason'),
    reason: optionalOption('TEXT', 'why the blockers are accepted; the statement keeps both', reason),
    dryRun: flagOption('show the statement without saving it'),
  },
  async run(context, { month: requestedMonth, adjust, acceptBlockers, reason: acceptanceReason, dryRun }) {
    if (acceptBlockers !== (acceptanceReason !== null)) {
      throw new SettingsError('--accept-blockers and --reason must be given together', {
        hint: `add ${acceptBlockers ? '--reason TEXT, which says why' : '--accept-blockers'}`,
      });
    }
    if (requestedMonth === null && (adjust || dryRun || acceptBlockers)) {
      throw new SettingsError('--month is required with --adjust, --dry-run and --accept-blockers', {
        hint: 'losant-usage close lists the months',
      });
    }
    const isReading = requestedMonth === null || dryRun;
    const bounds = { statementTimeoutMs: VIEW_STATEMENT_MS };
    await using handle = await openSchema(context, isReading ? 'reads' : 'writes', bounds);
    if (requestedMonth === null) return await listMonths(handle);
    const request = { month: requestedMonth, isAdjustment: adjust, reason: acceptanceReason };
    if (dryRun) return await previewClose(handle, request);
    return await renderOutcome(handle, request, await closeMonth(handle.db, request));
  },
});

type Request = Parameters<typeof closeMonth>[1];

async function listMonths({ db }: DatabaseHandle): Promise<CommandResult> {
  const months = await readMonths(db);
  const rows = months.map((each) => [each.month, each.state, ...describeMonth(each)]);
  const head = ['month', 'state', 'reason', 'next command'];
  return {
    document: { months },
    lines: rows.length === 0 ? ['No month has anything to bill yet.'] : formatTable({ head, rows }),
  };
}

/** Returns why a month has its state, and the next command. */
function describeMonth({ month: name, state, causes, orgsBlocked, orgsToAdjust, closedAt }: MonthSummary) {
  const command = `losant-usage close --month ${name}`;
  const reasons = showCode((causes ?? []).join(', '));
  switch (state) {
    case 'in_progress':
      return ['the month has not ended', ''];
    case 'settling':
      return [`${reasons}; the next runs resolve it`, ''];
    case 'blocked':
      return [joinParts(': ', reasons, orgsBlocked ? count(orgsBlocked, 'organization') : ''), `${command} --dry-run`];
    case 'ready':
      return ['nothing blocks it', command];
    case 'closed':
      return [`closed ${closedAt === null ? '' : showInstant(closedAt)}`, ''];
    case 'needs_adjustment':
      return [`${count(orgsToAdjust ?? 0, 'organization')} changed since`, `${command} --adjust`];
  }
}

/** Shows what a statement would bill, and what blocks it. Reads only. */
async function previewClose({ db }: DatabaseHandle, request: Request): Promise<CommandResult> {
  await requireClosable(db, request);
  const blockers = request.isAdjustment ? [] : await readMonthBlockers(db, request.month);
  const totals = await readDraftTotals(db, request);
  const isBlocked = blockers.length > 0 && request.reason === null;
  const title = `${request.isAdjustment ? 'An adjustment' : 'The closing'} of ${request.month} would bill:`;
  return {
    document: { month: request.month, statement: null, blockers, totals },
    lines: [
      ...renderBlockers(request.month, blockers),
      ...(totals.length === 0 ? [describeNothing(request)] : [title, ...renderTotals(totals)]),
    ],
    exitCode: isBlocked ? EXIT.incomplete : EXIT.ok,
  };
}

function describeNothing({ month: name, isAdjustment }: Request): string {
  return isAdjustment ? `Nothing of ${name} has changed since it was billed.` : `${name} has nothing to bill.`;
}

async function renderOutcome({ db }: DatabaseHandle, request: Request, outcome: CloseOutcome): Promise<CommandResult> {
  const { month: name, isAdjustment } = request;
  if (outcome.kind === 'unchanged') {
    return { document: { month: name, statement: null, blockers: [], totals: [] }, lines: [describeNothing(request)] };
  }
  if (outcome.kind === 'blocked') {
    const { blockers } = outcome;
    const document = { month: name, statement: null, blockers, totals: [] };
    return { document, lines: renderBlockers(name, blockers), exitCode: EXIT.incomplete };
  }
  const statements = await readStatements(db, name);
  const statement = statements.find(({ statementId }) => statementId === outcome.statementId);
  const totals = await readStatementTotals(db, outcome.statementId);
  const verb = isAdjustment ? 'Adjusted' : 'Closed';
  return {
    document: { month: name, statement, blockers: [], totals },
    lines: [
      `${verb} ${name}: statement ${outcome.number}, ${count(statement?.orgs ?? 0, 'organization')}`,
      ...renderTotals(totals),
    ],
  };
}

function renderTotals(totals: readonly MetricTotal[]): string[] {
  const rows = totals.map(({ metric, unit, quantity, orgs }) => [
    metric,
    showQuantity(quantity),
    unit,
    count(orgs, 'organization'),
  ]);
  return formatTable({ rows, right: [1] });
}

function renderBlockers(name: Month, blockers: readonly Blocker[]): string[] {
  if (blockers.length === 0) return [];
  const lines = blockers.slice(0, MAX_TABLE_ROWS).flatMap((blocker) => {
    const { orgId, orgName, cause, days, firstDay, lastDay, streams, detail, remedy } = blocker;
    const subject = orgId === null ? 'all organizations' : showName(orgName ?? '', orgId);
    const range = days === null ? '' : `${count(days, 'day')}, ${showDays({ from: firstDay, to: lastDay })}`;
    return [
      `  ${joinParts('; ', `${showCode(cause)}: ${subject}`, range, streams?.join(', '), detail)}`,
      `    ${remedy}`,
    ];
  });
  return [
    `${name} is blocked:`,
    ...lines,
    ...(blockers.length > MAX_TABLE_ROWS ? ['  … and more; the view month_blockers has all'] : []),
    'To close it nevertheless:',
    `  losant-usage close --month ${name} --accept-blockers --reason TEXT`,
  ];
}
