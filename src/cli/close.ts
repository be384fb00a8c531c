import { type CloseOutcome, closeMonth } from '../billing/close.ts';
import { readKey } from '../billing/manifest.ts';
import {
  type AdjustmentDay,
  type Blocker,
  formatMonthName,
  type MonthState,
  mergeRemedies,
  readMonthStates,
} from '../billing/statements.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { AppError, describeError, EXIT, exitCodeOf, SettingsError, worstExitCode } from '../errors.ts';
import type { NamedInstance } from '../ledger/instances.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { JsonList } from '../terminal/output.ts';
import { formatTable, MAX_TABLE_ROWS } from '../terminal/text.ts';
import {
  capitalize,
  count,
  joinParts,
  showCode,
  showDays,
  showInstant,
  showName,
  showNumber,
  showQuantity,
} from '../terminal/words.ts';
import { daysOfMonth, type Month } from '../usage/day.ts';
import { type CommandContext, type CommandResult, defineCommand } from './command.ts';
import { openSchema, selectInstances } from './database.ts';
import { flagOption, instancesOption, month, type OptionValues, optionalOption, reason, text } from './options.ts';

const closeOptions = {
  month: optionalOption('YYYY-MM', 'the month', month, 'list all months'),
  instance: instancesOption,
  acceptBlockers: optionalOption('HASH', 'accept exactly the blockers with this hash, printed with the list', text),
  reason: optionalOption('TEXT', 'close the month despite its blockers, for this reason (both are recorded)', reason),
  adjust: flagOption('bill what changed since the month was closed, as an adjustment'),
  dryRun: flagOption('show the statement without saving it'),
};

type CloseOptions = OptionValues<typeof closeOptions>;
type MonthOptions = CloseOptions & { readonly month: Month };

export const close = defineCommand({
  needs: ['database'],
  role: 'losant_usage_closer',
  options: closeOptions,
  async run(context, options) {
    const { month, acceptBlockers, adjust, dryRun } = options;
    if ((options.reason === null) !== (acceptBlockers === null)) {
      throw new SettingsError('--accept-blockers and --reason must be given together', {
        hint: 'the list of blockers ends with the command that accepts exactly that list',
      });
    }
    if (month === null && (adjust || dryRun || acceptBlockers !== null)) {
      throw new SettingsError('--month is required with --adjust, --dry-run and --accept-blockers', {
        hint: 'losant-usage close lists the months',
      });
    }
    // The proof pack sorts a month of the ledger, which takes long on a busy server.
    const bounds = { statementTimeoutMs: VIEW_STATEMENT_MS };
    await using handle = await openSchema(context, month === null || dryRun ? 'reads' : 'writes', bounds);
    const isNamed = options.instance !== null;
    const instances = await selectInstances(context, handle, options.instance);
    if (month === null) return await listMonths(handle, instances, { isNamed });
    const selected = isNamed ? instances : await skipEmpty(context, handle, { instances, month });
    return await closeInstances(context, handle, { selected, options: { ...options, month } });
  },
});

async function listMonths(
  { db }: DatabaseHandle,
  instances: readonly NamedInstance[],
  { isNamed }: { isNamed: boolean },
): Promise<CommandResult> {
  const instanceIds = instances.map(({ instanceId }) => instanceId);
  const months = await readMonthStates(db, instanceIds);
  const rows = months.map((state) => {
    const scope = instances.length === 1 && !isNamed ? '' : ` --instance ${state.instanceId}`;
    const command = `losant-usage close --month ${state.month}${scope}`;
    return [state.instanceId, state.month, state.state, ...describeMonth(state, command)];
  });
  const head = ['instance', 'month', 'state', 'reason', 'next command'];
  const lines = rows.length === 0 ? ['No month has anything to bill yet.'] : formatTable({ head, rows });
  return { document: { months }, lines };
}

const PARTLY_COLLECTED = 'not loaded from its first day on';

