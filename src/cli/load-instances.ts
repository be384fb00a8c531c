/** What `run` and `backfill` do. */
import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { BusyError, describeError, EXIT, exitCodeOf, SettingsError, worstExitCode } from '../errors.ts';
import type { Progress } from '../ledger/runs.ts';
import { createInstanceContext, type Rates, type RunOptions, readClock } from '../loading/context.ts';
import { previewRun } from '../loading/preview.ts';
import { logRun, NEXT_RUN_CONTINUES } from '../loading/report.ts';
import { runInstance } from '../loading/run.ts';
import type { InstanceConfig } from '../settings/config.ts';
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

interface LoadContext extends CommandContext, LoadRequest {
  readonly handle: DatabaseHandle;
  readonly readNow: () => Promise<() => number>;
  readonly rates: Rates;
  /** The host's time until which the command waits for other processes. */
  readonly giveUpAtMs: number;
}

/**
 * Loads one instance after the other, or only plans it. Throws only if nothing could start, or on a signal. The
 * heartbeat is that of the instances that this process runs: the process that runs another one sends its own.
 */
export async function loadInstances(context: CommandContext, request: LoadRequest): Promise<CommandResult> {
  const { config, logger } = context;
  const heartbeat = createHeartbeat({ url: request.sendsHeartbeat ? config.heartbeatUrl : null, logger });
  try {
    const { reportedCodes, ...result } = await loadInTurn(context, request);
    if (reportedCodes.length > 0) await heartbeat.send(reportedCodes.every((code) => code === EXIT.ok));
    return result;
  } catch (error) {
    if (!isBusy(error)) await heartbeat.send(false);
    throw error;
  }
}

/** Returns the result with the exit codes of the instances that no other process runs. */
async function loadInTurn(context: CommandContext, request: LoadRequest) {
  const { output, signal, logger, role } = context;
  const { dryRun } = request.selection;
  const candidates = selectCandidates(context.config.instances, request.selection);
  const giveUpAtMs = context.hostNow() + request.waitMs;
  await using handle = await openSchema(context, dryRun ? 'plans' : 'creates');
  const readNow = () => readClock(context, handle);
  const loading: LoadContext = { ...context, ...request, handle, readNow, rates: new Map(), giveUpAtMs };
  const scopes = await assignOrgs(loading, candidates);
  const results: (Required<CommandResult> & { readonly isRunElsewhere?: boolean })[] = [];
  for (const scope of scopes) {
    const { instanceId } = scope.instance;
    const work = dryRun ? planInstance(loading, scope) : loadInstance(loading, scope);
    const result = await work.catch((thrown: unknown) => {
      const facts = { where: handle.label, role, nextStep: NEXT_RUN_CONTINUES };
      const error = describeDatabaseError(thrown, facts) ?? thrown;
      // With a single instance its error is the command's, and so is a signal.
      if (signal.aborted || scopes.length === 1) throw error;
      logger.error({ err: error, instance_id: instanceId }, 'instance not loaded');
      const description = describeError(error);
      const lines = [`Instance ${instanceId}: not loaded. ${description.message}`, `  ${description.hint}`];
      const document = { instanceId, error: description };
      return { document, lines, exitCode: exitCodeOf(error), isRunElsewhere: isBusy(thrown) };
    });
    output.print(...result.lines);
    results.push(result);
  }
  const documents = results.map(({ document }) => document);
  const exitCode = worstExitCode(results.map((result) => result.exitCode));
  const reportedCodes = results.flatMap((result) => (result.isRunElsewhere === true ? [] : [result.exitCode]));
  return { document: documents.length === 1 ? documents[0] : documents, exitCode, reportedCodes };
}

/**
 * Returns the instances of `--instance`, or all; without `--org`, only those with a stream of `--stream` in the
 * settings, or all if none has one, because a track may have ended. Throws SettingsError for an unknown instance.
 */
