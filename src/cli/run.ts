import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { describeError, EXIT, exitCodeOf, HeldError, SettingsError, worstExitCode } from '../errors.ts';
import { type Gates, openInstance, type Progress, type RunOptions, readClock } from '../export/context.ts';
import { type PlanSummary, previewRun } from '../export/preview.ts';
import { logRun, type RunOutcome, type RunReport } from '../export/report.ts';
import { runInstance } from '../export/run.ts';
import { applyTracks } from '../ledger/fill.ts';
import type { FailureGroup } from '../ledger/runs.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { id, number } from '../settings/kinds.ts';
import { renderTable } from '../terminal/text.ts';
import { count, showDays, showDuration, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { beginHeartbeat } from '../worker/heartbeat.ts';
import { type CommandContext, defineCommand, type Ending } from './command.ts';
import { openDatabase, openSchema } from './database.ts';
import {
  day,
  flag,
  instances,
  type OptionValues,
  optional,
  required,
  requirePastDays,
  several,
  streams,
} from './options.ts';

const scopeOptions = {
  instance: instances,
  org: several('ID', 'only these organizations', id('organization')),
  stream: streams,
  dryRun: flag('print the plan and change nothing'),
};

type Scope = OptionValues<typeof scopeOptions>;

export const run = defineCommand({
  needs: ['losant', 'database'],
  role: 'losant_usage_writer',
  options: {
    date: optional('YYYY-MM-DD', 'read this day again, due or not', day),
    ...scopeOptions,
    wait: optional('SECONDS', 'wait up to this long for another process', number(0, 86_400, 'seconds'), '0'),
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
  role: 'losant_usage_writer',
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
  /** The part of each instance that is asked for. */
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
async function exportInstances(context: CommandContext, request: ExportRequest): Promise<Ending> {
  const { output, signal, logger, role } = context;
  const { dryRun } = request.scope;
  const chosen = chooseInstances(context.config.instances, request.scope);
  const giveUpAtMs = context.hostNow() + request.waitMs;
  await using handle = dryRun
    ? await openDatabase(context, { ifMissing: 'stand_in' })
    : await openSchema(context, { creates: true });
  const now = await readClock(context, handle);
  const work: ExportWork = { ...context, ...request, handle, now, gates: new Map(), giveUpAtMs };
  const parts = await chooseByOrg(work, chosen);
  const ends: Ending[] = [];
  for (const part of parts) {
    const { instanceId } = part.instance;
    const end = await (dryRun ? planPart(work, part) : exportPart(work, part)).catch((thrown: unknown) => {
      // With a single instance its error is the command's, and so is a signal.
      if (signal.aborted || parts.length === 1) throw thrown;
      const error = describeDatabaseError(thrown, { where: handle.describe, role }) ?? thrown;
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
    throw new SettingsError(`--instance ${unknown.join(', ')}: not an instance of the settings`, {
      hint: `configured are ${instances.map(({ instanceId }) => instanceId).join(', ')}`,
    });
  }
  const named = instances.filter(({ instanceId }) => wanted?.includes(instanceId) ?? true);
  const own = named.filter((each) => streams?.some((name) => each.streams.includes(name)) ?? true);
  return own.length === 0 ? named : own;
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
  { scope: { org: wanted }, handle }: ExportWork,
  chosen: readonly InstanceConfig[],
): Promise<readonly Part[]> {
  if (wanted === null || chosen.length === 1) {
    return chosen.map((instance) => ({ instance, orgIds: wanted }));
  }
  const isEmpty = (await readSchemaState(handle)).state === 'empty';
  const known = handle.db.selectFrom('organizations').select(['org_id', 'instance_id']);
  const rows = isEmpty ? [] : await known.where('org_id', 'in', wanted).execute();
  const parts = chosen.map((instance) => {
    const own = rows.filter(({ instance_id }) => instance_id === instance.instanceId);
    return { instance, orgIds: own.map(({ org_id }) => org_id) };
  });
  const unknown = wanted.filter((each) => parts.every(({ orgIds }) => !orgIds.includes(each)));
  if (unknown.length === 0) return parts.filter(({ orgIds }) => orgIds.length > 0);
  throw new SettingsError(`--org ${unknown.join(', ')}: not known of any of ${chosen.length} instances`, {
    hint: 'check the id; of an organization that was never listed, name the instance with --instance',
  });
}

async function exportPart(work: ExportWork, { instance, orgIds }: Part): Promise<Ending> {
  const { output, signal, logger, wanted, hostNow, giveUpAtMs } = work;
  const { instanceId } = instance;
  const outcome = await runInstance(openInstance(work, instance), {
    ...wanted,
    runId: work.newId(),
    orgIds,
    signal,
    waitMs: Math.max(0, giveUpAtMs - hostNow()),
    onHeld: ({ message, cellsLeft }) => {
      output.remark(`${message}; waiting (it still has ${count(cellsLeft, 'number')} to read)`);
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
async function planPart(work: ExportWork, { instance, orgIds }: Part): Promise<Ending> {
  const { signal, wanted } = work;
  const plan = await previewRun(openInstance(work, instance), { ...wanted, orgIds, signal });
  return { document: plan, lines: renderPlan(plan, instance.requestsPerSecond) };
}

const PROGRESS_EVERY_MS = 10_000;

/** Says at times what is done of what is due so far, which may still grow. */
function createProgress({ output, hostNow }: CommandContext): (progress: Progress) => void {
  const startedAtMs = hostNow();
  let shownAtMs = startedAtMs;
  return ({ planned, done }) => {
    const nowMs = hostNow();
    if (done === 0 || nowMs - shownAtMs < PROGRESS_EVERY_MS) return;
    shownAtMs = nowMs;
    const total = Math.max(done, planned);
    const left = showDuration(((total - done) * (nowMs - startedAtMs)) / done);
    output.remark(`${showNumber(done)} of ${count(total, 'number')} done, about ${left} left`);
  };
}

async function withHeartbeat(
  { config, logger, signal }: CommandContext,
  work: () => Promise<Ending>,
): Promise<Ending> {
  const heartbeat = beginHeartbeat({ url: config.heartbeatUrl, logger });
  try {
    const ending = await work();
    await heartbeat.end(ending.exitCode === EXIT.ok);
    return ending;
  } catch (error) {
    // Another process at work reports its own end, and a signal is no failure.
    if (!(error instanceof HeldError) && !signal.aborted) await heartbeat.end(false);
    throw error;
  }
}

export function renderRun(instanceId: string, { report, refusal, tally }: RunOutcome): string[] {
  const { restatedFinal } = tally;
  const restated = tally.rows.updated;
  const lines = [renderHead(instanceId, report)];
  if (report.from !== null) {
    const results = Object.entries(report.cells).filter(([name, number]) => name !== 'planned' && number > 0);
    const shown = results.map(([name, number]) => `${showNumber(number)} ${name.replaceAll('_', ' ')}`);
    lines.push(`  ${count(report.cells.planned, 'number')} asked for: ${shown.join(', ')}`);
  }
  if (restated > 0) {
    const what = `${count(restated, 'number')} restated by Losant, ${showNumber(restatedFinal)} of them final`;
    lines.push(`  ${what}: see the view losant_usage.restatements`);
  }
  lines.push(...renderFailures(tally.groupFailures()));
  if (refusal) lines.push(`  Losant refused: ${refusal.message}`, `  ${refusal.hint}`);
  if (report.status !== 'complete') lines.push('  What is missing, and why: losant-usage gaps');
  return lines;
}

function renderHead(instanceId: string, report: RunReport): string {
  const { from, to, orgs, requests, durationMs } = report;
  const isComplete = report.status === 'complete';
  if (from === null || to === null) {
    return `Instance ${instanceId}: ${isComplete ? 'nothing is due' : 'nothing was read'}`;
  }
  const state = isComplete ? 'complete' : 'incomplete';
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
  return renderTable({ rows, most: CAUSES_SHOWN });
}

/** Renders what a run would read, at so many requests per second. */
function renderPlan(plan: PlanSummary, rate: number): string[] {
  const { instanceId, from, to, orgs, cells, requests, pastHorizon } = plan;
  const lines = [`Instance ${instanceId}: plan for ${count(orgs, 'organization')}`];
  if (from === null || to === null) lines.push('  nothing to read');
  else {
    const time = showDuration((requests / rate) * 1_000);
    lines.push(`  ${showDays({ from, to })}: ${count(cells, 'number')} to read`);
    lines.push(`  ${count(requests, 'request')}, about ${time} at ${rate} per second`);
  }
  if (pastHorizon > 0) {
    const days = count(pastHorizon, 'day');
    lines.push(`  ${days} past the horizon left out: Losant no longer keeps them (HORIZON_DAYS)`);
  }
  return lines;
}

/** Ends the tracks of an instance that is no longer in the settings. What was wanted stays on record. */
async function endLeftInstance(context: CommandContext, instanceId: string): Promise<Ending> {
  const { config } = context;
  if (config.instances.some((each) => each.instanceId === instanceId)) {
    throw new SettingsError(`--end ${instanceId}: this instance is in the settings`, {
      hint: 'take it out of them first, or leave out --end',
    });
  }
  await using handle = await openSchema(context, { writes: true });
  const now = await readClock(context, handle);
  const ledger = { db: handle.db, instanceId, policy: config.policy, now, lease: null };
  await applyTracks(ledger, { streams: [], selection: [] });
  const lines = [`Instance ${instanceId} has ended with yesterday. Its numbers stay.`];
  return { document: { instanceId }, lines };
}
