import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { EXIT, exitCodeOf, HeldError, LosantError, SettingsError, worstExitCode } from '../errors.ts';
import { type Gates, type Held, openInstance, type RunOptions, readClock } from '../export/context.ts';
import { type PlanSummary, previewRun } from '../export/preview.ts';
import { logRun } from '../export/report.ts';
import { runInstance } from '../export/run.ts';
import { endInstance } from '../ledger/fill.ts';
import { getOrg } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { createProgress } from '../terminal/progress.ts';
import { line, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import type { CommandContext } from './command.ts';
import { type InstanceEnd, printEnds, renderPlan } from './export-result.ts';
import { chooseInstances, readInstancesOf } from './instances.ts';
import { openDatabase, openSchema, useDatabase, withDatabase } from './open-database.ts';

/** The scope of an export, as the command line gives it. */
export interface ScopeOptions {
  readonly instance: readonly string[] | null;
  readonly org: readonly string[] | null;
  readonly stream: readonly string[] | null;
  readonly dryRun: boolean;
  readonly verbose: boolean;
}

export interface ExportRequest extends ScopeOptions, Pick<RunOptions, 'range' | 'force' | 'waitMs'> {
  readonly kind: 'manual' | 'backfill';
}

/** What all instances of a command work with. */
interface ExportWork extends CommandContext {
  readonly request: ExportRequest;
  readonly handle: DatabaseHandle;
  readonly now: () => number;
  readonly gates: Gates;
  /** The time until which the command waits for other processes. */
  readonly giveUpAtMs: number;
}

/** Exports one instance after the other. Throws only if nothing could begin, or on a signal. */
export async function exportInstances(context: CommandContext, request: ExportRequest): Promise<number> {
  const chosen = chooseByStream(chooseInstances(context.config.instances, request.instance), request.stream);
  const giveUpAtMs = context.hostNow() + (request.waitMs ?? Number.POSITIVE_INFINITY);
  const handle = request.dryRun
    ? await openDatabase(context, { ifMissing: 'stand_in' })
    : await waitForFolder(context, giveUpAtMs, () => openSchema(context, { ifMissing: 'create' }));
  return await useDatabase(handle, async () => {
    const now = await readClock(context, handle);
    const work = { ...context, request, handle, now, gates: new Map(), giveUpAtMs };
    const { scopes, failed } = await chooseByOrg(work, chosen);
    if (request.dryRun) return await printPlans(work, scopes);
    const ends: InstanceEnd[] = [...failed];
    for (const { instance, orgIds } of scopes) {
      const { instanceId } = instance;
      try {
        ends.push(await exportInstance(work, instance, orgIds));
      } catch (error) {
        // With a single instance its error is the command's, and so is a signal.
        if (context.signal.aborted || scopes.length + failed.length === 1) throw error;
        const fields = { err: error, instance_id: instanceId };
        if (!context.isSummaryEnough) context.logger.error(fields, 'instance not exported');
        ends.push({ instanceId, error });
      }
    }
    printEnds(context, ends, request.verbose);
    return worstExitCode(ends.map(exitCodeOfEnd));
  });
}

/** Returns the instances whose settings name one of the streams; all if none does, as a track may have ended. */
function chooseByStream(instances: readonly InstanceConfig[], wanted: readonly string[] | null) {
  const own = instances.filter(({ streams }) => wanted?.some((each) => streams.includes(each)) ?? true);
  return own.length === 0 ? instances : own;
}

interface Scope {
  readonly instance: InstanceConfig;
  readonly orgIds: readonly string[] | null;
}

/**
 * Returns the instances that have the organizations that were named, each with its own: by the database, and by asking
 * Losant for those that it lacks. An instance that cannot be asked is in `failed`. All instances if none was named.
 * Throws SettingsError for an organization that none has, unless an instance could not be asked.
 */
async function chooseByOrg(
  work: ExportWork,
  chosen: readonly InstanceConfig[],
): Promise<{ readonly scopes: readonly Scope[]; readonly failed: readonly InstanceEnd[] }> {
  const { request, handle, signal } = work;
  const { org: wanted } = request;
  if (wanted === null || chosen.length === 1) {
    return { scopes: chosen.map((instance) => ({ instance, orgIds: wanted })), failed: [] };
  }
  const isEmpty = (await readSchemaState(handle)).state === 'empty';
  const found = new Map(isEmpty ? [] : await readInstancesOf(handle.db, wanted));
  const failed = new Map<string, unknown>();
  const ids = chosen.map(({ instanceId }) => instanceId);
  for (const orgId of wanted.filter((each) => !ids.includes(found.get(each) ?? ''))) {
    for (const instance of chosen.filter(({ instanceId }) => !failed.has(instanceId))) {
      try {
        await getOrg(openInstance(work, instance, work).client, { ...instance, orgId, signal });
        found.set(orgId, instance.instanceId);
      } catch (error) {
        if (signal.aborted) throw error;
        if (!(error instanceof LosantError && error.kind === 'not_found'))
          failed.set(instance.instanceId, error);
      }
    }
  }
  const unknown = wanted.filter((each) => !ids.includes(found.get(each) ?? ''));
  if (unknown.length > 0 && failed.size === 0) {
    throw new SettingsError(`--org ${unknown.join(', ')}: of none of ${chosen.length} instances`, {
      hint: 'check the id, and LOSANT_ORG_IDS, which says which organizations are exported',
    });
  }
  const scopes = chosen.map((instance) => {
    return { instance, orgIds: wanted.filter((each) => found.get(each) === instance.instanceId) };
  });
  return {
    scopes: scopes.filter(({ instance, orgIds }) => orgIds.length > 0 && !failed.has(instance.instanceId)),
    failed: [...failed].map(([instanceId, error]) => ({ instanceId, error })),
  };
}

async function exportInstance(
  work: ExportWork,
  instance: InstanceConfig,
  orgIds: readonly string[] | null,
): Promise<InstanceEnd> {
  const { output, signal, logger, request, handle, hostNow, giveUpAtMs } = work;
  const { instanceId } = instance;
  const opened = openInstance(work, instance, work);
  const progress = createProgress(work, 'number');
  try {
    const outcome = await runInstance(opened, {
      kind: request.kind,
      runId: work.newId(),
      orgIds,
      streams: request.stream,
      range: request.range,
      force: request.force,
      signal,
      waitMs: Math.max(0, giveUpAtMs - hostNow()),
      onHeld: ({ message, cellsLeft }: Held) => {
        const left = `it still has ${count(cellsLeft, 'number')} to read, which include these`;
        const plain = `${count(cellsLeft, 'number')} due`;
        output.remark(`${message}; waiting (${request.kind === 'backfill' ? left : plain})`);
        logger.info(
          { instance_id: instanceId, cells_left: cellsLeft, reason: message },
          'waiting for the lease',
        );
      },
      onProgress: progress.show,
    });
    // A line of the log that is written while the bar is drawn would be mixed with it.
    progress.stop();
    if (!work.isSummaryEnough) logRun(logger, instanceId, outcome);
    return { instanceId, outcome };
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  } finally {
    progress.stop();
  }
}

function exitCodeOfEnd(end: InstanceEnd): number {
  if ('error' in end) return exitCodeOf(end.error);
  const { report, refusal } = end.outcome;
  if (refusal) return EXIT.refused;
  return report.status === 'complete' ? EXIT.ok : EXIT.incomplete;
}

/** The interval at which a held folder is tried again. */
const WAIT_STEP_MS = 1_000;

/** Retries `open` while another process has the embedded folder, until `giveUpAtMs`. */
async function waitForFolder<T>(
  { hostNow, signal, output }: CommandContext,
  giveUpAtMs: number,
  open: () => Promise<T>,
): Promise<T> {
  let hasSaid = false;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof HeldError) || hostNow() >= giveUpAtMs) throw error;
      if (!hasSaid) output.remark(`${error.message}; waiting`);
      hasSaid = true;
      await sleep(WAIT_STEP_MS, undefined, { signal });
    }
  }
}

