import { type CloseOutcome, closePeriod, nameOf, type Unsettled } from '../billing/close.ts';
import { type BlockedPeriod, describeBlocker } from '../billing/month.ts';
import type { OrganizationBill } from '../billing/overview.ts';
import { readSigningKey } from '../billing/pack.ts';
import { METRICS } from '../billing/pack-files.ts';
import type { StatementTotal } from '../billing/pack-sums.ts';
import type { BilledInstance } from '../billing/statements.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { describeError, FileError, SettingsError } from '../errors.ts';
import { EXIT, worstExitCode } from '../exit.ts';
import { renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { WholeFile } from '../files/whole-file.ts';
import { VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseBilledInstances } from './instances.ts';
import { requireWritable, withDatabase } from './open-database.ts';
import { idsOption, monthOption, pathOption, required, switchOption, textOption } from './options.ts';

export const close = defineCommand({
  needs: 'database',
  whenInterrupted: 'what was closed stays closed; the same command goes on with the other instances',
  options: {
    period: required(monthOption('the month; with periods of Losant, the month in which they end')),
    instance: idsOption('instance', 'only these instances'),
    incomplete: textOption('REASON', 'do it though something blocks it, and why: both stay on record'),
    adjust: switchOption('settle what changed since it was closed, as a statement of differences'),
    dryRun: switchOption('show the statement, and keep nothing'),
    csv: pathOption('FILE', 'write what is shown of each organization to this file'),
  },
  examples: ({ lastMonth: { name } }) => [
    { args: `close --period ${name} --dry-run`, does: 'what would be closed' },
    { args: `close --period ${name}`, does: 'close last month' },
    { args: `close --period ${name} --adjust`, does: 'settle what Losant restated since' },
  ],
  async run(context, { period: month, instance, incomplete, adjust: isAdjustment, dryRun: isDryRun, csv }) {
    const reason = incomplete === null ? null : incomplete.trim();
    if (reason === '') {
      throw new SettingsError('--incomplete is empty', {
        hint: 'say why numbers are missing, for whoever bills',
      });
    }
    const work = async (handle: DatabaseHandle) => {
      if (!isDryRun) requireWritable(handle);
      return await closeInstances(context, handle, { month, instance, reason, isAdjustment, isDryRun, csv });
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
  readonly csv: string | null;
}

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
  const file = options.csv === null ? null : await BillsFile.create(options.csv, context.newId());
  const documents: object[] = [];
  const codes: number[] = [];
  try {
    for (const instance of instances) {
      try {
        const outcome = await closePeriod(handle, instance, { ...options, signingKey, signal });
        const isDone = outcome.kind === 'closed' || outcome.kind === 'unchanged';
        codes.push(isDone ? EXIT.ok : EXIT.incomplete);
        documents.push(toDocument(instance, outcome));
        // Said before the file is written, which may fail: what is closed stays closed.
        if (!output.json) output.print(...renderOutcome(instance, outcome, options));
        if ('bills' in outcome) await file?.add(instance, outcome.bills);
      } catch (error) {
        if (!(error instanceof SettingsError) || instances.length === 1) {
          throw describeDatabaseError(error, handle.describe, GO_ON) ?? error;
        }
        codes.push(EXIT.usage);
        documents.push({ instanceId: instance.instanceId, outcome: 'failed', error: describeError(error) });
        if (!output.json) output.print(line`${styled('red', error.message)}.`, `  ${error.hint}`);
      }
    }
    await file?.finish();
  } catch (error) {
    await file?.discard();
    if (!(error instanceof FileError) || options.isDryRun) throw error;
    const hint =
      'what was closed stays closed; its lines are written by: losant-usage export --view statement_lines';
    throw new FileError(error.message, { hint, cause: error });
  }
  if (output.json) output.printJson({ period: options.month, instances: documents });
  return worstExitCode(codes);
}

/** The number of organizations shown to people; `--json` and `--csv` have all. */
const SHOWN_MAX = 50;

type Closed = Extract<CloseOutcome, { kind: 'closed' }>;
type Refused = Extract<CloseOutcome, { kind: 'refused' }>;

/**
 * `toDocument` returns the outcome of an instance as `--json` prints it. Quantities are text because they may
 * exceed 2^53 − 1.
 */
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
  const name = nameOf(instance, options.month);
  if (outcome.kind === 'unchanged') return [`Nothing of ${name} has changed since its newest statement.`];
  if (outcome.kind === 'unsettled') return renderUnsettled(name, outcome);
  return outcome.kind === 'refused'
    ? renderRefusal(name, outcome, options)
    : renderClosed(name, outcome, options);
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

function renderRefusal(name: string, refused: Refused, { month, isAdjustment }: CloseOptions): Line[] {
  const { blockers, bills, totals } = refused;
  const cannot = isAdjustment ? 'cannot be adjusted' : 'cannot be closed';
  const adjust = isAdjustment ? ' --adjust' : '';
  return [
    line`${styled('red', `${name} ${cannot}`)}: ${describeBlocked(blockers)}.`,
    ...renderBlockers(blockers),
    ...renderActions(blockers),
    '',
    'To do it anyway, on record:',
    `  losant-usage close --period ${month}${adjust} --incomplete REASON`,
    ...(bills.length === 0 ? [] : ['', ...renderTotals(totals, isAdjustment), ...renderBills(bills, month)]),
  ];
}

/**
 * `describeBlocked` describes the number of organizations that are not billable, or that no organization
 * of the instance is.
 */
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

function renderClosed(name: string, closed: Closed, { month, reason, isAdjustment }: CloseOptions): Line[] {
  const { statement, totals, bills, blockers } = closed;
  const done = isAdjustment ? 'Adjusted' : 'Closed';
  const lines = count(countLines(bills), 'line');
  const head: Line =
    statement === null
      ? line`${styled('bold', `Would have ${done.toLowerCase()}`)} ${name}: ${lines}. Nothing was kept.`
      : line`${styled('green', done)} ${name}: ${count(statement.orgs, 'organization')}, ${lines}.`;
  return [
    head,
    ...(blockers.length === 0 ? [] : [line`Incomplete: ${reason ?? ''}`, ...renderBlockers(blockers)]),
    ...renderTotals(totals, isAdjustment),
    ...renderBills(bills, month),
    ...(statement === null
      ? []
      : [
          '',
          `Statement ${statement.number}, ${statement.statementId}, manifest SHA-256 ${statement.manifestSha256}.`,
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

const METRIC_NAMES = [...METRICS.keys()];

/** The bills of all instances as a CSV file, which is written as a whole or not at all. */
class BillsFile {
  static readonly #columns = [
    ...['instance_id', 'org_id', 'org_name', 'referral_id', 'customer_id', 'period_start', 'period_end'],
    ...[
      ...METRIC_NAMES,
      'days_expected',
      'days_final',
      'days_accepted',
      'days_not_final',
      'days_unavailable',
    ],
    ...[
      'days_in_doubt',
      'days_missing',
      'days_unreported',
      'days_by_hand',
      'is_billable',
      'control',
      'differences',
    ],
  ].map((name) => ({ name, isText: ['org_name', 'referral_id', 'customer_id'].includes(name) }));

  readonly #file: WholeFile;

  private constructor(file: WholeFile) {
    this.#file = file;
  }

  static async create(path: string, id: string): Promise<BillsFile> {
    const file = await WholeFile.create(path, id);
    await file.write(renderCsvHeader(BillsFile.#columns));
    return new BillsFile(file);
  }

  async add({ instanceId }: BilledInstance, bills: readonly OrganizationBill[]): Promise<void> {
    const rows = bills.map((bill) => [
      ...[instanceId, bill.orgId, bill.orgName, bill.referralId, bill.customerId, bill.from, bill.to],
      ...METRIC_NAMES.map((metric) => bill.quantities[metric] ?? null),
      ...[bill.daysExpected, bill.daysFinal, bill.daysAccepted, bill.daysNotFinal, bill.daysUnavailable],
      ...[bill.daysInDoubt, bill.daysMissing, bill.daysUnreported, bill.daysByHand, bill.isBillable],
      ...[bill.control, bill.control === 'differs' ? describeControl(bill) : null],
    ]);
    await this.#file.write(renderCsvRows(BillsFile.#columns, rows));
  }

  async finish(): Promise<void> {
    await this.#file.finish();
  }

  async discard(): Promise<void> {
    await this.#file.discard();
  }
}
