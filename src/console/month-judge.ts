import type { InvoicedMonth, OrganizationPeriod } from '../billing/month.ts';
import { count, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { type PeriodState, stateOfPeriod } from './month-state.ts';

/** Whether a month can be invoiced, in one sentence that nothing else on the page contradicts. */
export interface MonthVerdict {
  readonly tone: 'good' | 'bad' | 'quiet';
  readonly sentence: string;
  /** What is in the way, and what to do about it; commands stand between backticks. */
  readonly steps: readonly string[];
}

export interface MonthFacts extends Pick<InvoicedMonth, 'month' | 'statements' | 'differing' | 'doubted'> {
  readonly periods: readonly OrganizationPeriod[];
  readonly yesterday: UsageDay;
  /** Before the first run is over it is the beginning that days are missing, and nothing is wrong. */
  readonly hasRun: boolean;
}

export function judgeMonth(facts: MonthFacts): MonthVerdict {
  const { month, periods, statements, yesterday } = facts;
  const name = showMonth(month);
  const closed = new Set(statements.map(({ instanceId }) => instanceId));
  const left = periods.filter(({ instanceId }) => !closed.has(instanceId));
  if (periods.length === 0) return { tone: 'quiet', sentence: `Nothing is tracked in ${name}.`, steps: [] };
  if (left.length === 0) {
    return {
      tone: 'good',
      sentence: `${name} is closed.`,
      steps: [...describeSince(facts), ...describeDoubted(facts)],
    };
  }
  const states = countStates(left);
  const steps = [...describeSteps(states, month), ...describeDoubted(facts)];
  const hasTrouble = states.missing + states.partial > 0;
  const end = daysOfMonth(month).to;
  if (yesterday < end) {
    const sentence = `${name} cannot be invoiced yet: it ends on ${end}.`;
    return { tone: 'quiet', sentence, steps };
  }
  const others = closed.size === 0 ? '' : ' of instances that are not closed';
  if (states.ready === left.length) {
    const all =
      left.length === 1
        ? `the one organization${others} is`
        : `all ${organizations(left.length)}${others} are`;
    const sentence = `${name} can be invoiced: ${all} ready.`;
    return { tone: 'good', sentence, steps };
  }
  const not = left.length - states.ready;
  return {
    tone: hasTrouble && facts.hasRun ? 'bad' : 'quiet',
    sentence: `${name} cannot be invoiced yet: ${showNumber(not)} of ${organizations(left.length)}${others} ${not === 1 ? 'is' : 'are'} not ready.`,
    steps,
  };
}

/** Whether anything became of the numbers after they were closed. */
function describeSince({ month, differing = 0 }: MonthFacts): string[] {
  if (differing === 0) return ['No number differs now from what was closed.'];
  return [
    `Numbers of ${organizations(differing)} differ now from what was closed: \`losant-usage close --period ${month} --adjust\` settles that as a statement of differences; with \`--dry-run\` it only shows them.`,
  ];
}

/** They stop no invoice, as the number stands; elsewhere they count among the gaps. */
function describeDoubted({ doubted = 0 }: MonthFacts): string[] {
  if (doubted === 0) return [];
  const [are, them] = doubted === 1 ? ['is', 'it'] : ['are', 'them'];
  return [
    `${count(doubted, 'number')} of these days ${are} held but in doubt: Losant left ${them} out when the day was read again, or somebody changed ${them}. \`losant-usage gaps\` names ${them}; what is held is invoiced.`,
  ];
}

export function countStates(periods: readonly OrganizationPeriod[]): Record<PeriodState, number> {
  const counts = { missing: 0, partial: 0, open: 0, running: 0, ready: 0 };
  for (const period of periods) counts[stateOfPeriod(period)] += 1;
  return counts;
}

function describeSteps({ missing, partial, open }: Record<PeriodState, number>, month: Month): string[] {
  return [
    missing === 0
      ? ''
      : `${organizations(missing)} with days that are not held: \`losant-usage gaps --all\` tells why and when they are tried again; \`losant-usage waive\` accepts what is no longer available.`,
    partial === 0
      ? ''
      : `${organizations(partial)} with days that are not tracked: \`losant-usage backfill\` makes them tracked and reads them, as far back as Losant keeps them.`,
    open === 0
      ? ''
      : `${organizations(open)} with days that are not final yet: nothing to do, they will be with the next checkpoint.`,
    missing + partial === 0
      ? ''
      : `To close it all the same: \`losant-usage close --period ${month} --incomplete REASON\``,
  ].filter((step) => step !== '');
}

const organizations = (number: number) => count(number, 'organization');

const NAMES = new Intl.DateTimeFormat('en-US', { month: 'long', year: 'numeric', timeZone: 'UTC' });

/** `October 2026`. */
export function showMonth(month: Month): string {
  return NAMES.format(Date.parse(`${month}-01T00:00:00.000Z`));
}
