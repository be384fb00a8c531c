import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { EXIT, exitCodeOf, HeldError, SettingsError, worstExitCode } from '../errors.ts';
import { type Gates, openInstance, type Progress, type RunOptions, readClock } from '../export/context.ts';
import { type PlanSummary, previewRun } from '../export/preview.ts';
import { logRun } from '../export/report.ts';
import { runInstance } from '../export/run.ts';
import { applyTracks } from '../ledger/fill.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { count, showDuration, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseInstances, readInstancesOf } from './instances.ts';
import { openDatabase, openSchema, useDatabase, withDatabase } from './open-database.ts';
import {
  day,
  flag,
  id,
  type OptionValues,
  optional,
  required,
  requirePastDays,
  several,
  stream,
  whole,
} from './options.ts';
import { type InstanceEnd, renderEnd, renderPlan, toDocument } from './run-result.ts';

const scopeOptions = {
  instance: several('ID', 'only these instances', id('instance')),
  org: several('ID', 'only these organizations', id('organization')),
  stream: several('NAME', 'only these streams', stream),
  dryRun: flag('print the plan and change nothing'),
};

type Scope = OptionValues<typeof scopeOptions>;

export const run = defineCommand({
  needs: ['losant', 'database'],
  options: {
    date: optional('YYYY-MM-DD', 'read this day again, due or not', day),
    ...scopeOptions,
    wait: optional('SECONDS', 'wait up to this long for another process', whole(0, 86_400), '0'),
    end: optional('ID', 'end an instance that left the settings with yesterday', id('instance')),
  },
  async run(context, { date, end, wait, ...scope }) {
    if (end !== null) return await endLeftInstance(context, end);
    const range = date === null ? null : { from: date, to: date };
    if (range !== null) requirePastDays(range, ['--date', '--date'], context.hostNow());
    const wanted = { kind: 'manual', range, force: false, streams: scope.stream } as const;
    const request = { wanted, scope, waitMs: (wait ?? 0) * 1_000 };
    // A part cannot show to the monitor that nothing is missing.
    const isPart = [range, scope.instance, scope.org, scope.stream].some((part) => part !== null);
    if (isPart || scope.dryRun) return await exportInstances(context, request);
    return await withHeartbeat(context, () => exportInstances(context, request));
  },
});

