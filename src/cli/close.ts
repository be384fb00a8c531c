import { type CloseOutcome, closeMonth } from '../billing/close.ts';
import { readSigningKey } from '../billing/manifest.ts';
import {
  type BilledInstance,
  type Blocker,
  describeBlocker,
  describeCause,
  type MonthState,
  nameOf,
  readMonthStates,
} from '../billing/statements.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { describeError, EXIT, SettingsError, worstExitCode } from '../errors.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { renderTable } from '../terminal/text.ts';
import { capitalize, count, showQuantity } from '../terminal/words.ts';
import { daysOfMonth, type Month } from '../usage/day.ts';
import { type CommandContext, defineCommand, type Ending } from './command.ts';
import { chooseBilledInstances, openSchema } from './database.ts';
import { flag, instances, month, type OptionValues, optional, reason, text } from './options.ts';

const closeOptions = {
  period: optional('YYYY-MM', 'the month', month, 'all months are listed'),
  instance: instances,
  incomplete: optional('REASON', 'do it though something blocks it, and why: both stay on record', reason),
  blockers: optional(
    'HASH',
    'what is accepted with --incomplete: the hash that was printed with the list',
    text,
  ),
  adjust: flag('settle what changed since it was closed, as a statement of differences'),
  dryRun: flag('show the statement, and keep nothing'),
};

type CloseOptions = OptionValues<typeof closeOptions>;
type MonthOptions = CloseOptions & { readonly period: Month };

export const close = defineCommand({
  needs: ['database'],
  role: 'losant_usage_closer',
  options: closeOptions,
  async run(context, options) {
    const { period, incomplete, blockers, adjust, dryRun } = options;
    if ((incomplete === null) !== (blockers === null)) {
      throw new SettingsError('--incomplete and --blockers go together', {
        hint: 'the list of what blocks a month ends with the command that accepts exactly this list',
      });
    }
    if (period === null && (adjust || dryRun || incomplete !== null)) {
      throw new SettingsError('--period is missing', { hint: 'losant-usage close lists the months' });
    }
    // A month of the ledger is sorted for the proof pack, which takes long on a server with other work.
    const bounds = { writes: period !== null && !dryRun, statementTimeoutMs: VIEW_STATEMENT_MS };
    await using handle = await openSchema(context, bounds);
    const billed = await chooseBilledInstances(context, handle, options.instance);
    return period === null
      ? await listMonths(handle, billed)
      : await closeInstances(context, handle, { billed, options: { ...options, period } });
  },
});

async function listMonths({ db }: DatabaseHandle, instances: readonly BilledInstance[]): Promise<Ending> {
  const months = await readMonthStates(
    db,
    instances.map(({ instanceId }) => instanceId),
  );
  const rows = months.map((state) => [state.instanceId, state.period, state.state, ...describeMonth(state)]);
  const head = ['instance', 'month', 'state', 'why', 'next'];
  return { document: { months }, lines: renderTable({ head, rows }) };
}

/** Returns why a month has its state, and the command that goes on with it. */
function describeMonth(state: MonthState): [string, string] {
  const { period, causes, orgsBlocked, orgsDifferent, linesDifferent, closedAt } = state;
  const command = `losant-usage close --period ${period}`;
  if (state.state === 'blocked') {
    const orgs = orgsBlocked === 0 ? '' : `: ${count(orgsBlocked ?? 0, 'organization')}`;
    return [`${(causes ?? []).map(describeCause).join(', ')}${orgs}`, `${command} --dry-run`];
  }
  if (state.state === 'different') {
    const differ = `${count(linesDifferent ?? 0, 'number')} of ${count(orgsDifferent ?? 0, 'organization')}`;
    return [`${differ} differ from what was invoiced`, `${command} --adjust --dry-run`];
  }
  if (state.state === 'open') return state.isOver ? ['nothing blocks it', command] : ['not over', ''];
  return [`${count(state.statements, 'statement')}, closed ${closedAt ?? ''}`, ''];
}

/** A connection may be lost after the statement was kept and before that was told. */
const GO_ON =
  'a statement is kept completely or not at all: give the same command again, which says if the month is closed';

/** The rows of a table that are shown to people; `--json` has all. */
const SHOWN_MAX = 100;

/** Closes the month of each instance separately: a failure of one does not stop another. */
async function closeInstances(
  { output, signal, config, role }: CommandContext,
  handle: DatabaseHandle,
  { billed, options }: { readonly billed: readonly BilledInstance[]; readonly options: MonthOptions },
): Promise<Ending> {
  const { period, incomplete: reason, blockers: blockersHash } = options;
  const request = {
    month: period,
    acceptance: reason === null || blockersHash === null ? null : { reason, blockersHash },
    isAdjustment: options.adjust,
    isDryRun: options.dryRun,
    signingKey: config.statementKeyFile === null ? null : await readSigningKey(config.statementKeyFile),
    signal,
  };
  const documents: object[] = [];
  const codes: number[] = [];
  for (const instance of billed) {
    try {
      const outcome = await closeMonth(handle, instance, request);
      const isDone = outcome.kind === 'closed' || outcome.kind === 'unchanged';
      codes.push(isDone ? EXIT.ok : EXIT.incomplete);
      documents.push(toDocument(instance, outcome));
      output.print(...renderOutcome(nameOf(instance, period), outcome, options));
    } catch (error) {
      if (!(error instanceof SettingsError) || billed.length === 1) {
        throw describeDatabaseError(error, { where: handle.describe, role, goOn: GO_ON }) ?? error;
      }
      codes.push(EXIT.usage);
      documents.push({ instanceId: instance.instanceId, outcome: 'failed', error: describeError(error) });
      output.print(`${error.message}.`, `  ${error.hint}`);
    }
  }
  return { document: { period, instances: documents }, exitCode: worstExitCode(codes) };
}

