import type { DatabaseHandle } from '../database/open.ts';
import { openInstance } from '../export/context.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import { type OrgCell, readDevices, readOrgCells } from '../queries/gaps.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import { mergeDays, type UsageDay } from '../usage/day.ts';
import type { Ask } from '../usage/plan.ts';
import { horizonStart, lastCompleteDay } from '../usage/policy.ts';
import { isGap } from '../usage/standing.ts';
import type { CommandContext } from './command.ts';
import { waitWhileHeld } from './export-instances.ts';
import type { FoundOrg } from './org.ts';

/** The stored numbers of an organization that is to be deleted. */
export interface Ending {
  readonly streams: readonly StreamEnding[];
  /** The tracked numbers that are missing, in doubt or waiting. */
  readonly missing: readonly Pick<OrgCell, 'stream' | 'day' | 'standing' | 'reason' | 'message'>[];
  readonly devices: { readonly day: UsageDay; readonly total: number } | null;
}

interface StreamEnding {
  readonly stream: string;
  /** The newest day whose number is stored; null if there is none. */
  readonly lastDay: UsageDay | null;
  readonly stored: number;
  /** The number of those that are not final and never will be. */
  readonly notFinal: number;
  readonly missing: number;
  /** The number of cells accepted without a number, or no longer available. */
  readonly knownMissing: number;
}

function judgeEnding(cells: readonly OrgCell[]): Pick<Ending, 'streams' | 'missing'> {
  const byStream = Map.groupBy(cells, ({ stream }) => stream);
  const streams = [...byStream].map(([stream, own]): StreamEnding => {
    const stored = own.filter(({ isStored }) => isStored);
    return {
      stream,
      lastDay: stored.at(-1)?.day ?? null,
      stored: stored.length,
      notFinal: stored.filter(({ standing }) => standing === 'stored').length,
      missing: own.filter(isMissing).length,
      knownMissing: own.filter(({ isStored, ...cell }) => !isStored && !isMissing(cell)).length,
    };
  });
  const missing = cells.filter(isMissing).map(({ stream, day, standing, reason, message }) => {
    return { stream, day, standing, reason, message };
  });
  return { streams, missing };
}

/** Whether the number is a gap, or would be one once it is late. */
function isMissing({ standing }: Pick<OrgCell, 'standing'>): boolean {
  return isGap(standing) || standing === 'waiting';
}

interface LastDays {
  readonly handle: DatabaseHandle;
  readonly found: FoundOrg;
  readonly now: () => number;
  readonly giveUpAtMs: number;
}

/**
 * `exportLastDays` exports everything due of the organization, and then what is still missing or could change at a
 * later checkpoint, because it cannot be read after the deletion. Returns the outcomes of the runs.
 */
export async function exportLastDays(context: CommandContext, work: LastDays): Promise<RunOutcome[]> {
  const { handle, found, now } = work;
  const sinceMs = now();
  const outcomes = [await exportOrg(context, work, undefined)];
  const cells = await readOrgCells(handle.db, found.orgId);
  const horizon = horizonStart(now(), context.config.policy);
  const open = cells.filter((cell) => {
    const isOlder = cell.verifiedAt === null || Date.parse(cell.verifiedAt) < sinceMs;
    return cell.day >= horizon && (isMissing(cell) || (cell.isReadAgain && isOlder));
  });
  const [from] = open.map(({ day }) => day).toSorted();
  if (from === undefined) return outcomes;
  const range = { from, to: lastCompleteDay(now()) };
  const ask = { range, reason: 'asked', force: true, pastHorizon: false } as const;
  return [...outcomes, await exportOrg(context, work, ask)];
}

async function exportOrg(
  context: CommandContext,
  { handle, found, now, giveUpAtMs }: LastDays,
  ask: Ask | undefined,
): Promise<RunOutcome> {
  const { instance, orgId } = found;
  const opened = openInstance(context, instance, { handle, now, gates: new Map() });
  const { streams } = instance;
  const { signal } = context;
  return await waitWhileHeld(context, giveUpAtMs, () => {
    const runId = context.newId();
    return runInstance(opened, { kind: 'manual', ask, orgIds: [orgId], streams, runId, signal });
  });
}

/** `readEnding` returns the stored and the missing numbers of the organization. */
export async function readEnding({ db }: DatabaseHandle, { orgId }: FoundOrg): Promise<Ending> {
  const judged = judgeEnding(await readOrgCells(db, orgId));
  const day = judged.streams.find(({ stream }) => stream === 'device_counts')?.lastDay ?? null;
  const total = day === null ? null : await readDevices(db, { orgId, day });
  return { ...judged, devices: day === null || total === null ? null : { day, total } };
}

/** The number of lines of missing numbers that are shown; `--json` has all. */
const MISSING_SHOWN = 20;

export function renderEnding({ streams, missing, devices }: Ending, today: UsageDay): Line[] {
  const rows = streams.map((each): Line[] => [
    each.stream,
    ...[each.stored, each.notFinal, each.missing, each.knownMissing].map(showNumber),
    each.lastDay ?? 'none',
  ]);
  const head = ['stream', 'stored', 'not final', 'missing', 'accepted or unavailable', 'last day stored'];
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
          `  ${count(notFinal, 'number')} stored but not final, and never will be: waive them after the run that follows, or their months stay not billable.`,
        ]),
    line`  ${styled('yellow', 'Lost for good')}: the usage of today, ${today}, which is not over and will never be read.`,
  ];
}

function renderMissing(missing: Ending['missing']): Line[] {
  const byCause = Map.groupBy(missing, ({ stream, reason, message }) =>
    JSON.stringify([stream, reason, message]),
  );
  const rows = [...byCause.values()].flatMap((alike) => {
    const { stream, message } = alike[0] as Ending['missing'][number];
    const ranges = mergeDays(alike.map(({ day }) => day));
    return ranges.map((range): Line[] => [showDays(range), stream, message]);
  });
  if (rows.length === 0) return [];
  const head = styled('red', `  ${count(missing.length, 'number')} missing:`);
  return [head, ...renderTable({ rows, indent: 4, most: MISSING_SHOWN })];
}
