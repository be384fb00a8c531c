import type { UsageDay } from '../day.ts';
import type { Ask } from '../sync/plan.ts';
import type { CommandContext } from './command.ts';
import { exportInstances } from './export.ts';
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
  if (date === undefined) return await exportInstances(context, { ...request, kind: 'manual' });
  requirePastDay('--date', date, context.hostNow());
  const range = { from: date, to: date };
  const ask: Ask = { range, reason: 'asked', force: true, pastHorizon: false };
  return await exportInstances(context, { ...request, kind: 'manual', ask });
}
