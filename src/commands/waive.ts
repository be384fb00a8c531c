import type { DayRange } from '../usage/day.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { waiveCells } from '../database/write/waive.ts';
import { type CommandContext, printJson } from './command.ts';
import { withDatabase } from './read.ts';
import { requirePastDay } from './request.ts';

export interface WaiveOptions {
  readonly orgId: string;
  readonly stream: string;
  readonly range: DayRange;
  readonly reason: string;
}

/** `waive`: accepts numbers as known missing, so that they are no gaps; the next good read lifts it. */
export async function waiveCommand(
  context: CommandContext,
  { orgId, stream, range, reason }: WaiveOptions,
): Promise<number> {
  const { output, hostNow } = context;
  requirePastDay('--day', range.to, hostNow());
  if (reason.trim() === '') {
    throw new SettingsError('--reason is empty', {
      hint: 'say why the number will not come, for whoever bills',
    });
  }
  const days = await withDatabase(context, ({ db }) =>
    waiveCells(db, { orgId, stream, range, reason: reason.trim() }),
  );
  if (output.json) printJson(output, { orgId, stream, days, reason: reason.trim() });
  else output.write(`Waived ${stream} of ${orgId} for ${days.join(', ')}. A good read lifts it.\n`);
  return EXIT.ok;
}
