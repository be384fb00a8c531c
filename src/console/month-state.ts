import type { OrganizationPeriod } from '../billing/month.ts';
import { count } from '../terminal/words.ts';
import { daysFrom, earliestDay, type UsageDay } from '../usage/day.ts';

/**
 * How an organization's period stands, the worst that is to be said of it first. `missing`: a day is
 * not held and nobody accepted that. `partial`: it existed on days that are not tracked. `open`: all is
 * held and will be final. `running`: nothing is wrong, but the period is not over.
 */
export const PERIOD_STATES = ['missing', 'partial', 'open', 'running', 'ready'] as const;
export type PeriodState = (typeof PERIOD_STATES)[number];

export function stateOfPeriod(period: OrganizationPeriod): PeriodState {
  const { isBillable, isOver, isWhole, daysExpected, daysHeld, daysWaived } = period;
  if (isBillable) return 'ready';
  // A day may lack one number that was waived and another that was not: then the next line tells it.
  if (daysHeld + daysWaived < daysExpected) return 'missing';
  if (!isWhole) return 'partial';
  return isOver ? 'open' : 'running';
}

/** Why the period is in its state, and what else is to be known of it; days are counted. */
export function describePeriod(period: OrganizationPeriod, yesterday: UsageDay): string {
  const { daysWithoutPeriod, daysExpected, daysHeld, daysFinal, daysUnreported, daysUntracked } = period;
  const { isOver, to } = period;
  if (daysWithoutPeriod !== null) return `${count(daysWithoutPeriod, 'day')} in no known billing period`;
  if (daysExpected === 0) return 'no day is tracked';
  const notFinal = daysHeld - daysFinal;
  const isFinal = period.isWhole && daysFinal === daysExpected;
  const facts = [
    isFinal ? `${count(daysExpected, 'day')}, all final` : '',
    describeNotHeld(period),
    period.isWhole ? '' : describeTracked(period, yesterday),
    notFinal > 0 ? `${count(notFinal, 'day')} not final yet` : '',
    isOver ? '' : `ends on ${to}`,
    daysUntracked > 0 ? `${count(daysUntracked, 'day')} held but not tracked, so not in the sums` : '',
    daysUnreported > 0 ? `${count(daysUnreported, 'day')} with zeros, as Losant left numbers out` : '',
  ].filter((fact) => fact !== '');
  return facts.join('; ');
}

function describeNotHeld({
  daysExpected,
  daysHeld,
  daysWaived,
  daysUnavailable,
}: OrganizationPeriod): string {
  const notHeld = daysExpected - daysHeld;
  const waived = daysWaived > 0 ? `${daysWaived} waived` : '';
  if (notHeld === 0) return waived === '' ? '' : `${count(daysWaived, 'day')} waived`;
  const details = [waived, daysUnavailable > 0 ? `${daysUnavailable} no longer available` : ''].filter(
    (each) => each !== '',
  );
  return `${count(notHeld, 'day')} not held${details.length === 0 ? '' : ` (${details.join(', ')})`}`;
}

function describeTracked({ from, to, daysExpected }: OrganizationPeriod, yesterday: UsageDay): string {
  const days = daysFrom(from, earliestDay(to, yesterday)) + 1;
  return daysExpected < days
    ? `tracked on ${daysExpected} of ${days} days`
    : 'not every stream is tracked on each day';
}
