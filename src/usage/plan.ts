import { type CellKey, compareText } from './cell.ts';
import { addDays, type DayRange, type UsageDay } from './day.ts';
import { getStream, streamNames } from './streams/catalog.ts';

/** In the place of an organization: the totals of all of them, as Losant itself adds them up. */
export const WHOLE_INSTANCE = '';

/** One fetch: a window of one stream of one organization, and the days of it that are loaded, newest first. */
export interface Slice {
  readonly orgId: string;
  readonly stream: string;
  readonly window: DayRange;
  readonly days: readonly UsageDay[];
}

/**
 * Cuts due cells into as few windows as possible, newest first. Within an organization and window, a stream comes after
 * those that it waits for. Pure: the same cells give the same slices.
 */
export function planSlices(cells: readonly CellKey[]): Slice[] {
  const tracks = Map.groupBy(cells, ({ orgId, stream }) => `${orgId} ${stream}`);
  const slices = [...tracks.values()].flatMap((track) => {
    const { orgId, stream } = track[0] as CellKey;
    const days = track.map(({ day }) => day).sort((a, b) => compareText(b, a));
    const windows = cutWindows(days, getStream(stream).windowDays);
    return windows.map((window): Slice => ({ orgId, stream, ...window }));
  });
  return slices.sort(
    (a, b) =>
      compareText(b.window.to, a.window.to) ||
      compareText(a.orgId, b.orgId) ||
      streamNames.indexOf(a.stream) - streamNames.indexOf(b.stream),
  );
}

/** Returns the fewest windows that cover the days (newest first), each at most as long as a request may be. */
function cutWindows(
  days: readonly UsageDay[],
  windowDays: number,
): { readonly window: DayRange; readonly days: readonly UsageDay[] }[] {
  const windows = [];
  let remaining = days;
  while (remaining[0] !== undefined) {
    const to = remaining[0];
    const oldest = addDays(to, 1 - windowDays);
    const inside = remaining.filter((day) => day >= oldest);
    windows.push({ window: { from: inside.at(-1) as UsageDay, to }, days: inside });
    remaining = remaining.slice(inside.length);
  }
  return windows;
}
