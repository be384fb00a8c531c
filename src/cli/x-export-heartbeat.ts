import { HeldError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import type { CommandContext } from './command.ts';
import type { ExportRequest } from './x-export-request.ts';

/** Tells the monitor how a run goes. Only one over everything can say that nothing is missing: of a part it hears nothing. */
export async function withHeartbeat(
  context: CommandContext,
  { instance, org, stream, shard, dryRun }: Omit<ExportRequest, 'kind' | 'ask'>,
  run: () => Promise<number>,
): Promise<number> {
  if (dryRun || [instance, org, stream, shard].some((part) => part !== null)) return await run();
  const { config, logger } = context;
  const heartbeat = createHeartbeat({ url: config.heartbeatUrl, logger }).begin();
  try {
    const exitCode = await run();
    await heartbeat.end(exitCode === EXIT.ok);
    return exitCode;
  } catch (error) {
    // Another process at work says itself how it ends, and a signal is no failure.
    if (!(error instanceof HeldError) && !context.signal.aborted) await heartbeat.end(false);
    throw error;
  }
}
