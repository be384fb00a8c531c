/** Derives the state of each month from cells, tracks and comparisons, and compares it with the view of months. */
import { isGap } from './checker.ts';
import type { Ledger, LedgerCell, Month, Track } from './ledger.ts';
import { DAY_MS, dayAt } from './truth.ts';

/** Returns the months whose state is not the one that follows from the tables. */
export function checkMonths(ledger: Ledger): string[] {
  return ledger.months.flatMap((month) => {
    const { instanceId, firstDay, state, causes } = month;
    const expected = deriveState(ledger, month);
    const name = `${firstDay.slice(0, 7)} of ${instanceId}`;
    return state === expected ? [] : [`${name} is ${state} (${causes?.join()}), but must be ${expected}`];
  });
}

/** No world closes a month. */
function deriveState(ledger: Ledger, { instanceId, firstDay, lastDay, comparisons }: Month): string {
  const { nowMs, instances, tracks } = ledger;
  if (lastDay >= dayAt(nowMs)) return 'in_progress';
  const { problem = null, collectedFrom = null } = instances.get(instanceId) ?? {};
  const unsettledCells = [...ledger.cells.values()].filter(
    (cell) =>
      cell.instanceId === instanceId &&
      firstDay <= cell.day &&
      cell.day <= lastDay &&
      !['final', 'waived'].includes(cell.standing),
  );
  const untrackedDays = [...Map.groupBy(tracks, ({ orgId, stream }) => `${stream} ${orgId}`).values()]
    .filter((spans) => spans[0]?.instanceId === instanceId)
    .flatMap((spans) => findUntrackedDays(spans, { firstDay, lastDay }));
  const isRead = (cell: LedgerCell) =>
    !isGap(cell, nowMs) && cell.standing !== 'unavailable' && !isOverdue(cell, nowMs);
  const isBlocked =
    problem !== null ||
    comparisons.includes('differs') ||
    !unsettledCells.every(isRead) ||
    untrackedDays.some((day) => collectedFrom === null || day >= collectedFrom);
  if (isBlocked) return 'blocked';
  if (unsettledCells.length > 0 || comparisons.includes('pending')) return 'settling';
  return untrackedDays.length > 0 ? 'partly_collected' : 'ready';
}

/** Cells without a row are due from the end of their day on, and late before they are overdue. */
function isOverdue({ hasRow, nextReadAtMs }: LedgerCell, nowMs: number): boolean {
  return hasRow && (nextReadAtMs === null || nextReadAtMs < nowMs - DAY_MS);
}

/** Returns the days of a month on which an organization existed, and no span of the stream covers, unless none does. */
function findUntrackedDays(
  spans: readonly Track[],
  { firstDay, lastDay }: Pick<Month, 'firstDay' | 'lastDay'>,
): string[] {
  const { createdOn, deletedOn } = spans[0] as Track;
  const isTracked = (day: string) =>
    spans.some((span) => span.firstDay <= day && (span.lastDay === null || day <= span.lastDay));
  const days: string[] = [];
  for (let day = firstDay; day <= lastDay; day = dayAt(Date.parse(day) + DAY_MS)) days.push(day);
  if (!days.some(isTracked)) return [];
  return days.filter((day) => !isTracked(day) && day >= (createdOn ?? '') && (deletedOn === null || day < deletedOn));
}
