import type { DayRange } from '../usage/day.ts';
import { SettingsError } from '../errors.ts';
import type { CommandContext } from './command.ts';
import { exportInstances } from './export.ts';
import { type ExportRequest, requirePastDay } from './request.ts';

export interface BackfillCommandOptions
  extends Pick<ExportRequest, 'orgIds' | 'streams' | 'dryRun' | 'waitSeconds' | 'rate'> {
  readonly range: DayRange;
  readonly force: boolean;
  readonly pastHorizon: boolean;
}

/** `backfill`: reads a range of days, skipping what is held unless it is due or forced. */
export async function backfillCommand(
  context: CommandContext,
  { range, force, pastHorizon, ...request }: BackfillCommandOptions,
): Promise<number> {
  if (range.from > range.to) {
    throw new SettingsError(`--from ${range.from} is later than --to ${range.to}`, {
      hint: 'give the earlier day first; both are included',
    });
  }
  requirePastDay('--to', range.to, context.hostNow());
  return await exportInstances(context, {
    ...request,
    kind: 'backfill',
    ask: { range, reason: 'backfill', force, pastHorizon },
  });
}
