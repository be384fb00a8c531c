import type { Blocker } from './statements.ts';

/** Why an organization is not billable, for people. */
export function describeBlocker(blocker: Blocker): string {
  const { daysWithoutPeriod, daysExpected, daysHeld, daysFinal, isWhole } = blocker;
  if (daysWithoutPeriod !== null) return `${days(daysWithoutPeriod)} in no known billing period`;
  if (daysExpected === null || daysHeld === null || daysFinal === null) return 'no day is tracked';
  const reasons: string[] = [];
  if (isWhole === false) reasons.push(describePart(daysExpected, blocker.daysExisted ?? daysExpected));
  const missing = daysExpected - daysHeld;
  const open = daysExpected - daysFinal - missing;
  if (missing > 0) reasons.push(`${days(missing)} not held`);
  if (open > 0) reasons.push(`${days(open)} not final yet`);
  return reasons.join(', ');
}

function describePart(expected: number, existed: number): string {
  return expected < existed
    ? `only ${expected} of ${days(existed)} tracked`
    : 'not the same streams are tracked on every day';
}

function days(count: number): string {
  return count === 1 ? '1 day' : `${count} days`;
}
