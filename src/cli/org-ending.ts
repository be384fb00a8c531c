import type { TrackedCell } from '../database/read/tracked-cells.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import { addDays, type DayRange, type UsageDay } from '../usage/day.ts';

/** What is held of an organization that is to end. */
export interface Ending {
  readonly streams: readonly StreamEnding[];
  /** Tracked numbers that are missing. */
  readonly missing: readonly Pick<TrackedCell, 'stream' | 'day' | 'state' | 'reason'>[];
  readonly devices: { readonly day: UsageDay; readonly total: number } | null;
}

export interface StreamEnding {
  readonly stream: string;
  /** Newest day of which the number is held; null if there is none. */
  readonly lastDay: UsageDay | null;
  readonly held: number;
  /** Of those: how many are not final, and never will be. */
  readonly notFinal: number;
  readonly missing: number;
  /** Waived, or no longer available. */
  readonly knownMissing: number;
}

export function judgeEnding(cells: readonly TrackedCell[]): Pick<Ending, 'streams' | 'missing'> {
  const byStream = Map.groupBy(cells, ({ stream }) => stream);
  const streams = [...byStream].map(([stream, own]): StreamEnding => {
    const held = own.filter(({ state }) => state === 'loaded' || state === 'final');
    return {
      stream,
      lastDay: held.at(-1)?.day ?? null,
      held: held.length,
      notFinal: held.filter(({ state }) => state === 'loaded').length,
      missing: own.filter(({ isMissing }) => isMissing).length,
      knownMissing: own.filter(({ state }) => state === 'waived' || state === 'unavailable').length,
    };
  });
  const missing = cells.filter(({ isMissing }) => isMissing);
  return {
    streams,
    missing: missing.map(({ stream, day, state, reason }) => ({ stream, day, state, reason })),
  };
}

/** The oldest readable day that is missing or may have another number by now, up to `yesterday`; null if there is none. */
export function findLastReadable(
  cells: readonly TrackedCell[],
  { horizon, yesterday }: { horizon: UsageDay; yesterday: UsageDay },
): DayRange | null {
  const open = cells.filter(({ day, isMissing, isOpen }) => day >= horizon && (isMissing || isOpen));
  const [from] = open.map(({ day }) => day).toSorted();
  return from === undefined ? null : { from, to: yesterday };
}

/** Lines of missing numbers that are shown; `--json` has all. */
const MISSING_SHOWN = 20;

export function renderEnding({ streams, missing, devices }: Ending, today: UsageDay): Line[] {
  const rows = streams.map((each): Line[] => [
    each.stream,
    ...[each.held, each.notFinal, each.missing, each.knownMissing].map(showNumber),
    each.lastDay ?? 'none',
  ]);
  const head = ['stream', 'held', 'not final', 'missing', 'known missing', 'last day held'];
  const notFinal = streams.reduce((sum, each) => sum + each.notFinal, 0);
  return [
    ...(devices === null ? [] : [`  ${count(devices.total, 'device')} at the end of ${devices.day}`]),
    ...(rows.length === 0
      ? ['  No day of it is tracked.']
      : renderTable({ head, rows, right: [1, 2, 3, 4] })),
    ...renderMissing(missing),
    ...(notFinal === 0
      ? []
      : [
          `  ${count(notFinal, 'number')} held but not final, and never will be: waive them after the run that follows, or their months stay not billable.`,
        ]),
    line`  ${styled('yellow', 'Lost for good')}: the usage of today, ${today}, which is not over and will never be read.`,
  ];
}

function renderMissing(missing: Ending['missing']): Line[] {
  const byCause = Map.groupBy(missing, ({ stream, reason }) => JSON.stringify([stream, reason]));
  const rows = [...byCause.values()].flatMap((alike) => {
    const { stream, reason } = alike[0] as Ending['missing'][number];
    return mergeDays(alike.map(({ day }) => day)).map((range): Line[] => [
      showDays(range),
      stream,
      reason ?? 'no reason is known',
    ]);
  });
  if (rows.length === 0) return [];
  const hidden = rows.length - MISSING_SHOWN;
  return [
    styled('red', `  ${count(missing.length, 'number')} missing:`),
    ...renderTable({ rows: rows.slice(0, MISSING_SHOWN), indent: 4 }),
    ...(hidden > 0 ? [`    and ${count(hidden, 'line')} more (--json has all)`] : []),
  ];
}

/** Neighbouring days, in their order, as one range. */
function mergeDays(days: readonly UsageDay[]): DayRange[] {
  const ranges: { from: UsageDay; to: UsageDay }[] = [];
  for (const day of days) {
    const last = ranges.at(-1);
    if (last && addDays(last.to, 1) === day) last.to = day;
    else ranges.push({ from: day, to: day });
  }
  return ranges;
}