/** Returns the outcome of an instance as `--json` prints it, quantities as text. */
function toDocument({ instanceId }: BilledInstance, { kind, statement, ...shown }: CloseOutcome): object {
  const outcome = kind === 'closed' && statement === null ? 'dry_run' : kind;
  return { instanceId, ...statement, outcome, ...shown };
}

/** Renders every outcome in the same order: what it is, what is billed, what blocks it, and what to do. */
function renderOutcome(name: string, outcome: CloseOutcome, options: MonthOptions): string[] {
  const { kind, blockers, blockersHash, lineCount, statement } = outcome;
  const { period } = options;
  const command = `losant-usage close --period ${period}${options.adjust ? ' --adjust' : ''}`;
  const size = lineCount === 0 ? '' : `, ${count(lineCount, 'line')}`;
  const lines: string[] = [`${describeOutcome(outcome, options)}: ${name}${size}.`];
  if (lineCount > 0) lines.push(...renderBill(outcome, period));
  if (blockers.length > 0) lines.push('', ...renderBlockers(blockers), '');
  if (kind === 'refused') {
    lines.push('To accept exactly this list and these numbers, on record:');
    lines.push(`  ${command} --incomplete REASON --blockers ${blockersHash}`);
  } else if (blockers.length > 0) lines.push(`Incomplete: ${options.incomplete}`);
  if (statement !== null) {
    const { number, statementId, manifestSha256 } = statement;
    lines.push('', `Statement ${number}, ${statementId}, manifest SHA-256 ${manifestSha256}.`);
    lines.push(`Its proof pack: losant-usage statement --period ${period} --out DIR`);
  }
  return lines;
}

/** Returns what became of a month, in the words that docs/billing.md uses. */
function describeOutcome({ kind, statement }: CloseOutcome, { adjust }: CloseOptions): string {
  if (kind === 'refused') return adjust ? 'Cannot be adjusted' : 'Cannot be closed';
  if (kind === 'unchanged') return 'Nothing has changed since the newest statement';
  if (kind === 'unsettled') return 'Nothing can be billed yet of what the view adjustments has';
  const done = adjust ? 'adjusted' : 'closed';
  return statement === null ? `Would have ${done}, and kept nothing` : capitalize(done);
}

/** The table says why, and below it stand the commands by themselves, to be pasted. */
function renderBlockers(blockers: readonly Blocker[]): string[] {
  const rows = blockers.map((blocker) => [
    blocker.orgId ?? 'all organizations',
    blocker.orgName ?? '',
    `${blocker.firstDay} to ${blocker.lastDay}`,
    describeBlocker(blocker),
    blocker.message ?? '',
  ]);
  const commands = [...new Set(blockers.flatMap(({ whatToDo }) => whatToDo.split('\n')))];
  return [
    ...renderTable({ head: ['organization', 'name', 'days', 'why', ''], rows, most: SHOWN_MAX }),
    '',
    'What to do:',
    ...renderTable({ rows: commands.map((each) => [each]), most: SHOWN_MAX }),
  ];
}

function renderBill({ totals, controls, lines }: CloseOutcome, period: Month): string[] {
  const sums = totals.map(({ metric, orgs, quantity, unit }) => [
    metric,
    `${orgs}`,
    showQuantity(quantity),
    unit,
  ]);
  const rows = lines.map((each) => [
    each.orgName,
    each.orgId,
    `${each.customerId ?? each.referralId ?? '-'}${each.isCustomerChanged ? ' (changed in the month)' : ''}`,
    each.metric,
    showQuantity(each.quantity),
    `${each.daysFinal} of ${each.daysExpected}`,
  ]);
  const head = ['name', 'organization', 'customer or referral', 'metric', 'quantity', 'final days'];
  return [
    '',
    ...renderTable({ head: ['metric', 'organizations', 'quantity', 'unit'], rows: sums, right: [1, 2] }),
    ...renderControls(controls, period),
    '',
    ...renderTable({ head, rows, right: [4, 5], most: SHOWN_MAX }),
  ];
}

/** Renders what does not agree with another count; what could not be compared at all is no agreement. */
function renderControls(controls: CloseOutcome['controls'], period: Month): string[] {
  const rows = controls
    .filter(({ outcome }) => outcome !== 'equal')
    .map(({ stream, compared_with: other, outcome, reason: why, days }) => [
      stream,
      other === 'losant' ? "Losant's own total" : other,
      `${count(days, 'day')} ${outcome.replaceAll('_', ' ')}`,
      why?.replaceAll('_', ' ') ?? '',
    ]);
  if (rows.length === 0) return [];
  const { from, to } = daysOfMonth(period);
  return [
    '',
    ...renderTable({ head: ['stream', 'compared with', 'outcome', 'why'], rows }),
    `  losant-usage reconcile --from ${from} --to ${to}`,
  ];
}