/** Reports a run over everything to the monitor: a part cannot show that nothing is missing. */
export async function withHeartbeat(
  { config, logger, signal }: CommandContext,
  { instance, org, stream, dryRun }: ScopeOptions,
  run: () => Promise<number>,
): Promise<number> {
  if (dryRun || [instance, org, stream].some((part) => part !== null)) return await run();
  const heartbeat = createHeartbeat({ url: config.heartbeatUrl, logger }).begin();
  try {
    const exitCode = await run();
    await heartbeat.end(exitCode === EXIT.ok);
    return exitCode;
  } catch (error) {
    // Another process at work reports its own end, and a signal is no failure.
    if (!(error instanceof HeldError) && !signal.aborted) await heartbeat.end(false);
    throw error;
  }
}

/** Prints what would be read. Writes nothing. */
async function printPlans(work: ExportWork, scopes: readonly Scope[]): Promise<number> {
  const { output, signal, request } = work;
  const { kind, range, force, stream } = request;
  const plans: PlanSummary[] = [];
  for (const { instance, orgIds } of scopes) {
    const opened = openInstance(work, instance, work);
    const plan = await previewRun(opened, { kind, orgIds, streams: stream, range, force, signal });
    plans.push(plan);
    output.print(...renderPlan(plan, instance.requestsPerSecond));
  }
  output.printJson(plans.length === 1 ? plans[0] : plans);
  return EXIT.ok;
}

/** Ends the tracks of an instance that is no longer in the settings. What was wanted stays on record. */
export async function endLeftInstance(context: CommandContext, instanceId: string): Promise<number> {
  const { config, output, hostNow } = context;
  if (config.instances.some((each) => each.instanceId === instanceId)) {
    throw new SettingsError(`--end ${instanceId}: this instance is in the settings`, {
      hint: 'take it out of them first, or leave out --end',
    });
  }
  const tracks = await withDatabase(context, ({ db }) => endInstance(db, instanceId, hostNow()), {
    writes: true,
  });
  output.printJson({ instanceId, tracks });
  if (tracks === 0) output.print(`Nothing of instance ${instanceId} was going on.`);
  else {
    const name = styled('bold', instanceId);
    output.print(
      line`Ended with yesterday: ${count(tracks, 'track')} of instance ${name}. Its numbers stay.`,
    );
  }
  return EXIT.ok;
}
