import type { DatabaseHandle } from '../database/open.ts';
import { openInstance } from '../export/context.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import { readDevices, readTrackedCells, type TrackedCell } from '../ledger/tracked-cells.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import { mergeDays, type UsageDay } from '../usage/day.ts';
import type { Ask } from '../usage/plan.ts';
import { horizonStart, lastCompleteDay } from '../usage/policy.ts';
import type { CommandContext } from './command.ts';
import { waitWhileHeld } from './export-instances.ts';
import type { FoundOrg } from './org.ts';

/** What is held of an organization that is to end. */
export interface Ending {
  readonly streams: readonly StreamEnding[];
  /** Tracked numbers that are missing. */
  readonly missing: readonly Pick<TrackedCell, 'stream' | 'day' | 'state' | 'reason'>[];
  readonly devices: { readonly day: UsageDay; readonly total: number } | null;
}

interface StreamEnding {
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

function judgeEnding(cells: readonly TrackedCell[]): Pick<Ending, 'streams' | 'missing'> {
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

interface LastDays {
  readonly handle: DatabaseHandle;
  readonly found: FoundOrg;
  readonly now: () => number;
  readonly giveUpAtMs: number;
}

/**
 * Exports all that is due of the organization, and then what is missing still, or
 * could have another number at a later checkpoint: it is the last time that
 * anybody can read it. Returns how the runs ended.
 */
export async function exportLastDays(context: CommandContext, work: LastDays): Promise<RunOutcome[]> {
  const { handle, found, now } = work;
  const sinceMs = now();
  const outcomes = [await exportOrg(context, work, undefined)];
  const cells = await readTrackedCells(handle.db, { orgId: found.orgId, nowMs: now(), sinceMs });
  const horizon = horizonStart(now(), context.config.policy);
  const open = cells.filter(({ day, isMissing, isOpen }) => day >= horizon && (isMissing || isOpen));
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

/** What is held of the organization, and what is missing. */
export async function readEnding(
  { db }: DatabaseHandle,
  { orgId }: FoundOrg,
  now: () => number,
): Promise<Ending> {
  const nowMs = now();
  const judged = judgeEnding(await readTrackedCells(db, { orgId, nowMs, sinceMs: nowMs }));
  const day = judged.streams.find(({ stream }) => stream === 'device_counts')?.lastDay ?? null;
  const total = day === null ? null : await readDevices(db, { orgId, day });
  return { ...judged, devices: day === null || total === null ? null : { day, total } };
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
    const ranges = mergeDays(alike.map(({ day }) => day));
    return ranges.map((range): Line[] => [showDays(range), stream, reason ?? 'no reason is known']);
  });
  if (rows.length === 0) return [];
  const head = styled('red', `  ${count(missing.length, 'number')} missing:`);
  return [head, ...renderTable({ rows, indent: 4, most: MISSING_SHOWN })];
}
