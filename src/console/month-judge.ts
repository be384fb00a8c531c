/** Whether a month can be invoiced: a sentence, and a checklist of what stands in between. */
import { html } from 'hono/html';
import {
  describeBlocker,
  type InvoicedMonth,
  type OrganizationPeriod,
  type PeriodBlocker,
} from '../billing/month.ts';
import { capitalize, count, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { addressOf } from './lists.ts';
import { type Html, showMonth } from './page.ts';
import type { Verdict } from './verdict.ts';

/** The verdict on whether a month can be invoiced. */
interface MonthVerdict extends Verdict {
  /** The causes that block it, and the remedy for each. */
  readonly steps: readonly MonthStep[];
}

export interface MonthStep {
  readonly text: string;
  /** The actions, each a sentence or a command. */
  readonly actions: readonly string[];
}

export interface MonthFacts extends InvoicedMonth {
  readonly periods: readonly OrganizationPeriod[];
  readonly yesterday: UsageDay;
  /** Whether the first run is over; before that missing days are normal and nothing is wrong. */
  readonly hasRun: boolean;
}

/** The causes that pass by themselves. */
const PASSING: readonly string[] = ['not_over', 'not_final'];
/** The most lines that are shown to copy. */
const ACTIONS_MAX = 200;

export function judgeMonth(facts: MonthFacts): MonthVerdict {
  const { month, periods, statements, yesterday, hasRun } = facts;
  const name = showMonth(month);
  const closed = new Set(statements.map(({ instanceId }) => instanceId));
  const left = periods.filter(({ instanceId }) => !closed.has(instanceId));
  if (periods.length === 0) return { tone: 'quiet', sentence: `Nothing is tracked in ${name}.`, steps: [] };
  if (left.length === 0) {
    return { tone: 'good', sentence: `${name} is closed.`, steps: describeSince(facts) };
  }
  const blockers = [
    ...facts.blockers.filter(({ instanceId }) => !closed.has(instanceId)),
    ...left.flatMap((period) => period.blockers),
  ];
  const hasTrouble = blockers.some(({ cause }) => !PASSING.includes(cause));
  const steps = describeBlockers(blockers, month, hasTrouble);
  const end = daysOfMonth(month).to;
  if (yesterday < end) {
    const sentence = `${name} cannot be invoiced yet: it ends on ${end}.`;
    return { tone: 'quiet', sentence, steps };
  }
  const others = closed.size === 0 ? '' : ' of instances that are not closed';
  const not = left.filter(({ isBillable }) => !isBillable).length;
  if (not === 0) {
    const all =
      left.length === 1
        ? `the one organization${others} is`
        : `all ${organizations(left.length)}${others} are`;
    const close = { text: 'To close it:', actions: [`losant-usage close --period ${month}`] };
    return { tone: 'good', sentence: `${name} can be invoiced: ${all} ready.`, steps: [...steps, close] };
  }
  return {
    tone: hasTrouble && hasRun ? 'bad' : 'quiet',
    sentence: `${name} cannot be invoiced yet: ${showNumber(not)} of ${organizations(left.length)}${others} ${not === 1 ? 'is' : 'are'} not ready.`,
    steps,
  };
}

/** `describeSince` describes whether numbers have changed since they were closed, and what keeps that from being settled. */
function describeSince({ month, differing, periods, blockers }: MonthFacts): MonthStep[] {
  if (differing === 0) return [{ text: 'No number differs now from what was closed.', actions: [] }];
  const all = [...blockers, ...periods.flatMap((period) => period.blockers)];
  const how =
    all.length === 0 ? 'with --dry-run this only shows them' : 'once nothing blocks it, this settles it';
  const text = `Numbers of ${organizations(differing)} differ now from what was closed; ${how}:`;
  return [
    ...describeBlockers(all, month, false),
    { text, actions: [`losant-usage close --period ${month} --adjust`] },
  ];
}

/** `describeBlockers` makes a step of each cause, with the actions for each organization. */
function describeBlockers(
  blockers: readonly PeriodBlocker[],
  month: Month,
  hasTrouble: boolean,
): MonthStep[] {
  const causes = [...Map.groupBy(blockers, ({ cause }) => cause).values()];
  const steps = causes.flatMap(([first, ...others]): MonthStep[] => {
    if (first === undefined) return [];
    const each = [first, ...others];
    const actions = [...new Set(each.map(({ whatToDo }) => whatToDo))].slice(0, ACTIONS_MAX);
    const streams = [...new Set(each.flatMap((blocker) => blocker.streams ?? []))];
    const what = { ...first, days: null, streams: streams.length === 0 ? null : streams };
    const text = `${capitalize(describeBlocker(what))}: ${count(each.length, 'time')}.`;
    return [{ text, actions }];
  });
  if (!hasTrouble) return steps;
  const command = `losant-usage close --period ${month} --incomplete REASON`;
  return [...steps, { text: 'To close it anyway:', actions: [command] }];
}

const organizations = (number: number) => count(number, 'organization');

export interface CheckStep {
  readonly name: string;
  readonly isDone: boolean;
  /** The work that is left, with its count, or the result if it is done. */
  readonly text: string;
  /** The address that shows it; null where there is nothing more to see. */
  readonly address: string | null;
}

/** The steps, the causes of `period_blockers` that keep each from being done, and where they are shown. */
const STEPS: readonly {
  readonly name: string;
  readonly causes: readonly string[];
  readonly done: string;
  readonly addressOf?: (month: Month) => string;
}[] = [
  {
    name: 'Stored',
    causes: ['missing', 'unavailable', 'not_fully_tracked', 'no_period', 'list_incomplete'],
    done: 'every number of every organization',
  },
  { name: 'Final', causes: ['not_final', 'in_doubt', 'not_over'], done: 'no number is expected to change' },
  {
    name: 'Agrees with Losant',
    causes: ['contradicted'],
    done: "no final number differs from Losant's own totals",
    addressOf: (month) => addressOf('/totals', { month }),
  },
  {
    name: 'Nothing by hand',
    causes: ['changed_by_hand'],
    done: 'no number was typed in',
    addressOf: (month) => addressOf('/changes', { month, which: 'all', by: 'hand' }),
  },
  { name: 'Billed once', causes: ['already_billed'], done: 'no day was billed with another month' },
];

/** `checkMonth` returns the steps in the order in which they are done. Pure. */
export function checkMonth({ month, periods, blockers, statements, differing }: MonthFacts): CheckStep[] {
  const steps = STEPS.map((step): CheckStep => {
    const holds = ({ cause }: PeriodBlocker) => step.causes.includes(cause);
    const orgs = periods.filter((period) => period.blockers.some(holds)).length;
    const instances = blockers.filter(holds).length;
    const parts = [
      ...(orgs === 0 ? [] : [count(orgs, 'organization')]),
      ...(instances === 0 ? [] : [count(instances, 'instance')]),
    ];
    if (parts.length === 0) return { name: step.name, isDone: true, text: step.done, address: null };
    const address = step.addressOf?.(month) ?? addressOf(`/months/${month}`, { show: 'blocked' });
    return { name: step.name, isDone: false, text: `not yet for ${parts.join(' and ')}`, address };
  });
  const closed = new Set(statements.map(({ instanceId }) => instanceId));
  const open = new Set(periods.flatMap(({ instanceId }) => (closed.has(instanceId) ? [] : instanceId))).size;
  const closing =
    open > 0
      ? { isDone: false, text: `not yet for ${count(open, 'instance')}`, address: null }
      : differing > 0
        ? {
            isDone: false,
            text: `${count(differing, 'organization')} changed since`,
            address: addressOf('/changes', { month, which: 'closed' }),
          }
        : { isDone: true, text: 'nothing changes it any more', address: null };
  return [...steps, { name: 'Closed', ...closing }];
}

export function renderChecklist(steps: readonly CheckStep[]): Html {
  return html`<ol class="checks">${steps.map(
    ({ name, isDone, text, address }) =>
      html`<li><span class="${isDone ? 'good' : 'warn'}"><span aria-hidden="true">${isDone ? '✓' : '○'}</span> ${name}</span>: ${address === null ? text : html`<a href="${address}">${text}</a>`}</li>\n`,
  )}</ol>`;
}
