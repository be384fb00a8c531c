import { setTimeout as sleep } from 'node:timers/promises';
import { readSchemaState } from '../database/migrate.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { EXIT, exitCodeOf, HeldError, worstExitCode } from '../errors.ts';
import { openInstance, type PlanSummary, type Progress, readClock } from '../export/context.ts';
import { previewRun } from '../export/preview.ts';
import { logRun, runInstance } from '../export/run.ts';
import { readInstance } from '../ledger/instances.ts';
import type { AttemptReport } from '../losant/client.ts';
import { readGaps } from '../queries/gaps.ts';
import { createProgress, LINE_EVERY_MS } from '../terminal/progress.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays, showDuration, showNumber } from '../terminal/words.ts';
import { PlannedRequests } from '../usage/planned-requests.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import type { CommandContext } from './command.ts';
import type { exportOptions } from './export-options.ts';
import { addUnreadable, type InstanceEnd, printEnds } from './export-result.ts';
import { chooseScopes, type ExportRequest, type ExportWork, findOrgs, type Scope } from './export-scope.ts';
import { openDatabase, openSchema, useDatabase } from './open-database.ts';
import type { OptionValues } from './options.ts';

/** `exportInstances` exports one instance after the other. Throws only if nothing could begin, or on a signal. */
export async function exportInstances(context: CommandContext, request: ExportRequest): Promise<number> {
  const chosen = chooseScopes(context.config.instances, request);
  const giveUpAtMs = context.hostNow() + request.wait * 1_000;
  const handle = request.dryRun
    ? await openDatabase(context, { ifMissing: 'stand_in' })
    : await waitWhileHeld(context, giveUpAtMs, () => openSchema(context, { ifMissing: 'create' }));
  return await useDatabase(handle, async () => {
    const hasTables = !request.dryRun || (await readSchemaState(handle)).state !== 'empty';
    const now = await readClock(context, handle);
    const work = { ...context, request, handle, now, gates: new Map(), hasTables };
    const { scopes, failures } = await findOrgs(work, chosen);
    const [failure] = failures.values();
    if (failures.size > 0 && (request.dryRun || chosen.length === 1)) throw failure;
    if (request.dryRun) return await printPlans(work, scopes);
    const ends = [...failures].map(([instanceId, error]): InstanceEnd => ({ instanceId, error }));
    for (const scope of scopes) {
      const { instanceId } = scope.instance;
      try {
        ends.push(await waitWhileHeld(context, giveUpAtMs, () => exportInstance(work, scope)));
      } catch (error) {
        // With a single instance its error is the command's, and so is a signal.
        if (context.signal.aborted || scopes.length + failures.size === 1) throw error;
        const fields = { err: error, instance_id: instanceId };
        if (!context.isSummaryEnough) context.logger.error(fields, 'instance not exported');
        ends.push({ instanceId, error });
      }
    }
    printEnds(context, ends, request.verbose);
    return worstExitCode(ends.map(exitCodeOfEnd));
  });
}

async function exportInstance(work: ExportWork, scope: Scope): Promise<InstanceEnd> {
  const { output, config, signal, logger, request, handle } = work;
  const { instance, streams, orgIds } = scope;
  const { instanceId } = instance;
  const { kind, ask, shard } = request;
  const rate = request.rate ?? instance.requestsPerSecond;
  const view = createPlanView(work, rate, kind === 'backfill');
  const opened = openInstance(work, instance, { ...work, rate, onAttempt: view.onAttempt });
  // The plan is only worth its queries if somebody reads it.
  const wantsPlan = !output.json && (kind === 'backfill' || output.isTerminal);
  try {
    const run = await runInstance(opened, {
      ...{ kind, ask, orgIds, shard, streams, signal },
      runId: work.newId(),
      onProgress: view.onProgress,
      onPlan: wantsPlan ? view.onPlan : undefined,
    });
    const isShown = run.report.gapsLeft > 0 && !output.json;
    const nextTryAt = isShown ? await readNextTry(work, instanceId) : null;
    const { horizonDays } = config.policy;
    const outcome = ask ? addUnreadable(run, instanceId, ask.range, horizonDays) : run;
    // A line of the log that is written while the bar is drawn would be mixed with it.
    view.stop();
    if (!work.isSummaryEnough) logRun(logger, instanceId, outcome);
    return { instanceId, outcome, nextTryAt };
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  } finally {
    view.stop();
  }
}

/** `readNextTry` returns the time of the next retry among an instance's gaps; null if none has to wait. */
async function readNextTry({ handle: { db }, now }: ExportWork, instanceId: string): Promise<string | null> {
  const gaps = (await readGaps(db)).filter((gap) => gap.instanceId === instanceId);
  const tries = gaps.map(({ nextReadAt }) => nextReadAt).filter((instant) => instant !== null);
  return tries.filter((instant) => Date.parse(instant) > now()).toSorted()[0] ?? null;
}