/** Returns why a month has its state, and the next command, which begins with `command`. */
function describeMonth(month: MonthState, command: string): [string, string] {
  const { state, orgsBlocked, orgsToAdjust, linesToAdjust, linesUnsettled, statements } = month;
  const showCauses = (causes: readonly string[]) => showCode(causes.join(', '));
  const causes = month.causes ?? [];
  switch (state) {
    case 'in_progress':
      return ['the month has not ended', ''];
    case 'settling': {
      // No run loads what is before the first one.
      const settlingCauses = causes.filter((cause) => cause !== 'not_fully_tracked');
      const remark = settlingCauses.length === causes.length ? '' : `; ${PARTLY_COLLECTED}`;
      return [`${showCauses(settlingCauses)}; the next runs resolve it${remark}`, ''];
    }
    case 'blocked':
      return [
        `${showCauses(causes)}${orgsBlocked ? `: ${count(orgsBlocked, 'organization')}` : ''}`,
        `${command} --dry-run`,
      ];
    case 'partly_collected':
      return [PARTLY_COLLECTED, `${command} --dry-run`];
    case 'ready':
      return ['ready to close', command];
    case 'needs_adjustment': {
      const lines = `${count(linesToAdjust ?? 0, 'line')} of ${count(orgsToAdjust ?? 0, 'organization')}`;
      const verb = linesToAdjust === 1 ? 'differs' : 'differ';
      return [`${lines} ${verb} from what was billed`, `${command} --adjust --dry-run`];
    }
    case 'closed': {
      const unsettled = linesUnsettled ? `; ${count(linesUnsettled, 'line')} not settled again yet` : '';
      const closing = `closed ${month.closedAt === null ? '' : showInstant(month.closedAt)} by ${month.closedBy ?? ''}`;
      return [`${count(statements, 'statement')}, ${closing}${unsettled}`, ''];
    }
  }
}

/** Returns the instances that have something to bill in a month, or all of them if none has. */
async function skipEmpty(
  { logger }: CommandContext,
  { db }: DatabaseHandle,
  { instances, month }: { instances: readonly NamedInstance[]; month: Month },
): Promise<readonly NamedInstance[]> {
  const billed = db.selectFrom('months').select('instance_id').where('month', '=', `${month}-01`);
  const ids = new Set((await billed.execute()).map((row) => row.instance_id));
  const { some = [], none = [] } = Object.groupBy(instances, (each) => (ids.has(each.instanceId) ? 'some' : 'none'));
  if (some.length === 0) return instances;
  for (const { instanceId } of none) {
    logger.warn({ instance_id: instanceId, month }, 'skipped: the instance has nothing to bill');
  }
  return some;
}

/** The connection can fail after the commit and before the reply. */
const RETRY_HINT =
  'a statement is saved completely or not at all; run the same command again to see whether the month is closed';

/** Closes the month of each instance separately: a failure of one does not stop another. */
async function closeInstances(
  { output, signal, config, logger, role }: CommandContext,
  handle: DatabaseHandle,
  { selected, options }: { selected: readonly NamedInstance[]; options: MonthOptions },
): Promise<CommandResult> {
  const { month, reason, acceptBlockers: blockersHash } = options;
  const request = {
    month,
    acceptance: reason === null || blockersHash === null ? null : { reason, blockersHash },
    isAdjustment: options.adjust,
    isDryRun: options.dryRun,
    signingKey: config.statementKeyFile === null ? null : await readKey(config.statementKeyFile, 'private'),
    signal,
  };
  const codes: number[] = [];
  // The document is written as its lines are read, because a statement may have 100,000.
  let lines = new JsonList(output, `{"month":"${month}","instances":[{"lines":`);
  const endLines = async (facts: object) => {
    await lines.end(`,${JSON.stringify(facts).slice(1)}`, false);
    lines = new JsonList(output, ',{"lines":');
  };
  for (const instance of selected) {
    const { instanceId } = instance;
    try {
      const outcome = await closeMonth(handle, instance, { ...request, takeLines: (page) => lines.add(page) });
      const isDone = outcome.kind === 'closed' || outcome.kind === 'unchanged';
      codes.push(isDone ? EXIT.ok : EXIT.incomplete);
      await endLines(toDocument(instance, outcome));
      output.print(...renderOutcome(instance, outcome, { ...options, isSigned: request.signingKey !== null }));
    } catch (thrown) {
      const error = describeDatabaseError(thrown, { where: handle.label, role, nextStep: RETRY_HINT }) ?? thrown;
      // With a single instance its error is the command's.
      if (selected.length === 1 && codes.length === 0 && lines.isEmpty) throw error;
      if (!(error instanceof AppError)) logger.error({ err: error, instance_id: instanceId }, 'month not closed');
      const description = describeError(error);
      codes.push(exitCodeOf(error));
      await endLines({ instanceId, outcome: 'failed', error: description });
      output.print(`Instance ${instanceId}: ${description.message}.`, `  ${description.hint}`);
      if (signal.aborted) break;
    }
  }
  await output.writeJson(']}', true);
  return { exitCode: worstExitCode(codes) };
}

