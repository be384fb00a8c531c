import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { EXIT } from '../errors.ts';
import { readInstanceNames } from '../queries/organizations.ts';
import {
  type Comparison,
  type ControlTotalProblem,
  type Outcome,
  type Reconciliation,
  readControlTotalProblems,
  readOpenMonths,
  readReconciliation,
  type Scope,
} from '../queries/reconciliation.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showWhen } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt, type UsageDay } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { requireKnownInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { dayOption, idsOption, requireOrder, requirePastDay, switchOption } from './options.ts';

/** The days shown by default: within them a day, and with it the instance's totals, is read again. */
const DAYS_SHOWN = 31;

export const reconcile = defineCommand({
  needs: ['database'],
  options: {
    from: dayOption('first day', 'that of the oldest open month, or 30 days before --to'),
    to: dayOption('last day, included', 'yesterday'),
    instance: idsOption('instance', 'only these instances'),
    verbose: switchOption('print what agrees too, and the log on a terminal'),
  },
  examples: ({ lastMonth: { from, to } }) => ({
    reconcile: 'the last 31 days, and every month that is not closed',
    [`reconcile --from ${from} --to ${to} --verbose`]: 'every comparison of last month',
  }),
  async run(context, { from, to, instance: instanceIds, verbose }) {
    const { output, hostNow } = context;
    const last = to ?? addDays(dayAt(hostNow()), -1);
    requirePastDay('--to', last, hostNow());
    if (from !== null) requirePastDay('--from', from, hostNow());
    if (from !== null) requireOrder({ from, to: last });
    const { range, found, problems } = await withDatabase(context, async ({ db }) => {
      requireKnownInstances(instanceIds ?? [], [...(await readInstanceNames(db)).keys()]);
      const range = { from: from ?? (await firstShown(db, last)), to: last };
      const found = await readReconciliation(db, { range, instanceIds, withEqual: verbose });
      return { range, found, problems: await readControlTotalProblems(db, instanceIds) };
    });
    const differences = found.rows.filter(({ outcome }) => outcome === 'differs').length;
    output.printJson({ ...range, differences, ...found, problems });
    output.print(...renderReconciliation(range, found, problems, hostNow()));
    return differences > 0 ? EXIT.incomplete : EXIT.ok;
  },
});

/** `firstShown` takes in every month that is not closed. */
async function firstShown(db: Kysely<Schema>, last: UsageDay): Promise<UsageDay> {
  const recent = addDays(last, 1 - DAYS_SHOWN);
  const oldest = (await readOpenMonths(db)).at(-1);
  return oldest === undefined || oldest > recent ? recent : oldest;
}

const LINES_MAX = 200;

function renderReconciliation(
  range: DayRange,
  found: Reconciliation,
  problems: readonly ControlTotalProblem[],
  nowMs: number,
): Line[] {
  const { daysCompared, monthsCompared, monthsNotRead, rows } = found;
  const lines: Line[] = [];
  if (daysCompared === 0) {
    lines.push(
      `No totals of Losant's own have been read for ${showDays(range)}: run and the worker read them, unless only named organizations are exported.`,
    );
  } else
    lines.push(...renderScope('instance_day', found, `${count(daysCompared, 'day')} of ${showDays(range)}`));
  if (rows.some(({ scope }) => scope === 'org_day')) lines.push('', ...renderScope('org_day', found, ''));
  if (monthsCompared.length > 0) {
    const months = monthsCompared.map(({ month, organizations }) => {
      return `${month.slice(0, 7)} (${count(organizations, 'organization')})`;
    });
    lines.push('', ...renderScope('org_month', found, months.join(', ')));
  }
  const hasRead = daysCompared > 0 || monthsCompared.length > 0 || problems.length > 0;
  if (hasRead && monthsNotRead.length > 0) {
    const months = monthsNotRead.map(({ month, reason }) => `${month.slice(0, 7)} (${reason})`);
    lines.push('', line`${styled('yellow', 'Months that were not compared in full')}: ${months.join(', ')}.`);
  }
  if (problems.length > 0) lines.push('', ...renderProblems(problems, nowMs));
  return lines;
}

const TITLES: Readonly<Record<Scope, string>> = {
  instance_day: "Sums over organizations beside the instance's totals",
  org_day: 'Payloads by source beside all payloads',
  org_month: "Months of organizations beside Losant's summaries",
};

