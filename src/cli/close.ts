import { type BillLine, type CloseOutcome, closeMonth } from '../billing/close.ts';
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
import { capitalize, count, showNumber } from '../terminal/words.ts';
import { daysOfMonth, type Month } from '../usage/day.ts';
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

/** The number of organizations shown to people. */
const SHOWN_MAX = 50;

interface Closing {
  readonly options: CloseOptions;
  readonly period: Month;
}

/** Closes the month of each instance separately: a failure of one does not stop another. */
async function closeInstances(
  { output, signal, config }: CommandContext,
  handle: DatabaseHandle,
  { instances, ...closing }: Closing & { readonly instances: readonly BilledInstance[] },
): Promise<number> {
  const { options, period } = closing;
  const { incomplete: reason, blockers: blockersHash } = options;
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
  for (const instance of instances) {
    try {
      const outcome = await closeMonth(handle, instance, request);
      const isDone = outcome.kind === 'closed' || outcome.kind === 'unchanged';
      codes.push(isDone ? EXIT.ok : EXIT.incomplete);
      documents.push(toDocument(instance, outcome));
      output.print(...renderOutcome(nameOf(instance, period), outcome, closing));
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
function toDocument({ instanceId }: BilledInstance, { kind, statement, ...shown }: CloseOutcome): object {
  if (statement === null) {
    return { instanceId, outcome: kind === 'closed' ? 'dry_run' : kind, ...shown };
  }
  const { month: _, ...facts } = statement;
  return { ...facts, outcome: kind, ...shown };
}

/** What is shown of every outcome in the same order: what it is, what blocks it, what is billed, and the proof. */
function renderOutcome(name: string, outcome: CloseOutcome, { options, period }: Closing): Line[] {
  const { blockers, blockersHash, lineCount, statement } = outcome;
  const adjust = options.adjust ? ' --adjust' : '';
  const lines = lineCount === 0 ? '' : `, ${count(lineCount, 'line')}`;
  const accepted =
    outcome.kind === 'refused'
      ? [
          'To accept exactly this list and these numbers, on record:',
          `  losant-usage close --period ${period}${adjust} --incomplete REASON --blockers ${blockersHash}`,
        ]
      : [`Incomplete: ${options.incomplete}`];
  const proof =
    statement === null
      ? []
      : [
          '',
          `Statement ${statement.number}, ${statement.statementId}, manifest SHA-256 ${statement.manifestSha256}.`,
          `Its proof pack: losant-usage statement --period ${period} --out DIR`,
        ];
  return [
    line`${describeOutcome(outcome, options)}: ${name}${lines}.`,
    ...(blockers.length === 0 ? [] : [...renderBlockers(blockers), '', ...accepted]),
    ...(lineCount === 0 ? [] : renderBill(outcome, period)),
    ...proof,
  ];
}

/** Returns what became of a month, in the words that docs/billing.md uses. */
function describeOutcome({ kind, statement }: CloseOutcome, { adjust }: CloseOptions): Line {
  if (kind === 'refused') return styled('red', adjust ? 'Cannot be adjusted' : 'Cannot be closed');
  if (kind === 'unchanged') return 'Nothing has changed since the newest statement';
  if (kind === 'unsettled') {
    return line`${styled('red', 'Nothing can be billed yet')} of what the view adjustments has`;
  }
  const done = adjust ? 'adjusted' : 'closed';
  return statement === null
    ? styled('bold', `Would have ${done}, and kept nothing`)
    : styled('green', capitalize(done));
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

function renderBill({ totals, controls, lines }: CloseOutcome, period: Month): Line[] {
  const sums = totals.map(({ metric, orgs, quantity, unit }) => [metric, `${orgs}`, show(quantity), unit]);
  return [
    '',
    ...renderTable({ head: ['metric', 'organizations', 'quantity', 'unit'], rows: sums, right: [1, 2] }),
    ...renderControls(controls, period),
    ...renderOrganizations(lines, period),
  ];
}

/** Words for what does not agree with another count; what could not be compared at all is no agreement. */
const OUTCOMES: Readonly<Record<string, string>> = {
  differs: 'differs',
  pending: 'not compared yet',
  not_compared: 'could not be compared',
};

function renderControls(controls: CloseOutcome['controls'], period: Month): Line[] {
  const rows = controls.flatMap(({ stream, compared_with, outcome, reason: why, days }) => {
    const words = OUTCOMES[outcome];
    const other = compared_with === 'losant' ? "Losant's own total" : compared_with;
    return words === undefined
      ? []
      : [[stream, other, `${count(days, 'day')} ${words}`, why?.replaceAll('_', ' ') ?? '']];
  });
  if (rows.length === 0) return [];
  const { from, to } = daysOfMonth(period);
  return [
    '',
    ...renderTable({ head: ['stream', 'compared with', 'outcome', 'why'], rows }),
    `  losant-usage reconcile --from ${from} --to ${to}`,
  ];
}

/** The quantities shown to people by organization; `--json` has all. */
const SHOWN_METRICS = ['payload_billable_count', 'devices_total', 'notebook_minutes'];

function renderOrganizations(lines: readonly BillLine[], period: Month): Line[] {
  const rows = [...Map.groupBy(lines, ({ orgId }) => orgId)].map(([orgId, own]) => {
    const quantities = new Map(own.map(({ metric, quantity }) => [metric, quantity]));
    const [first] = own;
    return [
      first?.orgName ?? '',
      orgId,
      `${first?.customerId ?? first?.referralId ?? '-'}${first?.isCustomerChanged === true ? ' *' : ''}`,
      ...SHOWN_METRICS.map((metric) => show(quantities.get(metric) ?? null)),
      describeDays(own),
    ];
  });
  const isChanged = lines.some(({ isCustomerChanged }) => isCustomerChanged);
  const head = ['name', 'organization', 'customer or referral', ...SHOWN_METRICS, 'days that are not final'];
  return [
    '',
    ...renderTable({ head, rows, right: [3, 4, 5], most: SHOWN_MAX }),
    ...(isChanged ? [`  * had another customer or plan earlier in ${period}`] : []),
  ];
}

/** The days that are not simply final, in words. */
const DAYS = [
  ['daysAccepted', 'accepted'],
  ['daysOpen', 'not final'],
  ['daysMissing', 'missing'],
  ['daysInDoubt', 'in doubt'],
  ['daysUnavailable', 'unavailable'],
  ['daysUnreported', 'with zeros not named'],
] as const;

/** Returns the days that are not simply final. Zeros not named count where something is billed beside them. */
function describeDays(lines: readonly BillLine[]): string {
  const isBilled = lines.some(({ quantity }) => quantity !== null && quantity !== '0');
  const shown = DAYS.flatMap(([field, words]) => {
    const days = Math.max(...lines.map((each) => each[field]));
    return days === 0 || (field === 'daysUnreported' && !isBilled) ? [] : [`${days} ${words}`];
  });
  return shown.length === 0 ? '-' : shown.join(', ');
}

function show(quantity: string | null): string {
  return quantity === null ? '-' : showNumber(BigInt(quantity));
}
