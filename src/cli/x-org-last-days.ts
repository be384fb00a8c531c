import type { DatabaseHandle } from '../database/connect/open.ts';
import { readDevices, readTrackedCells } from '../database/read/tracked-cells.ts';
import { openInstance } from '../export/open.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import type { Ask } from '../usage/plan.ts';
import { horizonStart, lastCompleteDay } from '../usage/policy.ts';
import type { CommandContext } from './command.ts';
import type { FoundOrg } from './org.ts';
import { type Ending, findLastReadable, judgeEnding } from './org-ending.ts';
import { waitWhileHeld } from './x-export-wait.ts';

export interface LastDays {
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
  const range = findLastReadable(cells, { horizon, yesterday: lastCompleteDay(now()) });
  if (range === null) return outcomes;
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