function selectCandidates(
  instances: readonly InstanceConfig[],
  { instance: requestedIds, org: orgIds, stream: streams }: LoadRequest['selection'],
): readonly InstanceConfig[] {
  const unknown = requestedIds?.filter((id) => !instances.some((each) => each.instanceId === id)) ?? [];
  if (unknown.length > 0) {
    throw new SettingsError(`--instance ${unknown.join(', ')}: not in the settings`, {
      hint: `configured instances: ${instances.map(({ instanceId }) => instanceId).join(', ')}`,
    });
  }
  const candidates = instances.filter(({ instanceId }) => requestedIds?.includes(instanceId) ?? true);
  if (orgIds !== null) return candidates;
  const matches = candidates.filter((each) => streams?.some((name) => each.streams.includes(name)) ?? true);
  return matches.length === 0 ? candidates : matches;
}

/**
 * Returns the instances that have the organizations of `--org` in the database, each with those; null for all: without
 * that option. A single instance is queried for any organization. Throws SettingsError for one that no instance has.
 */
async function assignOrgs(
  { selection: { org: requestedIds }, handle }: LoadContext,
  candidates: readonly InstanceConfig[],
) {
  if (requestedIds === null || candidates.length === 1) {
    return candidates.map((instance) => ({ instance, orgIds: requestedIds }));
  }
  const isEmpty = (await readSchemaState(handle)).state === 'empty';
  const query = handle.db.selectFrom('organizations').select(['org_id', 'instance_id']);
  const rows = isEmpty ? [] : await query.where('org_id', 'in', requestedIds).execute();
  const scopes = candidates.map((instance) => {
    const instanceOrgs = rows.filter(({ instance_id }) => instance_id === instance.instanceId);
    return { instance, orgIds: instanceOrgs.map(({ org_id }) => org_id) };
  });
  const unknown = requestedIds.filter((id) => scopes.every(({ orgIds }) => !orgIds.includes(id)));
  if (unknown.length === 0) return scopes.filter(({ orgIds }) => orgIds.length > 0);
  throw new SettingsError(
    `--org ${unknown.join(', ')}: not found in any of ${candidates.length} configured instances`,
    { hint: 'check the ID; if the organization was never listed, name its instance with --instance' },
  );
}

type InstanceScope = Awaited<ReturnType<typeof assignOrgs>>[number];

async function loadInstance(loading: LoadContext, { instance, orgIds }: InstanceScope) {
  const { output, signal, logger, kind, range, force, selection, hostNow, giveUpAtMs } = loading;
  const outcome = await runInstance(loading, instance, {
    kind,
    range,
    force,
    streams: selection.stream,
    runId: loading.newId(),
    orgIds,
    signal,
    waitMs: Math.max(0, giveUpAtMs - hostNow()),
    onBusy: ({ message, cellsLeft }) => {
      output.remark(`${message}; waiting (it still has ${count(cellsLeft, 'cell')} to read)`);
    },
    onProgress: output.json ? undefined : createProgress((text) => output.remark(text), hostNow),
  });
  // On a terminal the result says the same, unless the operator has set a log level.
  if (!output.isTerminal || logger.isLevelEnabled('info')) logRun(logger, outcome);
  const { report, refusal } = outcome;
  const exitCode = report.status === 'complete' ? EXIT.ok : EXIT.incomplete;
  const lines = renderRun(outcome, range);
  return { document: report, lines, exitCode: refusal ? EXIT.refused : exitCode };
}

async function planInstance(loading: LoadContext, { instance, orgIds }: InstanceScope) {
  const options = { ...loading, orgIds, streams: loading.selection.stream };
  const plan = await previewRun(createInstanceContext({ ...loading, now: await loading.readNow() }, instance), options);
  return { document: plan, lines: renderPlan(plan, instance.requestsPerSecond), exitCode: EXIT.ok };
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

function isBusy(error: unknown): boolean {
  return error instanceof BusyError && error.kind === 'lease_busy';
}
