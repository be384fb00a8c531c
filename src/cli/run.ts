import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { BusyError, describeError, EXIT, exitCodeOf, SettingsError, worstExitCode } from '../errors.ts';
import { syncTracks } from '../ledger/expected.ts';
import type { FailureGroup } from '../ledger/runs.ts';
import {
  createInstanceContext,
  type Gates,
  type Progress,
  type RunOptions,
  readClock,
} from '../loading/context.ts';
import { type PlanSummary, previewRun } from '../loading/preview.ts';
import { logRun, type RunOutcome, type RunReport } from '../loading/report.ts';
import { runInstance } from '../loading/run.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { id, number } from '../settings/kinds.ts';
import { formatTable } from '../terminal/text.ts';
import { count, showDays, showDuration, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { beginHeartbeat } from '../worker/heartbeat.ts';
import { type CommandContext, type CommandResult, defineCommand } from './command.ts';
import { openDatabase, openSchema } from './database.ts';
import {
  day,
  flagOption,
  instances,
  type OptionValues,
  optionalOption,
  required,
  requirePastDays,
  several,
  streams,
} from './options.ts';

const scopeOptions = {
  instance: instances,
  org: several('ID', 'only these organizations', id('organization')),
  stream: streams,
  dryRun: flagOption('print the plan and change nothing'),
};

type Scope = OptionValues<typeof scopeOptions>;

export const run = defineCommand({
  needs: ['losant', 'database'],
  options: {
    date: optionalOption('YYYY-MM-DD', 'read this day again even if it is not due', day),
    ...scopeOptions,
    wait: optionalOption(
      'SECONDS',
      'how long to wait for another process that is running for this instance',
      number(0, 86_400, 'seconds'),
      '0',
    ),
    end: optionalOption(
      'ID',
      'stop tracking an instance that was removed from the settings; yesterday is its last day',
      id('instance'),
    ),
  },
  async run(context, { date, end, wait, ...scope }) {
    if (end !== null) return await retireInstance(context, end);
    const range = date === null ? null : { from: date, to: date };
    if (range !== null) requirePastDays(range, ['--date', '--date'], context.hostNow());
    const runRequest = { kind: 'manual', range, force: false, streams: scope.stream } as const;
    const request = { wanted: runRequest, scope, waitMs: (wait ?? 0) * 1_000 };
    // A run of a part cannot vouch that nothing is missing, so the monitor is not told of it.
    const isPart = [range, scope.instance, scope.org, scope.stream].some((part) => part !== null);
    if (isPart || scope.dryRun) return await exportInstances(context, request);
    return await withHeartbeat(context, () => exportInstances(context, request));
  },
});

export const backfill = defineCommand({
  needs: ['losant', 'database'],
  options: {
    from: required('YYYY-MM-DD', 'first day', day),
    to: optionalOption('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
    ...scopeOptions,
    force: flagOption('also read days that are already stored'),
  },
  async run(context, { from, to, force, ...scope }) {
    const range = { from, to: to ?? addDays(dayAt(context.hostNow()), -1) };
    requirePastDays(range, ['--from', '--to'], context.hostNow());
    const runRequest = { kind: 'backfill', range, force, streams: scope.stream } as const;
    return await exportInstances(context, { wanted: runRequest, scope, waitMs: Number.POSITIVE_INFINITY });
  },
});

interface ExportRequest {
  readonly wanted: Pick<RunOptions, 'kind' | 'range' | 'force' | 'streams'>;
  readonly scope: Scope;
  /** The longest wait for other processes. */
  readonly waitMs: number;
}

/** The tools that all instances of a command share. */
interface ExportWork extends CommandContext, ExportRequest {
  readonly handle: DatabaseHandle;
  readonly now: () => number;
  readonly gates: Gates;
  /** The time until which the command waits for other processes. */
  readonly giveUpAtMs: number;
}

/** Exports one instance after the other, or only plans it. Throws only if nothing could begin, or on a signal. */
async function exportInstances(context: CommandContext, request: ExportRequest): Promise<CommandResult> {
  const { output, signal, logger } = context;
  const { dryRun } = request.scope;
  const chosen = chooseInstances(context.config.instances, request.scope);
  const giveUpAtMs = context.hostNow() + request.waitMs;
  await using handle = dryRun
    ? await openDatabase(context, { ifMissing: 'stand_in' })
    : await openSchema(context, { creates: true });
  const now = await readClock(context, handle);
  const work: ExportWork = { ...context, ...request, handle, now, gates: new Map(), giveUpAtMs };
  const parts = await chooseByOrg(work, chosen);
  const ends: CommandResult[] = [];
  for (const part of parts) {
    const { instanceId } = part.instance;
    const end = await (dryRun ? planPart(work, part) : exportPart(work, part)).catch((thrown: unknown) => {
      // With a single instance its error is the command's, and so is a signal.
      if (signal.aborted || parts.length === 1) throw thrown;
      const error = describeDatabaseError(thrown, handle.label) ?? thrown;
      logger.error({ err: error, instance_id: instanceId }, 'instance not exported');
      const described = describeError(error);
      const lines = [`Instance ${instanceId}: not exported. ${described.message}`, `  ${described.hint}`];
      return { document: { error: described }, lines, exitCode: exitCodeOf(error) };
    });
    output.print(...(end.lines ?? []));
    ends.push(end);
  }
  const documents = ends.map(({ document }) => document);
  const exitCode = worstExitCode(ends.map((end) => end.exitCode ?? EXIT.ok));
  return { document: documents.length === 1 ? documents[0] : documents, exitCode };
}

/**
 * Returns the instances that were named, or all; of them those whose settings name one of the streams, or all if none
 * does, as a track may have ended. Throws SettingsError for one that is not in the settings.
 */
function chooseInstances(
  instances: readonly InstanceConfig[],
  { instance: wanted, stream: streams }: Scope,
): readonly InstanceConfig[] {
  const unknown = wanted?.filter((each) => !instances.some(({ instanceId }) => instanceId === each)) ?? [];
  if (unknown.length > 0) {
    throw new SettingsError(`--instance ${unknown.join(', ')}: not in the settings`, {
      hint: `configured instances: ${instances.map(({ instanceId }) => instanceId).join(', ')}`,
    });
  }
  const candidates = instances.filter(({ instanceId }) => wanted?.includes(instanceId) ?? true);
  const matching = candidates.filter((each) => streams?.some((name) => each.streams.includes(name)) ?? true);
  return matching.length === 0 ? candidates : matching;
}

/** An instance with the organizations that were named; null for all. */
interface InstanceScope {
  readonly instance: InstanceConfig;
  readonly orgIds: readonly string[] | null;
}

/**
 * Returns the instances that have the organizations that were named, by the database, and all instances if none was
 * named. A single instance is asked for any organization. Throws SettingsError for one that no instance has.
 */
async function chooseByOrg(
  { scope: { org: wanted }, handle }: ExportWork,
  chosen: readonly InstanceConfig[],
): Promise<readonly InstanceScope[]> {
  if (wanted === null || chosen.length === 1) {
    return chosen.map((instance) => ({ instance, orgIds: wanted }));
  }
  const isEmpty = (await readSchemaState(handle)).state === 'empty';
  const query = handle.db.selectFrom('organizations').select(['org_id', 'instance_id']);
  const rows = isEmpty ? [] : await query.where('org_id', 'in', wanted).execute();
  const parts = chosen.map((instance) => {
    const instanceOrgs = rows.filter(({ instance_id }) => instance_id === instance.instanceId);
    return { instance, orgIds: instanceOrgs.map(({ org_id }) => org_id) };
  });
  const unknown = wanted.filter((each) => parts.every(({ orgIds }) => !orgIds.includes(each)));
  if (unknown.length === 0) return parts.filter(({ orgIds }) => orgIds.length > 0);
  throw new SettingsError(
    `--org ${unknown.join(', ')}: not found in any of ${chosen.length} configured instances`,
    {
      hint: 'check the ID; if the organization was never listed, name its instance with --instance',
    },
  );
}

async function exportPart(work: ExportWork, { instance, orgIds }: InstanceScope): Promise<CommandResult> {
  const { output, signal, logger, wanted, hostNow, giveUpAtMs } = work;
  const { instanceId } = instance;
  const outcome = await runInstance(createInstanceContext(work, instance), {
    ...wanted,
    runId: work.newId(),
    orgIds,
    signal,
    waitMs: Math.max(0, giveUpAtMs - hostNow()),
    onBusy: ({ message, cellsLeft }) => {
      output.remark(`${message}; waiting (it still has ${count(cellsLeft, 'cell')} to read)`);
    },
    onProgress: output.json ? undefined : createProgress(work),
  });
  // On a terminal the result says the same, unless the log is asked for.
  if (!output.isTerminal || logger.isLevelEnabled('info')) logRun(logger, instanceId, outcome);
  const { report } = outcome;
  return { document: report, lines: renderRun(instanceId, outcome), exitCode: exitCodeOfRun(outcome) };
}

function exitCodeOfRun({ report, refusal }: RunOutcome): number {
  if (refusal) return EXIT.refused;
  return report.status === 'complete' ? EXIT.ok : EXIT.incomplete;
}

/** Returns what would be read. Writes nothing. */
async function planPart(work: ExportWork, { instance, orgIds }: InstanceScope): Promise<CommandResult> {
  const { signal, wanted } = work;
  const plan = await previewRun(createInstanceContext(work, instance), { ...wanted, orgIds, signal });
  return { document: plan, lines: renderPlan(plan, instance.requestsPerSecond) };
}

const PROGRESS_EVERY_MS = 10_000;

/** Says at times what is done of what is due so far, which may still grow. */
function createProgress({ output, hostNow }: CommandContext): (progress: Progress) => void {
  const startedAtMs = hostNow();
  let shownAtMs = startedAtMs;
  return ({ plannedCells, readCells }) => {
    const nowMs = hostNow();
    if (readCells === 0 || nowMs - shownAtMs < PROGRESS_EVERY_MS) return;
    shownAtMs = nowMs;
    const total = Math.max(readCells, plannedCells);
    const remaining = showDuration(((total - readCells) * (nowMs - startedAtMs)) / readCells);
    output.remark(`${showNumber(readCells)} of ${count(total, 'cell')} done, about ${remaining} left`);
  };
}

async function withHeartbeat(
  { config, logger, signal }: CommandContext,
  work: () => Promise<CommandResult>,
): Promise<CommandResult> {
  const heartbeat = beginHeartbeat({ url: config.heartbeatUrl, logger });
  try {
    const ending = await work();
    await heartbeat.end(ending.exitCode === EXIT.ok);
    return ending;
  } catch (error) {
    // The process that runs the instance reports its own result, and a signal is not a failure.
    if (!(error instanceof BusyError) && !signal.aborted) await heartbeat.end(false);
    throw error;
  }
}

export function renderRun(instanceId: string, { report, refusal, tally }: RunOutcome): string[] {
  const { restatedFinal } = tally;
  const restated = tally.rows.updated;
  const lines = [renderHead(instanceId, report)];
  if (report.from !== null) {
    const results = Object.entries(report.cells).filter(([name, number]) => name !== 'planned' && number > 0);
    const parts = results.map(([name, number]) => `${showNumber(number)} ${name.replaceAll('_', ' ')}`);
    lines.push(`  ${count(report.cells.planned, 'cell')} read: ${parts.join(', ')}`);
  }
  if (restated > 0) {
    const what = `${count(restated, 'cell')} restated by Losant, ${showNumber(restatedFinal)} of them already final`;
    lines.push(`  ${what}: see the view losant_usage.restatements`);
  }
  lines.push(...renderFailures(tally.groupFailures()));
  if (refusal) lines.push(`  Losant rejected the request: ${refusal.message}`, `  ${refusal.hint}`);
  if (report.status !== 'complete') lines.push('  To see what is missing and why: losant-usage gaps');
  return lines;
}

function renderHead(instanceId: string, report: RunReport): string {
  const { from, to, orgs, requests, durationMs } = report;
  const isComplete = report.status === 'complete';
  if (from === null || to === null) {
    return `Instance ${instanceId}: ${isComplete ? 'nothing is due' : 'nothing was read'}`;
  }
  const state = isComplete ? 'complete' : 'partial';
  const facts = `${count(orgs, 'organization')}, ${count(requests, 'request')}, ${showDuration(durationMs)}`;
  return `Instance ${instanceId}: ${state}, ${showDays({ from, to })}, ${facts}`;
}

/** The number of causes shown to people; the document of `--json` has all. */
const CAUSES_SHOWN = 10;

function renderFailures(groups: readonly FailureGroup[]): string[] {
  const rows = groups.map(({ code, message, stream: name, cells, orgs, example }) => {
    const where = [
      cells > 0 ? count(cells, 'number') : '',
      orgs > 0 ? count(orgs, 'organization') : '',
      example === null ? '' : `e.g. ${example}`,
    ].filter((part) => part !== '');
    return [code, name ?? '', where.join(', '), message];
  });
  return formatTable({ rows, most: CAUSES_SHOWN });
}

/** Renders what a run would read, at so many requests per second. */
function renderPlan(plan: PlanSummary, rate: number): string[] {
  const { instanceId, from, to, orgs, cells, requests, pastHorizon } = plan;
  const lines = [`Instance ${instanceId}: plan for ${count(orgs, 'organization')}`];
  if (from === null || to === null) lines.push('  nothing to read');
  else {
    const time = showDuration((requests / rate) * 1_000);
    lines.push(`  ${showDays({ from, to })}: ${count(cells, 'cell')} to read`);
    lines.push(`  ${count(requests, 'request')}, about ${time} at ${rate} per second`);
  }
  if (pastHorizon > 0) {
    const days = count(pastHorizon, 'day');
    lines.push(`  skipping ${days} past the horizon, which Losant no longer retains (HORIZON_DAYS)`);
  }
  return lines;
}

/** Ends the tracks of an instance that is no longer in the settings. What was wanted stays on record. */
async function retireInstance(context: CommandContext, instanceId: string): Promise<CommandResult> {
  const { config } = context;
  if (config.instances.some((each) => each.instanceId === instanceId)) {
    throw new SettingsError(`retire --instance ${instanceId}: this instance is still in the settings`, {
      hint: 'remove it from the settings first',
    });
  }
  await using handle = await openSchema(context, { writes: true });
  const now = await readClock(context, handle);
  const ledger = { db: handle.db, instanceId, policy: config.policy, now, lease: null };
  await syncTracks(ledger, { streams: [], selection: [] });
  const lines = [`Instance ${instanceId} is retired; yesterday was its last day. Its data stays.`];
  return { document: { instanceId }, lines };
}
