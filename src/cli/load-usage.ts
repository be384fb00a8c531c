/** What `run` and `backfill` do. */
import type { DatabaseHandle } from '../database/handle.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { BusyError, EXIT } from '../errors.ts';
import type { Progress } from '../ledger/runs.ts';
import { createRunContext, type RunOptions, readClock } from '../loading/context.ts';
import { previewRun } from '../loading/preview.ts';
import { logRun, NEXT_RUN_CONTINUES } from '../loading/report.ts';
import { runOnce } from '../loading/run.ts';
import { Gate } from '../losant/rate.ts';
import { count, showDuration, showNumber } from '../terminal/words.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import type { CommandContext, CommandResult } from './command.ts';
import { openSchema } from './database.ts';
import type { OptionValues, selectionOptions } from './options.ts';
import { renderPlan, renderRun } from './render-run.ts';

export interface LoadRequest extends Pick<RunOptions, 'kind' | 'range' | 'force'> {
  readonly selection: OptionValues<typeof selectionOptions>;
  readonly waitMs: number;
  readonly sendsHeartbeat: boolean;
}

/** Loads usage, or only plans it. Throws only if nothing could start, or on a signal. */
export async function loadUsage(context: CommandContext, request: LoadRequest): Promise<CommandResult> {
  const { config, logger, role } = context;
  const { dryRun } = request.selection;
  const heartbeat = createHeartbeat({ url: request.sendsHeartbeat ? config.heartbeatUrl : null, logger });
  try {
    await using handle = await openSchema(context, dryRun ? 'plans' : 'creates');
    const work = dryRun ? planUsage(context, request, handle) : executeRun(context, request, handle);
    const result = await work.catch((error: unknown) => {
      throw describeDatabaseError(error, { where: handle.label, role, nextStep: NEXT_RUN_CONTINUES }) ?? error;
    });
    await heartbeat.send(result.exitCode === EXIT.ok);
    return result;
  } catch (error) {
    // The process that has the lease sends its own heartbeat.
    const isBusy = error instanceof BusyError && error.kind === 'lease_busy';
    if (!isBusy) await heartbeat.send(false);
    throw error;
  }
}

async function executeRun(context: CommandContext, request: LoadRequest, handle: DatabaseHandle) {
  const { output, signal, logger, config, hostNow, newId } = context;
  const { kind, range, force, waitMs, selection } = request;
  const setup = { ...context, handle, readNow: () => readClock(context, handle), gate: new Gate(config) };
  const outcome = await runOnce(setup, {
    kind,
    range,
    force,
    waitMs,
    orgIds: selection.org,
    streams: selection.stream,
    runId: newId(),
    signal,
    onBusy: ({ message, cellsLeft }) => {
      output.remark(`${message}; waiting (it still has ${count(cellsLeft, 'cell')} to read)`);
    },
    onProgress: output.json ? undefined : createProgress((text) => output.remark(text), hostNow),
  });
  // On a terminal the result says the same, unless the operator has set a log level.
  if (!output.isTerminal || logger.isLevelEnabled('info')) logRun(logger, outcome);
  const { report, rejection } = outcome;
  const exitCode = report.status === 'complete' ? EXIT.ok : EXIT.incomplete;
  return { document: report, lines: renderRun(outcome, range), exitCode: rejection ? EXIT.rejected : exitCode };
}

async function planUsage(context: CommandContext, request: LoadRequest, handle: DatabaseHandle) {
  const { config, signal } = context;
  const { kind, range, force, selection } = request;
  const now = await readClock(context, handle);
  const run = createRunContext({ ...context, handle, now, gate: new Gate(config) });
  const options = { kind, range, force, orgIds: selection.org, streams: selection.stream, signal };
  const plan = await previewRun(run, options);
  return { document: plan, lines: renderPlan(plan, config.requestsPerSecond), exitCode: EXIT.ok };
}

const PROGRESS_INTERVAL_MS = 10_000;

/**
 * Reports now and then how many of the due cells are done; their number may still grow. The time that is left goes by
 * the pace since the last report, because a request reads a month of one stream, but only a day of another.
 */
export function createProgress(remark: (text: string) => void, hostNow: () => number) {
  let last = { atMs: hostNow(), readCells: 0 };
  return ({ plannedCells, readCells }: Pick<Progress, 'plannedCells' | 'readCells'>) => {
    const [nowMs, cells] = [hostNow(), readCells - last.readCells];
    if (cells === 0 || nowMs - last.atMs < PROGRESS_INTERVAL_MS) return;
    const total = Math.max(readCells, plannedCells);
    const remaining = showDuration(((total - readCells) * (nowMs - last.atMs)) / cells);
    last = { atMs: nowMs, readCells };
    remark(`${showNumber(readCells)} of ${count(total, 'cell')} done, about ${remaining} left`);
  };
}