export const backfill = defineCommand({
  needs: ['losant', 'database'],
  options: {
    from: required('YYYY-MM-DD', 'first day', day),
    to: optional('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
    ...scopeOptions,
    force: flag('read the days that are stored again'),
  },
  async run(context, { from, to, force, ...scope }) {
    const range = { from, to: to ?? addDays(dayAt(context.hostNow()), -1) };
    requirePastDays(range, ['--from', '--to'], context.hostNow());
    const wanted = { kind: 'backfill', range, force, streams: scope.stream } as const;
    return await exportInstances(context, { wanted, scope, waitMs: Number.POSITIVE_INFINITY });
  },
});

interface ExportRequest {
  /** What each instance is asked for. */
  readonly wanted: Pick<RunOptions, 'kind' | 'range' | 'force' | 'streams'>;
  readonly scope: Scope;
  /** The longest wait for other processes. */
  readonly waitMs: number;
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
async function exportInstances(context: CommandContext, request: ExportRequest): Promise<number> {
  const { instance, stream: streams, dryRun } = request.scope;
  const chosen = chooseByStream(chooseInstances(context.config.instances, instance), streams);
  const giveUpAtMs = context.hostNow() + request.waitMs;
  const handle = dryRun
    ? await openDatabase(context, { ifMissing: 'stand_in' })
    : await openSchema(context, { ifMissing: 'create' });
  return await useDatabase(handle, async () => {
    const now = await readClock(context, handle);
    const work = { ...context, request, handle, now, gates: new Map(), giveUpAtMs };
    const parts = await chooseByOrg(work, chosen);
    if (dryRun) return await printPlans(work, parts);
    const ends: InstanceEnd[] = [];
    for (const part of parts) {
      const { instanceId } = part.instance;
      try {
        ends.push(await exportInstance(work, part));
      } catch (error) {
        // With a single instance its error is the command's, and so is a signal.
        if (context.signal.aborted || parts.length === 1) throw error;
        context.logger.error({ err: error, instance_id: instanceId }, 'instance not exported');
        ends.push({ instanceId, error });
      }
    }
    context.output.print(...ends.flatMap(renderEnd));
    printDocuments(context, ends.map(toDocument));
    return worstExitCode(ends.map(exitCodeOfEnd));
  });
}

function printDocuments({ output }: CommandContext, documents: readonly unknown[]): void {
  output.printJson(documents.length === 1 ? documents[0] : documents);
}

/** Returns the instances whose settings name one of the streams; all if none does, as a track may have ended. */
function chooseByStream(instances: readonly InstanceConfig[], wanted: readonly string[] | null) {
  const own = instances.filter(({ streams }) => wanted?.some((each) => streams.includes(each)) ?? true);
  return own.length === 0 ? instances : own;
}

/** An instance with the organizations that were named; null for all. */
interface Part {
  readonly instance: InstanceConfig;
  readonly orgIds: readonly string[] | null;
}

/**
 * Returns the instances that have the organizations that were named, by the database, and all instances if none was
 * named. A single instance is asked for any organization. Throws SettingsError for one that no instance has.
 */
async function chooseByOrg(
  { request, handle }: ExportWork,
  chosen: readonly InstanceConfig[],
): Promise<readonly Part[]> {
  const { org: wanted } = request.scope;
  if (wanted === null || chosen.length === 1) {
    return chosen.map((instance) => ({ instance, orgIds: wanted }));
  }
  const isEmpty = (await readSchemaState(handle)).state === 'empty';
  const found = isEmpty ? new Map<string, string>() : await readInstancesOf(handle.db, wanted);
  const parts = chosen.map((instance) => {
    return { instance, orgIds: wanted.filter((each) => found.get(each) === instance.instanceId) };
  });
  const unknown = wanted.filter((each) => parts.every(({ orgIds }) => !orgIds.includes(each)));
  if (unknown.length === 0) return parts.filter(({ orgIds }) => orgIds.length > 0);
  throw new SettingsError(`--org ${unknown.join(', ')}: not known of any of ${chosen.length} instances`, {
    hint: 'check the id; of an organization that was never listed, name the instance with --instance',
  });
}

async function exportInstance(work: ExportWork, { instance, orgIds }: Part): Promise<InstanceEnd> {
  const { output, signal, logger, request, handle, hostNow, giveUpAtMs } = work;
  const { instanceId } = instance;
  try {
    const outcome = await runInstance(openInstance(work, instance, work), {
      ...request.wanted,
      runId: work.newId(),
      orgIds,
      signal,
      waitMs: Math.max(0, giveUpAtMs - hostNow()),
      onHeld: ({ message, cellsLeft }) => {
        const left = `it still has ${count(cellsLeft, 'number')} to read, which include these`;
        const due = `${count(cellsLeft, 'number')} due`;
        output.remark(`${message}; waiting (${request.wanted.kind === 'backfill' ? left : due})`);
      },
      onProgress: createProgress(work),
    });
    // On a terminal the result says the same, unless the log is asked for.
    if (!output.isTerminal || logger.isLevelEnabled('info')) logRun(logger, instanceId, outcome);
    return { instanceId, outcome };
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  }
}

const PROGRESS_EVERY_MS = 10_000;

/** Says at times what is done of what is due so far, which may still grow; nothing with `--json`. */
function createProgress({ output, hostNow }: CommandContext): (progress: Progress) => void {
  const startedAtMs = hostNow();
  let shownAtMs = startedAtMs;
  return ({ planned, done }) => {
    const nowMs = hostNow();
    if (output.json || done === 0 || nowMs - shownAtMs < PROGRESS_EVERY_MS) return;
    shownAtMs = nowMs;
    const total = Math.max(done, planned);
    const left = showDuration(((total - done) * (nowMs - startedAtMs)) / done);
    output.remark(`${showNumber(done)} of ${count(total, 'number')} done, about ${left} left`);
  };
}

function exitCodeOfEnd(end: InstanceEnd): number {
  if ('error' in end) return exitCodeOf(end.error);
  const { report, refusal } = end.outcome;
  if (refusal) return EXIT.refused;
  return report.status === 'complete' ? EXIT.ok : EXIT.incomplete;
}

async function withHeartbeat(
  { config, logger, signal }: CommandContext,
  work: () => Promise<number>,
): Promise<number> {
  const heartbeat = createHeartbeat({ url: config.heartbeatUrl, logger }).begin();
  try {
    const exitCode = await work();
    await heartbeat.end(exitCode === EXIT.ok);
    return exitCode;
  } catch (error) {
    // Another process at work reports its own end, and a signal is no failure.
    if (!(error instanceof HeldError) && !signal.aborted) await heartbeat.end(false);
    throw error;
  }
}

/** Prints what would be read. Writes nothing. */
async function printPlans(work: ExportWork, parts: readonly Part[]): Promise<number> {
  const { output, signal, request } = work;
  const plans: PlanSummary[] = [];
  for (const { instance, orgIds } of parts) {
    const opened = openInstance(work, instance, work);
    const plan = await previewRun(opened, { ...request.wanted, orgIds, signal });
    plans.push(plan);
    output.print(...renderPlan(plan, instance.requestsPerSecond));
  }
  printDocuments(work, plans);
  return EXIT.ok;
}

/** Ends the tracks of an instance that is no longer in the settings. What was wanted stays on record. */
async function endLeftInstance(context: CommandContext, instanceId: string): Promise<number> {
  const { config, output, hostNow } = context;
  if (config.instances.some((each) => each.instanceId === instanceId)) {
    throw new SettingsError(`--end ${instanceId}: this instance is in the settings`, {
      hint: 'take it out of them first, or leave out --end',
    });
  }
  const nothing = { streams: [], selection: { kind: 'ids', orgIds: [] } } as const;
  const ending = { instanceId, nowMs: hostNow(), policy: config.policy, ...nothing };
  const work = ({ db }: DatabaseHandle) => applyTracks(db, { lease: null }, ending);
  await withDatabase(context, work, { writes: true });
  output.printJson({ instanceId });
  output.print(`Instance ${instanceId} has ended with yesterday. Its numbers stay.`);
  return EXIT.ok;
}