/** Returns the outcome of an instance as `--json` prints it, quantities as text and without its lines. */
function toDocument({ instanceId }: NamedInstance, outcome: CloseOutcome): object {
  const { kind, statement, lines: _, ...details } = outcome;
  const isDryRun = kind === 'closed' && statement === null;
  return { instanceId, ...statement, outcome: isDryRun ? 'dry_run' : kind, ...details };
}

/** Renders every outcome in the same order: the outcome, what is billed, the blockers, and the next command. */
function renderOutcome(
  instance: NamedInstance,
  outcome: CloseOutcome,
  options: MonthOptions & { readonly isSigned: boolean },
): string[] {
  const { kind, blockers, blockersHash, lineCount, statement } = outcome;
  const { month, adjust } = options;
  const size = lineCount === 0 ? '' : `, ${count(lineCount, 'line')}`;
  const lines: string[] = [`${describeOutcome(outcome, options)}: ${formatMonthName(instance, month)}${size}.`];
  // Nothing has to be resolved.
  if (kind === 'unchanged') return lines;
  if (lineCount > 0) lines.push(...renderStatement(outcome, month));
  if (outcome.dayCount > 0) lines.push('', ...renderDays(outcome, month));
  if (blockers.length > 0) lines.push('', ...renderBlockers(blockers, { hasRemedies: statement === null }), '');
  // Without --instance the command would close the month of every other one too.
  const scope = `--month ${month} --instance ${instance.instanceId}${adjust ? ' --adjust' : ''}`;
  const command = `losant-usage close ${scope}`;
  const acceptance = blockersHash === null ? '' : ` --accept-blockers ${blockersHash} --reason TEXT`;
  if (kind === 'refused') {
    lines.push('To accept exactly these blockers and quantities (recorded):', `  ${command}${acceptance}`);
  } else if (kind === 'closed' && statement === null) {
    if (blockers.length === 0) lines.push('');
    lines.push(`To ${adjust ? 'adjust' : 'close'} it: ${command}${acceptance}`);
  }
  if (statement !== null) {
    if (blockers.length > 0) lines.push(`Closed despite these blockers: ${options.reason}`);
    const { number, statementId, closedBy, manifestSha256 } = statement;
    lines.push('', `Statement ${number} by ${closedBy}, ${statementId}, manifest SHA-256 ${manifestSha256}.`);
    if (!options.isSigned) lines.push('It is not signed, because STATEMENT_KEY_FILE is not set.');
    const selection = options.instance === null ? '' : ` --instance ${options.instance.join(',')}`;
    const next = `losant-usage statement --month ${month}${selection}`;
    lines.push(`Write its proof pack: ${next} --out DIR`);
    lines.push(`Write what each customer is billed: ${next} --customers --out DIR`);
  }
  return lines;
}

function renderDays({ days, dayCount }: CloseOutcome, month: Month): string[] {
  const rows = days.map((each) => [
    showName(each.orgName, each.orgId),
    each.metric,
    each.day,
    showQuantity(each.billedQuantity),
    showQuantity(each.quantity),
    describeCause(each),
  ]);
  const head = ['name', 'metric', 'day', 'billed', 'now', 'cause'];
  const { from, to } = daysOfMonth(month);
  const view = `losant-usage export --view adjustment_days --from ${from} --to ${to} --format csv`;
  return [
    `${capitalize(count(dayCount, 'daily number'))} ${dayCount === 1 ? 'explains' : 'explain'} it:`,
    ...formatTable({ head, rows, right: [3, 4] }),
    ...(dayCount > days.length ? [`  … and ${showNumber(dayCount - days.length)} more: ${view}`] : []),
  ];
}

