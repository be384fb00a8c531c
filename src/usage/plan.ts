import { type CellKey, compareText } from './cell.ts';
import { addDays, type DayRange, type UsageDay } from './day.ts';
import { getStream, streamNames } from './streams/catalog.ts';

/** Stands for the whole instance in place of an organization ID, for Losant's own totals. */
export const WHOLE_INSTANCE = '';

/** One stream of one organization, or of the whole instance, on consecutive days: the unit that is requested. */
export interface Slice {
  readonly orgId: string;
  readonly stream: string;
  readonly range: DayRange;
  /** The days of the range that are loaded, newest first. */
  readonly days: readonly UsageDay[];
}

/** Cuts cells into as few slices as possible, newest first, and on the same day in stream order. Pure function. */
export function planSlices(cells: readonly CellKey[]): Slice[] {
  const groups = Map.groupBy(cells, ({ orgId, stream }) => `${orgId} ${stream}`);
  const slices = [...groups.values()].flatMap((group) => {
    const { orgId, stream } = group[0] as CellKey;
    const days = group.map(({ day }) => day).sort((a, b) => compareText(b, a));
    return cutRanges(days, getStream(stream).maxDays).map((part): Slice => ({ orgId, stream, ...part }));
  });
  return slices.sort(
    (a, b) =>
      compareText(b.range.to, a.range.to) ||
      compareText(a.orgId, b.orgId) ||
      streamNames.indexOf(a.stream) - streamNames.indexOf(b.stream),
  );
}

/** Returns the fewest ranges of at most `maxDays` that cover the days, which are newest first. */
function cutRanges(days: readonly UsageDay[], maxDays: number): Pick<Slice, 'range' | 'days'>[] {
  const parts = [];
  let remaining = days;
  while (remaining[0] !== undefined) {
    const to = remaining[0];
    const oldest = addDays(to, 1 - maxDays);
    const partDays = remaining.filter((day) => day >= oldest);
    parts.push({ range: { from: partDays.at(-1) as UsageDay, to }, days: partDays });
    remaining = remaining.slice(partDays.length);
  }
  return parts;
}
