import type { UsageDay } from '../usage/day.ts';
import { HeldError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import type { Ask } from '../usage/plan.ts';
import type { CommandContext } from './command.ts';
import { exportInstances } from './export.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import { type ExportRequest, requirePastDay } from './request.ts';

export interface RunCommandOptions
  extends Pick<ExportRequest, 'orgIds' | 'streams' | 'dryRun' | 'waitSeconds'> {
  /** This day again, due or not; undefined: all that is due. */
  readonly date: UsageDay | undefined;
}

/** `run`: exports now what is due, or reads one day again. */
export async function runCommand(
  context: CommandContext,
  { date, ...request }: RunCommandOptions,
): Promise<number> {
  if (date === undefined) return await runWithHeartbeat(context, request);
  requirePastDay('--date', date, context.hostNow());
  const range = { from: date, to: date };
  const ask: Ask = { range, reason: 'asked', force: true, pastHorizon: false };
  return await exportInstances(context, { ...request, kind: 'manual', ask });
}

/** Only a run over everything can say that nothing is missing: a part of it tells the monitor nothing. */
async function runWithHeartbeat(
  context: CommandContext,
  request: Omit<RunCommandOptions, 'date'>,
): Promise<number> {
  const run = () => exportInstances(context, { ...request, kind: 'manual' });
  if (request.orgIds !== null || request.streams !== null || request.dryRun) return await run();
  const { config, logger } = context;
  const pulse = createHeartbeat({ url: config.heartbeatUrl, logger }).beginPass();
  try {
    const exitCode = await run();
    await pulse.end(exitCode === EXIT.ok);
    return exitCode;
  } catch (error) {
    // Another process at work says itself how it ends, and a signal is no failure.
    if (!(error instanceof HeldError) && !context.signal.aborted) await pulse.end(false);
    throw error;
  }
}
