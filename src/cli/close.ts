import { type BillLine, type CloseOutcome, closeMonth, type Total } from '../billing/close.ts';
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
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showNumber } from '../terminal/words.ts';
import { daysOfMonth, type Month } from '../usage/month.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseBilledInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { flag, id, month, type OptionValues, optional, reason, several, text } from './options.ts';

const closeOptions = {
  period: optional('YYYY-MM', 'the month', month, 'all months are listed'),
  instance: several('ID', 'only these instances', id('instance')),
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

export const close = defineCommand({
  needs: ['database'],
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
    return await withDatabase(
      context,
      async (handle) => {
        const instances = await chooseBilledInstances(context, handle, options.instance);
        return period === null
          ? await listMonths(context, handle, instances)
          : await closeInstances(context, handle, { options, instances, period });
      },
      bounds,
    );
  },
});

async function listMonths(
  { output }: CommandContext,
  { db }: DatabaseHandle,
  instances: readonly BilledInstance[],
): Promise<number> {
  const months = await readMonthStates(
    db,
    instances.map(({ instanceId }) => instanceId),
  );
  output.printJson({ months });
  const rows = months.map((state) => [state.instanceId, state.period, state.state, ...describeMonth(state)]);
  output.print(...renderTable({ head: ['instance', 'month', 'state', 'why', 'next'], rows }));
  return EXIT.ok;
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

/** The number of organizations shown to people; `--json` has all. */
const SHOWN_MAX = 50;
/** Lines of as many organizations, each with at most a dozen metrics. */
const SHOWN_LINES = SHOWN_MAX * 12;

interface Closing {
  readonly options: CloseOptions;
  readonly instances: readonly BilledInstance[];
  readonly period: Month;
}

/** Closes the month of each instance separately: a failure of one does not stop another. */
async function closeInstances(
  { output, signal, config }: CommandContext,
  handle: DatabaseHandle,
  { options, instances, period }: Closing,
): Promise<number> {
  const { adjust: isAdjustment, dryRun: isDryRun, incomplete, blockers } = options;
  const request = {
    month: period,
    acceptance:
      incomplete === null || blockers === null ? null : { reason: incomplete, blockersHash: blockers },
    isAdjustment,
    isDryRun,
    signingKey: config.statementKeyFile === null ? null : await readSigningKey(config.statementKeyFile),
    linesMax: output.json ? null : SHOWN_LINES,
    signal,
  };
  const documents: object[] = [];
  const codes: number[] = [];
  for (const instance of instances) {
    try {
      const outcome = await closeMonth(handle, instance, request);
      const isDone = outcome.kind === 'closed' || outcome.kind === 'unchanged';
      codes.push(isDone ? EXIT.ok : EXIT.incomplete);
      documents.push(toDocument(instance, outcome));
      output.print(...renderOutcome(nameOf(instance, period), outcome, { options, period }));
    } catch (error) {
      if (!(error instanceof SettingsError) || instances.length === 1) {
        throw describeDatabaseError(error, handle.describe, GO_ON) ?? error;
      }
      codes.push(EXIT.usage);
      documents.push({ instanceId: instance.instanceId, outcome: 'failed', error: describeError(error) });
      output.print(line`${styled('red', error.message)}.`, `  ${error.hint}`);
    }
  }
  output.printJson({ period, instances: documents });
  return worstExitCode(codes);
}

/** Returns the outcome of an instance as `--json` prints it, quantities as text. */
function toDocument({ instanceId }: BilledInstance, outcome: CloseOutcome): object {
  const { kind, statement, ...shown } = outcome;
  if (kind !== 'closed') return { instanceId, outcome: kind, ...shown };
  if (statement === null) return { instanceId, outcome: 'dry_run', ...shown };
  const { month: _, instanceId: __, kind: statementKind, ...facts } = statement;
  return { instanceId, outcome: 'closed', kind: statementKind, ...facts, ...shown };
}

interface Shown {
  readonly options: CloseOptions;
  readonly period: Month;
}

function renderOutcome(name: string, outcome: CloseOutcome, shown: Shown): Line[] {
  const { kind, blockers, totals, lines, lineCount, statement } = outcome;
  if (kind === 'unchanged') return [`Nothing of ${name} has changed since its newest statement.`];
  if (kind === 'unsettled') {
    return [
      line`${styled('red', `Nothing of ${name} can be billed yet`)}: what differs is neither final nor accepted.`,
      'The view losant_usage.adjustments has it, then and now.',
    ];
  }
  const { adjust } = shown.options;
  const billed = [
    ...renderTotals(totals, adjust),
    ...renderControls(outcome, shown.period),
    ...renderOrganizations(lines, shown.period),
  ];
  if (kind === 'refused') {
    return [
      line`${styled('red', `${name} cannot be ${adjust ? 'adjusted' : 'closed'}`)}: ${describeBlocked(blockers)}.`,
      ...renderBlockers(blockers),
      ...renderAcceptance(outcome, shown),
      '',
      ...billed,
    ];
  }
  const done = adjust ? 'Adjusted' : 'Closed';
  const counted = count(lineCount, 'line');
  const head: Line =
    statement === null
      ? line`${styled('bold', `Would have ${done.toLowerCase()}`)} ${name}: ${counted}. Nothing was kept.`
      : line`${styled('green', done)} ${name}: ${count(statement.orgs, 'organization')}, ${counted}.`;
  const proof =
    statement === null
      ? []
      : [
          '',
          `Statement ${statement.number}, ${statement.statementId}, manifest SHA-256 ${statement.manifestSha256}.`,
          `Its proof pack: losant-usage statement --period ${shown.period} --out DIR`,
        ];
  const accepted =
    blockers.length === 0 ? [] : [`Incomplete: ${shown.options.incomplete}`, ...renderBlockers(blockers)];
  return [head, ...accepted, ...billed, ...proof];
}

function describeBlocked(blockers: readonly Blocker[]): string {
  const orgs = new Set(blockers.flatMap(({ orgId }) => orgId ?? [])).size;
  if (orgs === 0) return 'something blocks all organizations';
  const are = `${count(orgs, 'organization')} ${orgs === 1 ? 'is' : 'are'} not billable`;
  return blockers.some(({ orgId }) => orgId === null) ? `${are}, and something blocks all of them` : are;
}

/** The table says why, and below it stand the commands by themselves, to be pasted. */
function renderBlockers(blockers: readonly Blocker[]): Line[] {
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
    ...renderTable({ rows: commands.map((each) => [each]), most: SHOWN_MAX * 2 }),
  ];
}

