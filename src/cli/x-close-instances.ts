import { type CloseOutcome, closePeriod } from '../billing/close.ts';
import type { DatabaseHandle } from '../database/connect/handle.ts';
import { describeError, SettingsError } from '../errors.ts';
import { EXIT, worstExitCode } from '../exit.ts';
import type { Month } from '../usage/period.ts';
import { renderFailure, renderOutcome, toDocument } from './close.ts';
import type { CommandContext } from './command.ts';
import { chooseBilledInstances } from './instances.ts';

export interface CloseOptions {
  readonly month: Month;
  readonly instance: readonly string[] | null;
  readonly reason: string | null;
  readonly isAdjustment: boolean;
  readonly isDryRun: boolean;
}

/** Closes the month of each instance by itself: what is wrong with one does not stop another. */
export async function closeInstances(
  context: CommandContext,
  handle: DatabaseHandle,
  options: CloseOptions,
): Promise<number> {
  const { output, newId, signal } = context;
  const instances = await chooseBilledInstances(context, handle, options.instance);
  const documents: object[] = [];
  const codes: number[] = [];
  for (const instance of instances) {
    try {
      const outcome = await closePeriod(handle, instance, { ...options, newId, signal });
      codes.push(exitCodeOfOutcome(outcome));
      documents.push(toDocument(instance, outcome));
      if (!output.json) output.print(...renderOutcome(instance, outcome, options));
    } catch (error) {
      if (!(error instanceof SettingsError) || instances.length === 1) throw error;
      codes.push(EXIT.usage);
      documents.push({ instanceId: instance.instanceId, outcome: 'failed', error: describeError(error) });
      if (!output.json) output.print(...renderFailure(error));
    }
  }
  if (output.json) output.printJson({ period: options.month, instances: documents });
  return worstExitCode(codes);
}

function exitCodeOfOutcome({ kind }: CloseOutcome): number {
  return kind === 'refused' ? EXIT.incomplete : EXIT.ok;
}