function describeCause({ cause, revision, runId, changedAt, waiverReason }: AdjustmentDay): string {
  const change = joinParts(' ', showCode(cause), changedAt && showInstant(changedAt));
  if (cause === 'waived') return `${change}: ${waiverReason}`;
  const waiver = waiverReason && `waived: ${waiverReason}`;
  return joinParts(', ', change, revision !== null && `revision ${revision}`, runId && `run ${runId}`, waiver);
}

/** Returns the outcome in the words of docs/billing.md. */
function describeOutcome({ kind, blockers, statement }: CloseOutcome, { adjust }: CloseOptions): string {
  if (kind === 'unchanged') return 'Nothing has changed since the last statement';
  if (kind === 'unsettled')
    return 'The differences cannot be billed yet (see the views adjustments and adjustment_days)';
  const outcome = adjust ? 'adjusted' : 'closed';
  if (kind === 'refused') {
    const states = blockers.map(({ state }) => state);
    const isSettling = states.includes('settling') && !states.includes('blocked');
    return `${isSettling ? 'Still settling' : 'Blocked'}, not ${outcome}`;
  }
  return statement === null ? `Dry run, nothing saved; would be ${outcome}` : capitalize(outcome);
}

/** The table gives the reasons; unless the month is closed, the commands follow on lines of their own, to be pasted. */
function renderBlockers(blockers: readonly Blocker[], { hasRemedies }: { hasRemedies: boolean }): string[] {
  const rows = blockers.map((blocker) => [
    blocker.orgId ?? 'all organizations',
    blocker.orgName ?? '',
    showDays({ from: blocker.firstDay, to: blocker.lastDay }),
    blocker.summary,
    blocker.detail ?? '',
  ]);
  const remedies = mergeRemedies(blockers).map((line) => [line]);
  return [
    ...formatTable({ head: ['organization', 'name', 'days', 'blocker', 'detail'], rows, most: MAX_TABLE_ROWS }),
    ...(hasRemedies ? ['', 'To resolve:', ...formatTable({ rows: remedies, most: MAX_TABLE_ROWS })] : []),
  ];
}

function renderStatement({ totals, reconciliation, lines, lineCount }: CloseOutcome, month: Month): string[] {
  const sums = totals.map(({ metric, orgs, quantity, unit }) => [
    metric,
    showNumber(orgs),
    showQuantity(quantity),
    unit,
  ]);
  const rows = lines.map((each) => [
    each.orgName,
    each.orgId,
    `${each.customerId ?? each.referralId ?? '-'}${each.isCustomerChanged ? ' (changed during the month)' : ''}`,
    each.metric,
    showQuantity(each.quantity),
    `${each.daysFinal} of ${each.daysExpected}`,
  ]);
  const head = ['name', 'organization', 'customer or referral ID', 'metric', 'quantity', 'final days'];
  return [
    '',
    ...formatTable({ head: ['metric', 'organizations', 'quantity', 'unit'], rows: sums, right: [1, 2] }),
    ...renderReconciliation(reconciliation, month),
    '',
    ...formatTable({ head, rows, right: [4, 5], most: MAX_TABLE_ROWS, total: lineCount }),
  ];
}

/** Renders what is not equal. A sum that could not be compared is not equal either. */
function renderReconciliation(reconciliation: CloseOutcome['reconciliation'], month: Month): string[] {
  const rows = reconciliation
    .filter(({ outcome }) => outcome !== 'equal')
    .map(({ stream, compared_with: comparedWith, outcome, reason: cause, days }) => [
      stream,
      comparedWith === 'losant' ? "Losant's own total" : comparedWith,
      `${count(days, 'day')} ${showCode(outcome)}`,
      showCode(cause ?? ''),
    ]);
  if (rows.length === 0) return [];
  const { from, to } = daysOfMonth(month);
  return [
    '',
    ...formatTable({ head: ['stream', 'compared with', 'outcome', 'reason'], rows }),
    `  losant-usage reconcile --from ${from} --to ${to}`,
  ];
}