function renderScope(scope: Scope, { rows }: Reconciliation, what: string): Line[] {
  const own = rows.filter((row) => row.scope === scope);
  const isOne = new Set(rows.map(({ instanceId }) => instanceId)).size === 1;
  const countOf = (wanted: Outcome) => own.filter(({ outcome }) => outcome === wanted).length;
  const [differing, open, others] = [countOf('differs'), countOf('pending'), countOf('not_compared')];
  const differ = (number: number, noun: string) =>
    `${count(number, noun)} ${number === 1 ? 'differs' : 'differ'}`;
  const verdict = [
    differing > 0 ? styled('red', differ(differing, 'final number')) : null,
    open > 0 ? styled('yellow', `${differ(open, 'number')}, not final yet`) : null,
    others > 0 ? styled('yellow', `${count(others, 'number')} could not be compared`) : null,
  ].filter((part) => part !== null);
  const shown = verdict.length === 0 ? [styled('green', 'no difference')] : verdict;
  const sentence = shown.flatMap((part, index) => (index === 0 ? [part] : ['; ', part]));
  const head: Line = [TITLES[scope], ...(what === '' ? [] : [`, ${what}`]), ': ', ...sentence, '.'];
  if (own.length === 0) return [head];
  const table = renderTable({
    head: [scope === 'org_month' ? 'month' : 'day', 'metric', 'ours', "Losant's", 'difference', ''],
    rows: own.map((row) => renderComparison(row, isOne)),
    right: [2, 3, 4],
    most: LINES_MAX,
  });
  return [head, ...table];
}

function renderComparison(row: Comparison, isOnlyInstance: boolean): Line[] {
  const { day, month, metric, quantity, total, difference, orgId, orgName, outcome } = row;
  const amount = difference === null ? '' : showAmount(difference);
  const shown = amount === '' || amount.startsWith('-') ? amount : `+${amount}`;
  const org: Line = orgId === null ? '' : line`${orgId}  ${styled('cyan', orgName ?? '')}  `;
  return [
    day ?? month.slice(0, 7),
    metric,
    showAmount(quantity),
    showAmount(total),
    outcome === 'equal' ? shown.replace('+0', '0') : styled(outcome === 'differs' ? 'red' : 'yellow', shown),
    line`${isOnlyInstance ? '' : `${row.instanceId}  `}${org}${describeOutcome(row)}`,
  ];
}

function describeOutcome(row: Comparison): string {
  const { isListed, orgsMissing, orgsRemoved, daysMissing, outcome } = row;
  if (!isListed) return 'was never listed: nothing was exported of it';
  const parts: readonly (readonly [number | null, string, string])[] = [
    [orgsMissing, 'organization', 'missing from the sum'],
    [orgsRemoved, 'organization', 'deleted since'],
    [daysMissing, 'day', 'missing'],
  ];
  const reasons = parts.flatMap(([number, noun, what]) => (number ? [`${count(number, noun)} ${what}`] : []));
  if (reasons.length > 0) return reasons.join(', ');
  const reason = row.reason ?? '';
  const why = REASONS[reason] ?? `Losant's was not read (${reason})`;
  if (outcome === 'not_compared') return `not compared: ${why}`;
  return outcome === 'pending' ? 'not final yet' : 'final';
}

const REASONS: Readonly<Record<string, string>> = {
  left_out: 'Losant left it out',
  no_summary: 'Losant has no summary of it',
  not_stored: 'ours is not stored',
  not_read: "Losant's was not read yet",
  unusable: "Losant's is no number",
};

/** `showAmount` keeps every digit, because sums exceed a JavaScript number. */
function showAmount(amount: string | null): string {
  if (amount === null) return '–';
  return AMOUNTS.format(amount as Intl.StringNumericLiteral);
}

const AMOUNTS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 100 });

function renderProblems(problems: readonly ControlTotalProblem[], nowMs: number): Line[] {
  const rows = problems.map(({ question, reason, message, nextReadAt }) => [
    question,
    nextReadAt === null ? 'next run' : `next try ${showWhen(nextReadAt, nowMs)}`,
    `${reason}: ${message ?? ''}`,
  ]);
  return ['Not read, which changes no number:', ...renderTable({ rows })];
}