function exitCodeOfEnd(end: InstanceEnd): number {
  if ('error' in end) return exitCodeOf(end.error);
  const { report, refusal } = end.outcome;
  if (refusal) return EXIT.refused;
  return report.status === 'complete' && report.gapsLeft === 0 ? EXIT.ok : EXIT.incomplete;
}

const LOG_WAIT_AFTER_MS = 60_000;

/** The interval at which a held lease or folder is tried again. */
const WAIT_STEP_MS = 1_000;

/** `waitWhileHeld` retries `open` until `giveUpAtMs` while another process holds what it needs. */
export async function waitWhileHeld<T>(
  { hostNow, signal, output, logger }: CommandContext,
  giveUpAtMs: number,
  open: () => Promise<T>,
): Promise<T> {
  let hasSaid = false;
  let hasLogged = false;
  const sinceMs = hostNow();
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const mayWait = error instanceof HeldError && error.kind !== 'lease_lost' && hostNow() < giveUpAtMs;
      if (!mayWait) throw error;
      if (!hasSaid) output.remark(`${error.message}; waiting`);
      hasSaid = true;
      if (!hasLogged && hostNow() - sinceMs >= LOG_WAIT_AFTER_MS) {
        hasLogged = true;
        logger.warn({ waits_for: 'lease', reason: error.message, hint: error.hint }, 'waiting');
      }
      await sleep(Math.min(WAIT_STEP_MS, giveUpAtMs - hostNow()), undefined, { signal });
    }
  }
}

/** `withHeartbeat` reports a run over everything to the monitor: a part cannot show that nothing is missing. */
export async function withHeartbeat(
  { config, logger, signal }: CommandContext,
  { instance, org, stream, shard, dryRun }: OptionValues<typeof exportOptions>,
  run: () => Promise<number>,
): Promise<number> {
  if (dryRun || [instance, org, stream, shard].some((part) => part !== null)) return await run();
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

/** `printPlans` writes nothing, and asks Losant only for organizations that the database does not have. */
async function printPlans(work: ExportWork, scopes: readonly Scope[]): Promise<number> {
  const { output, signal, request, handle, hasTables } = work;
  const { kind, ask, shard } = request;
  const plans: PlanSummary[] = [];
  for (const { instance, orgIds, streams } of scopes) {
    const isKnown = hasTables && (await readInstance(handle.db, instance.instanceId)) !== null;
    const options = { kind, ask, orgIds, shard, streams, signal };
    const plan = await previewRun(openInstance(work, instance, work), options, { isKnown });
    plans.push(plan);
    output.print(...renderPlan(plan, request.rate ?? instance.requestsPerSecond));
  }
  output.printJson(plans.length === 1 ? plans[0] : plans);
  return EXIT.ok;
}

function renderPlan(plan: PlanSummary, rate: number): Line[] {
  const { instanceId, from, to, orgs, cells, reasons, requests } = plan;
  const head = line`Instance ${styled('bold', instanceId)}: plan for ${count(orgs, 'organization')}`;
  const lines: Line[] = [head];
  if (from === null || to === null) lines.push('  nothing to read');
  else {
    const why = Object.entries(reasons).map(([reason, number]) => `${showNumber(number)} ${reason}`);
    lines.push(
      `  ${showDays({ from, to })}: ${count(cells, 'number')} to read (${why.join(', ')})`,
      `  ${count(requests, 'request')}, about ${showDuration((requests / rate) * 1_000)} at ${rate} per second`,
    );
  }
  const others: readonly (readonly [number, string])[] = [
    [plan.pastHorizon, 'past the horizon left out (--past-horizon asks anyway)'],
    [plan.unavailable, 'no longer available, to be marked so'],
    [plan.waiting, 'missing, but not due for another try'],
  ];
  const found = others.filter(([number]) => number > 0);
  return [...lines, ...found.map(([number, what]) => `  ${count(number, 'number')} ${what}`)];
}

/** `createPlanView` shows a run at work: its plan, and the number of the plan's requests that are done. */
function createPlanView(context: CommandContext, rate: number, showsPlan: boolean) {
  const { output, hostNow } = context;
  const bar = createProgress(context, { rate, noun: 'request' });
  const requests = new PlannedRequests();
  let lastLineMs = hostNow();
  return {
    onPlan: (summary: PlanSummary) => {
      requests.plan(summary);
      if (showsPlan) output.remark(...renderPlan(summary, rate));
      bar.start(summary.requests);
    },
    // Without a plan only the numbers planned so far are known, so no time left can be given.
    onProgress: ({ planned, done }: Progress) => {
      if (requests.progress !== null || output.json || hostNow() - lastLineMs < LINE_EVERY_MS) return;
      lastLineMs = hostNow();
      output.remark(`${showNumber(done)} of ${count(planned, 'number')} done so far`);
    },
    onAttempt: (report: AttemptReport) => {
      requests.count(report);
      if (requests.progress !== null) bar.show(requests.progress.done);
    },
    stop: () => bar.stop(),
  };
}
