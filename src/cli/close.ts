import {
  type CloseOutcome,
  closePeriod,
  nameOf,
  type OrganizationBill,
  type Unsettled,
} from '../billing/close.ts';
import { type BilledInstance, type BlockedPeriod, describeBlocker } from '../billing/month.ts';
import { readSigningKey, type StatementTotal } from '../billing/pack.ts';
import { METRICS } from '../billing/pack-files.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { describeError, EXIT, FileError, SettingsError, worstExitCode } from '../errors.ts';
import { type CsvValue, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { WholeFile } from '../files/whole-file.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseBilledInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { idsOption, monthOption, type OptionValues, required, switchOption, textOption } from './options.ts';

const closeOptions = {
  period: required(monthOption('the month; with periods of Losant, the month in which they end')),
  instance: idsOption('instance', 'only these instances'),
  incomplete: textOption('REASON', 'do it though something blocks it, and why: both stay on record'),
  adjust: switchOption('settle what changed since it was closed, as a statement of differences'),
  dryRun: switchOption('show the statement, and keep nothing'),
  csv: textOption('FILE', 'write what is shown of each organization to this file'),
};

type CloseOptions = OptionValues<typeof closeOptions>;

export const close = defineCommand({
  needs: ['database'],
  whenInterrupted: 'what was closed stays closed; the same command goes on with the other instances',
  options: closeOptions,
  examples: ({ lastMonth: { name } }) => ({
    [`close --period ${name} --dry-run`]: 'what would be closed',
    [`close --period ${name}`]: 'close last month',
    [`close --period ${name} --adjust`]: 'settle what Losant restated since',
  }),
  async run(context, options) {
    if (options.incomplete?.trim() === '') {
      throw new SettingsError('--incomplete is empty', {
        hint: 'say why numbers are missing, for whoever bills',
      });
    }
    // A month of the ledger is sorted for the proof pack, which takes long on a server with other work.
    const bounds = { writes: !options.dryRun, statementTimeoutMs: VIEW_STATEMENT_MS };
    return await withDatabase(context, (handle) => closeInstances(context, handle, options), bounds);
  },
});

/** A connection may be lost after the statement was kept and before that was told. */
const GO_ON =
  'a statement is kept completely or not at all: give the same command again, which says if the month is closed';

/** `closeInstances` closes the month of each instance separately: a failure of one does not stop another. */
async function closeInstances(
  context: CommandContext,
  handle: DatabaseHandle,
  options: CloseOptions,
): Promise<number> {
  const { output, signal, config } = context;
  const instances = await chooseBilledInstances(context, handle, options.instance);
  const signingKey = config.statementKeyFile === null ? null : await readSigningKey(config.statementKeyFile);
  const { period: month, adjust: isAdjustment, dryRun: isDryRun } = options;
  const reason = options.incomplete?.trim() ?? null;
  const request = { month, reason, isAdjustment, isDryRun, signingKey, signal };
  const file = options.csv === null ? null : await WholeFile.create(options.csv, context.newId());
  await file?.write(renderCsvHeader(CSV_COLUMNS));
  const documents: object[] = [];
  const codes: number[] = [];
  try {
    for (const instance of instances) {
      try {
        const outcome = await closePeriod(handle, instance, request);
        const isDone = outcome.kind === 'closed' || outcome.kind === 'unchanged';
        codes.push(isDone ? EXIT.ok : EXIT.incomplete);
        documents.push(toDocument(instance, outcome));
        // Said before the file is written, which may fail: what is closed stays closed.
        output.print(...renderOutcome(instance, outcome, options));
        if ('bills' in outcome) await file?.write(renderCsv(instance, outcome.bills));
      } catch (error) {
        if (!(error instanceof SettingsError) || instances.length === 1) {
          throw describeDatabaseError(error, handle.describe, GO_ON) ?? error;
        }
        codes.push(EXIT.usage);
        documents.push({ instanceId: instance.instanceId, outcome: 'failed', error: describeError(error) });
        output.print(line`${styled('red', error.message)}.`, `  ${error.hint}`);
      }
    }
    await file?.finish();
  } catch (error) {
    await file?.discard();
    if (!(error instanceof FileError) || isDryRun) throw error;
    const hint =
      'what was closed stays closed; its lines are written by: losant-usage export --view statement_lines';
    throw new FileError(error.message, { hint, cause: error });
  }
  output.printJson({ period: month, instances: documents });
  return worstExitCode(codes);
}

/** The number of organizations shown to people; `--json` and `--csv` have all. */
const SHOWN_MAX = 50;

type Closed = Extract<CloseOutcome, { kind: 'closed' }>;
type Refused = Extract<CloseOutcome, { kind: 'refused' }>;

/** `toDocument` returns the outcome of an instance as `--json` prints it, quantities as text. */
function toDocument({ instanceId }: BilledInstance, outcome: CloseOutcome): object {
  if (outcome.kind === 'unchanged') return { instanceId, outcome: 'unchanged' };
  const blockers = outcome.blockers.map(
    ({ orgId, orgName, from, to, cause, days, firstDay, lastDay, streams, whatToDo }) => {
      const period = { orgId, orgName, periodStart: from, periodEnd: to };
      return { ...period, cause, days, firstDay, lastDay, streams, whatToDo };
    },
  );
  if (outcome.kind === 'unsettled') {
    const { figures, orgs } = outcome;
    return { instanceId, outcome: 'unsettled', figures, orgs, blockers };
  }
  const { totals, bills: organizations } = outcome;
  const shown = { lines: countLines(organizations), totals, organizations, blockers };
  if (outcome.kind === 'refused') return { instanceId, outcome: 'refused', ...shown };
  if (outcome.statement === null) return { instanceId, outcome: 'dry_run', ...shown };
  const { statementId, number, kind, orgs, closedAt, closedBy, manifestSha256 } = outcome.statement;
  const facts = { statementId, number, kind, orgs, closedAt, closedBy, manifestSha256 };
  return { instanceId, outcome: 'closed', ...facts, ...shown };
}

function countLines(bills: readonly OrganizationBill[]): number {
  return bills.reduce((sum, { quantities }) => sum + Object.keys(quantities).length, 0);
}

function renderOutcome(instance: BilledInstance, outcome: CloseOutcome, options: CloseOptions): Line[] {
  const name = nameOf(instance, options.period);
  if (outcome.kind === 'unchanged') return [`Nothing of ${name} has changed since its newest statement.`];
  if (outcome.kind === 'unsettled') return renderUnsettled(name, outcome);
  if (outcome.kind === 'refused') return renderRefusal(name, outcome, options);
  return renderClosed(name, outcome, options);
}

function renderUnsettled(name: string, { figures, orgs, blockers }: Unsettled): Line[] {
  const differ = `${count(figures, 'figure')} of ${count(orgs, 'organization')} ${figures === 1 ? 'differs' : 'differ'}`;
  return [
    line`${styled('red', `Nothing of ${name} can be billed yet`)}: ${differ} from its newest statement, but not every number behind them is final or accepted.`,
    ...renderBlockers(blockers),
    ...renderActions(blockers),
    'The view losant_usage.adjustments has them, then and now.',
  ];
}

function renderRefusal(name: string, refused: Refused, { period, adjust }: CloseOptions): Line[] {
  const { blockers, bills, totals } = refused;
  const cannot = adjust ? 'cannot be adjusted' : 'cannot be closed';
  return [
    line`${styled('red', `${name} ${cannot}`)}: ${describeBlocked(blockers)}.`,
    ...renderBlockers(blockers),
    ...renderActions(blockers),
    '',
    'To do it anyway, on record:',
    `  losant-usage close --period ${period}${adjust ? ' --adjust' : ''} --incomplete REASON`,
    ...(bills.length === 0 ? [] : ['', ...renderTotals(totals, adjust), ...renderBills(bills, period)]),
  ];
}

function describeBlocked(blockers: readonly BlockedPeriod[]): string {
  const orgs = new Set(blockers.flatMap(({ orgId }) => (orgId === null ? [] : [orgId]))).size;
  if (orgs === 0) return 'no organization is billable';
  const are = `${count(orgs, 'organization')} ${orgs === 1 ? 'is' : 'are'} not billable`;
  return blockers.some(({ orgId }) => orgId === null) ? `${are}, and something blocks all of them` : are;
}

function renderBlockers(blockers: readonly BlockedPeriod[]): Line[] {
  const rows = blockers.map((blocker) => [
    blocker.orgId ?? 'all organizations',
    blocker.orgName ?? '',
    showDays(blocker),
    describeBlocker(blocker),
    blocker.whatToDo,
  ]);
  const head = ['organization', 'name', 'period', 'why', 'what to do'];
  return renderTable({ head, rows, most: SHOWN_MAX });
}

/** `renderActions` lists the commands by themselves, to be pasted. */
function renderActions(blockers: readonly BlockedPeriod[]): Line[] {
  const actions = [...new Set(blockers.map(({ whatToDo }) => whatToDo))];
  const commands = actions.filter(
    (action) => action.startsWith('losant-usage ') && !action.includes(', then '),
  );
  if (commands.length < 2) return [];
  return ['', 'To paste:', ...renderTable({ rows: commands.map((each) => [each]), most: SHOWN_MAX })];
}

function renderClosed(name: string, closed: Closed, { period, incomplete, adjust }: CloseOptions): Line[] {
  const { statement, totals, bills, blockers } = closed;
  const done = adjust ? 'Adjusted' : 'Closed';
  const reason = incomplete?.trim() ?? '';
  const lines = count(countLines(bills), 'line');
  const head: Line =
    statement === null
      ? line`${styled('bold', `Would have ${done.toLowerCase()}`)} ${name}: ${lines}. Nothing was kept.`
      : line`${styled('green', done)} ${name}: ${count(statement.orgs, 'organization')}, ${lines}.`;
  return [
    head,
    ...(blockers.length === 0 ? [] : [line`Incomplete: ${reason}`, ...renderBlockers(blockers)]),
    ...renderTotals(totals, adjust),
    ...renderBills(bills, period),
    ...(statement === null
      ? []
      : [
          '',
          `Statement ${statement.number}, ${statement.statementId}, manifest SHA-256 ${statement.manifestSha256}.`,
          `Its proof pack: losant-usage statement --period ${period} --out DIR`,
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

/** The quantities shown to people by organization; `--json` and `--csv` have all. */
const SHOWN_METRICS = ['payload_billable_count', 'devices_total', 'notebook_minutes'];

function renderBills(bills: readonly OrganizationBill[], month: Month): Line[] {
  if (bills.length === 0) return [];
  const rows = bills.map((bill) => [
    bill.orgName,
    bill.orgId,
    bill.referralId ?? bill.customerId ?? '-',
    showDays(bill),
    ...SHOWN_METRICS.map((metric) => show(bill.quantities[metric] ?? null)),
    `${bill.daysFinal}/${bill.daysExpected}`,
    describeDays(bill),
    describeControl(bill),
  ]);
  const head = [
    'name',
    'organization',
    'referral or customer',
    'period',
    ...SHOWN_METRICS,
    'days final',
    'other days',
    'Losant',
  ];
  const { from, to } = daysOfMonth(month);
  const sum = (days: 'daysUnreported' | 'daysAccepted' | 'daysByHand') =>
    bills.filter((bill) => bill[days] > 0).length;
  return [
    '',
    ...renderTable({ head, rows, right: [4, 5, 6, 7], most: SHOWN_MAX }),
    '',
    `Organizations with zeros that Losant did not name: ${sum('daysUnreported')}; with accepted days: ${sum('daysAccepted')}; with numbers typed in by hand: ${sum('daysByHand')}; that differ from Losant's own totals: ${bills.filter(({ control }) => control === 'differs').length} (losant-usage reconcile --from ${from} --to ${to} shows them).`,
  ];
}

/** `describeDays` describes the days that are not simply final. */
function describeDays(bill: OrganizationBill): string {
  const kinds: readonly (readonly [number, string])[] = [
    [bill.daysAccepted, 'accepted'],
    [bill.daysByHand, 'typed in'],
    [bill.daysUnreported, 'zeros not named'],
    [bill.daysNotFinal, 'not final'],
    [bill.daysMissing, 'missing'],
    [bill.daysInDoubt, 'in doubt'],
    [bill.daysUnavailable, 'unavailable'],
  ];
  const shown = kinds.filter(([days]) => days > 0).map(([days, what]) => `${days} ${what}`);
  return shown.length === 0 ? '-' : shown.join(', ');
}

function describeControl({ control, differences }: OrganizationBill): string {
  if (control !== 'differs') return control.replaceAll('_', ' ');
  const shown = Object.entries(differences).map(
    ([metric, by]) => `${metric} ${by.startsWith('-') ? '' : '+'}${by}`,
  );
  return shown.join(', ');
}

function show(quantity: string | null): string {
  return quantity === null ? '-' : showNumber(BigInt(quantity));
}

/** The columns of `--csv`, each with its value of a bill. */
const CSV: Readonly<Record<string, (bill: OrganizationBill, instanceId: string) => CsvValue>> = {
  instance_id: (_, instanceId) => instanceId,
  org_id: ({ orgId }) => orgId,
  org_name: ({ orgName }) => orgName,
  referral_id: ({ referralId }) => referralId,
  customer_id: ({ customerId }) => customerId,
  period_start: ({ from }) => from,
  period_end: ({ to }) => to,
  ...Object.fromEntries(
    [...METRICS.keys()].map((metric) => [
      metric,
      (bill: OrganizationBill) => bill.quantities[metric] ?? null,
    ]),
  ),
  days_expected: (bill) => bill.daysExpected,
  days_final: (bill) => bill.daysFinal,
  days_accepted: (bill) => bill.daysAccepted,
  days_not_final: (bill) => bill.daysNotFinal,
  days_unavailable: (bill) => bill.daysUnavailable,
  days_in_doubt: (bill) => bill.daysInDoubt,
  days_missing: (bill) => bill.daysMissing,
  days_unreported: (bill) => bill.daysUnreported,
  days_by_hand: (bill) => bill.daysByHand,
  is_billable: (bill) => bill.isBillable,
  control: ({ control }) => control,
  differences: (bill) => (bill.control === 'differs' ? describeControl(bill) : null),
};

const CSV_COLUMNS = Object.keys(CSV).map((name) => {
  return { name, isText: ['org_name', 'referral_id', 'customer_id'].includes(name) };
});

function renderCsv({ instanceId }: BilledInstance, bills: readonly OrganizationBill[]): string {
  const rows = bills.map((bill) => Object.values(CSV).map((valueOf) => valueOf(bill, instanceId)));
  return renderCsvRows(CSV_COLUMNS, rows);
}