function renderAcceptance({ blockersHash }: CloseOutcome, { options, period }: Shown): Line[] {
  const adjust = options.adjust ? ' --adjust' : '';
  return [
    '',
    'To accept exactly this list and these numbers, on record:',
    `  losant-usage close --period ${period}${adjust} --incomplete REASON --blockers ${blockersHash}`,
  ];
}

function renderTotals(totals: readonly Total[], isAdjustment: boolean): Line[] {
  return renderTable({
    head: ['metric', 'organizations', isAdjustment ? 'difference' : 'quantity', 'unit'],
    rows: totals.map(({ metric, orgs, quantity, unit }) => [metric, `${orgs}`, show(quantity), unit]),
    right: [1, 2],
  });
}

/** What was compared and differs, and what could not be compared at all, which is no agreement. */
function renderControls({ controls }: CloseOutcome, period: Month): Line[] {
  const { from, to } = daysOfMonth(period);
  const days = (outcome: string) =>
    controls
      .filter((each) => each.outcome === outcome)
      .map(({ stream, compared_with, reason: why, days: number }) => {
        const other = compared_with === 'losant' ? "Losant's own total" : compared_with;
        const because = why === null ? '' : ` (${why.replaceAll('_', ' ')})`;
        return `${count(number, 'day')} of ${stream} with ${other}${because}`;
      });
  const shown = (what: string, rows: readonly string[]) =>
    rows.length === 0 ? [] : [`${what}: ${rows.join(', ')}.`];
  const lines = [
    ...shown('Differs', days('differs')),
    ...shown('Not compared yet', days('pending')),
    ...shown('Could not be compared', days('not_compared')),
  ];
  return lines.length === 0 ? [] : ['', ...lines, `  losant-usage reconcile --from ${from} --to ${to}`];
}

/** The quantities shown to people by organization; `--json` has all. */
const SHOWN_METRICS = ['payload_billable_count', 'devices_total', 'notebook_minutes'];

function renderOrganizations(lines: readonly BillLine[], period: Month): Line[] {
  const orgs = [...Map.groupBy(lines, ({ orgId }) => orgId).values()];
  if (orgs.length === 0) return [];
  const rows = orgs.map((own) => [
    own[0]?.orgName ?? '',
    own[0]?.orgId ?? '',
    own[0]?.customerId ?? own[0]?.referralId ?? '-',
    ...SHOWN_METRICS.map((metric) => show(own.find((each) => each.metric === metric)?.quantity ?? null)),
    describeDays(own),
  ]);
  const changed = orgs.filter((own) => own.some(({ isCustomerChanged }) => isCustomerChanged));
  const customers = changed.map((own) => `${own[0]?.orgName} (${own[0]?.orgId})`);
  return [
    '',
    ...renderTable({
      head: ['name', 'organization', 'customer or referral', ...SHOWN_METRICS, 'days that are not final'],
      rows,
      right: [3, 4, 5],
      most: SHOWN_MAX,
    }),
    ...(customers.length === 0
      ? []
      : ['', `Another customer or plan earlier in ${period}: ${customers.join(', ')}.`]),
  ];
}

/**
 * Describes the days that are not simply final. Zeros that nobody named count where something is billed
 * beside them.
 */
function describeDays(lines: readonly BillLine[]): string {
  const most = (days: (each: BillLine) => number) => Math.max(...lines.map(days));
  const isBilled = lines.some(({ quantity }) => quantity !== null && quantity !== '0');
  const kinds: readonly (readonly [number, string])[] = [
    [most(({ daysAccepted }) => daysAccepted), 'accepted'],
    [most(({ daysOpen }) => daysOpen), 'not final'],
    [most(({ daysMissing }) => daysMissing), 'missing'],
    [most(({ daysInDoubt }) => daysInDoubt), 'in doubt'],
    [most(({ daysUnavailable }) => daysUnavailable), 'unavailable'],
    [isBilled ? most(({ daysUnreported }) => daysUnreported) : 0, 'with zeros not named'],
  ];
  const shown = kinds.filter(([days]) => days > 0).map(([days, what]) => `${days} ${what}`);
  return shown.length === 0 ? '-' : shown.join(', ');
}

function show(quantity: string | null): string {
  return quantity === null ? '-' : showNumber(BigInt(quantity));
}
