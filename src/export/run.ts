import { requireSchema } from '../database/migrate.ts';
import { LosantError, SettingsError } from '../errors.ts';
import { isAnythingDue } from '../ledger/due.ts';
import {
  applyPolicy,
  readInstance,
  recordBilling,
  registerInstance,
  requireApiUrl,
  updateInstance,
} from '../ledger/instances.ts';
import { filterTracked } from '../ledger/tracking.ts';
import type { Logger } from '../logger.ts';
import { getInstance } from '../losant/orgs.ts';
import { countGapsLeft } from '../queries/gaps.ts';
import { dayAt, eachDay, type UsageDay } from '../usage/day.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import {
  type InstanceContext,
  isFullRun,
  type RunOptions,
  requireApiClock,
  type Settled,
  scopeOf,
  triesFailedAgain,
} from './context.ts';
import { readControlTotals } from './control-totals.ts';
import { confirmRemovals, discover } from './discover.ts';
import { type ExportWork, exportScope, trackAsked } from './pipeline.ts';
import { previewRun } from './preview.ts';
import { type RunReport, Tally } from './report.ts';
import { holdSession, type Session } from './session.ts';

/** The most rounds in which a run reads days that became tracked while it worked. */
const ADDED_ROUNDS_MAX = 3;

export interface RunOutcome {
  readonly report: RunReport;
  readonly tally: Tally;
  /** Losant's refusal of the token or of a scope. */
  readonly refusal: LosantError | null;
  /** The number of Losant's organizations that the configuration leaves out. */
  readonly excluded: number;
  /** The state for the next run of the same process; null unless this run read everything and no gap is left. */
  readonly settled: Settled | null;
}

/**
 * `runInstance` runs one export of one instance: schema, clocks, lease, discovery, export, record. Numbers that were
 * loaded stay loaded, however the run ends. A refused scope ends only its stream. Throws HeldError if
 * another process exports the instance; ClockError, DatabaseError or LosantError if the run cannot
 * begin; or the signal's reason.
 */
export async function runInstance(context: InstanceContext, options: RunOptions): Promise<RunOutcome> {
  context.waits.start();
  try {
    return await runWatched(context, options);
  } finally {
    context.waits.stop();
  }
}

async function runWatched(context: InstanceContext, options: RunOptions): Promise<RunOutcome> {
  const { db, instanceId, apiUrl, streams, now } = context;
  const startedAtMs = now();
  const requestsBefore = context.requestCount();
  await requireSchema(context.handle, { createIfEmpty: false, autoMigrate: false });
  await requireApiUrl(db, { instanceId, apiUrl });
  const name = await requireInstance(context, options.signal);
  await registerInstance(db, { instanceId, apiUrl, name, streams, yesterday: lastCompleteDay(now()) });
  const tally = new Tally(instanceId);
  const ended = await holdSession(context, options, tally, async (session) => {
    const listedBefore = (await readInstance(db, instanceId))?.listedAt ?? null;
    const exported = await exportUnlessIdle(context, options, { tally, session, startedAtMs });
    const { refusal, excluded } = exported;
    tally.requests = context.requestCount() - requestsBefore;
    if (!refusal) {
      await readControlTotals(context, session, {
        again: daysReadAgain(context, options, tally),
        onlyAgain: !isFullRun(options),
        retriesFailed: triesFailedAgain(options),
      });
    }
    const range = options.ask?.range ?? null;
    const gaps = await countGapsLeft(db, scopeOf(context, options), { startedAtMs, range });
    // Cells that another process failed to read meanwhile are not done either.
    const undone = gaps.undone + (tally.failures.length > 0 ? 0 : gaps.failed);
    // A day asked for by hand need not be tracked. Its missing cells are then no gaps, but the request is not
    // fulfilled.
    tally.undone = range === null ? undone : Math.max(undone, tally.lateOmissions);
    tally.gapsLeft = undone + gaps.older;
    const status: 'complete' | 'partial' = tally.didAll && !refusal ? 'complete' : 'partial';
    const isSettled = status === 'complete' && tally.gapsLeft === 0 && isFullRun(options);
    const settled = isSettled ? await settle(context, options, { session, exported, listedBefore }) : null;
    return { status, refusal, excluded, settled, isRecorded: session.isBegun };
  });
  const report = tally.toReport({
    runId: ended.isRecorded ? options.runId : null,
    kind: options.kind,
    status: ended.status,
    durationMs: Math.round(now() - startedAtMs),
  });
  const { refusal, excluded, settled } = ended;
  return { report, tally, refusal, excluded, settled };
}

/**
 * `daysReadAgain` returns the days whose numbers the run has loaded, or of which a person asked for all to
 * be read again.
 */
function daysReadAgain(
  { streams }: InstanceContext,
  { ask, orgIds, shard, streams: wanted }: RunOptions,
  { loadedDays }: Tally,
): ReadonlyMap<string, ReadonlySet<UsageDay>> {
  if (ask?.force !== true || orgIds !== null || shard != null) return loadedDays;
  const days = new Set(eachDay(ask.range));
  return new Map((wanted ?? streams).map((stream) => [stream, days]));
}

interface Exported {
  readonly refusal: LosantError | null;
  readonly excluded: number;
  /** Whether there was nothing to do, by what an earlier run had left. */
  readonly isIdle: boolean;
}

async function exportUnlessIdle(
  context: InstanceContext,
  options: RunOptions,
  work: { tally: Tally; session: Session; startedAtMs: number },
): Promise<Exported> {
  const { db, instanceId, policy, now } = context;
  const { settled } = options;
  if (settled && (await isIdle(context, settled))) {
    return { refusal: null, excluded: settled.excluded, isIdle: true };
  }
  await applyPolicy(db, instanceId, { policy, nowMs: now() });
  await recordBilling(db, instanceId, context);
  return { ...(await discoverAndExport(context, options, work)), isIdle: false };
}

/**
 * `requireInstance` throws unless Losant knows the instance and its clock agrees. A token that may not ask this may
 * still have the scopes for the counters; the refusal's own Date still shows the clock.
 */
async function requireInstance(
  { client, instanceId, apiAheadMs, logger }: InstanceContext,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    const { name } = await getInstance(client, { instanceId, signal });
    return name;
  } catch (error) {
    const mayGoOn = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
    if (!mayGoOn) throw error;
    logger.warn({ instance_id: instanceId, err: error }, 'instance not confirmed');
    return null;
  } finally {
    requireApiClock(apiAheadMs());
  }
}

async function discoverAndExport(
  context: InstanceContext,
  options: RunOptions,
  { tally, session, startedAtMs }: { tally: Tally; session: Session; startedAtMs: number },
): Promise<{ refusal: LosantError | null; excluded: number }> {
  const { ask, orgIds, onProgress } = options;
  const discoverOptions = { ...context, signal: session.signal };
  const { failures, excluded, refusal: refusedList } = await discover(discoverOptions);
  tally.addDiscoveryFailures(failures);
  if (orgIds) await requireTracked(context, orgIds);
  const scope = scopeOf(context, options);
  if (ask?.reason === 'backfill') {
    const added = await trackAsked(context, scope, ask);
    tally.alsoTracked = added;
    if (added)
      context.logger.info(
        { instance_id: context.instanceId, ...added },
        'days up to what was tracked are tracked too',
      );
  }
  options.onPlan?.(await previewRun(context, options, { isKnown: true }));
  // Only the first export tries failed cells again before their time.
  const work = { context, session, scope, ask, retriesFailed: false, triedBeforeMs: null, tally, onProgress };
  const refusal =
    (await exportScope({ ...work, retriesFailed: triesFailedAgain(options) })) ??
    (ask ? null : await exportAddedSince(work, startedAtMs));
  const gone = tally.notFoundOrgs;
  if (gone.length > 0 && refusal?.kind !== 'unauthorized') {
    const { failures: refused, removed } = await confirmRemovals(discoverOptions, gone);
    tally.addDiscoveryFailures(refused);
    if (removed.length > 0) {
      const { orgs } = tally;
      tally.forgetNotFound(removed);
      await exportScope({ ...work, scope: { ...scope, orgIds: removed }, ask: undefined });
      tally.orgs = orgs;
    }
  }
  return { refusal: refusal ?? refusedList, excluded };
}

/**
 * `exportAddedSince` exports days that another process has begun to track since the run was planned. They are due as
 * well: without them this run would end with gaps that no failure explains. What this run has asked for is not repeated.
 */
async function exportAddedSince(work: ExportWork, startedAtMs: number): Promise<LosantError | null> {
  const { context, scope, tally } = work;
  let refusal: LosantError | null = null;
  for (let round = 0; round < ADDED_ROUNDS_MAX && !refusal; round++) {
    const left = { startedAtMs, range: null };
    if ((await countGapsLeft(context.db, scope, left)).undone === 0) break;
    const { planned, orgs } = tally;
    refusal = await exportScope({ ...work, triedBeforeMs: startedAtMs });
    tally.orgs = Math.max(orgs, tally.orgs - orgs);
    if (tally.planned === planned) break;
  }
  return refusal;
}

/** `requireTracked` throws unless this configuration exports the organizations named on the command line. */
async function requireTracked({ db, instanceId }: InstanceContext, orgIds: readonly string[]): Promise<void> {
  const tracked = await filterTracked(db, instanceId, orgIds);
  const unknown = orgIds.filter((orgId) => !tracked.has(orgId));
  if (unknown.length === 0) return;
  throw new SettingsError(
    `--org ${unknown.join(', ')}: not an organization that is exported from instance ${instanceId}`,
    {
      hint: 'check the id, and LOSANT_ORG_IDS, which says which organizations are exported',
    },
  );
}

/**
 * Whether a run by the configuration that left `settled` has nothing to do: the organizations were
 * listed today, nothing was listed or written since that run or lost since, and nothing is due. The
 * cost is a few look-ups, however many organizations there are.
 */
async function isIdle(
  { db, instanceId, policy, now }: InstanceContext,
  { listedAt, settledBy }: Settled,
): Promise<boolean> {
  const instance = await readInstance(db, instanceId);
  if (instance?.listedAt !== listedAt || instance.listProblem !== null) return false;
  if (instance.settledBy !== settledBy) return false;
  const nowMs = now();
  return dayAt(Date.parse(listedAt)) === dayAt(nowMs) && !(await isAnythingDue(db, { nowMs, policy }));
}

/**
 * `settle` returns the state that a run over everything that left no gap keeps for the next run of the same process. A
 * run that has written or listed something, or is the first of its process, says so in the database.
 */
async function settle(
  { db, instanceId }: InstanceContext,
  { runId, settled }: RunOptions,
  {
    session,
    exported: { excluded, isIdle },
    listedBefore,
  }: { session: Session; exported: Exported; listedBefore: string | null },
): Promise<Settled | null> {
  if (settled && isIdle) return settled;
  const instance = await readInstance(db, instanceId);
  const listedAt = instance?.listedAt ?? null;
  if (listedAt === null) return null;
  const isNew = settled === undefined || session.isBegun || listedAt !== listedBefore;
  if (!isNew && instance?.settledBy != null) return { listedAt, excluded, settledBy: instance.settledBy };
  // This is the last that a run writes: what a failover loses, it loses first.
  await updateInstance(db, instanceId, { settled_by: runId });
  return { listedAt, excluded, settledBy: runId };
}

/** `logRun` logs one line for a run, and another if final numbers were restated. */
export function logRun(
  logger: Logger,
  instanceId: string,
  { report, tally, refusal, excluded }: RunOutcome,
): void {
  const { runId, failures, from, to, kind, ...counts } = report;
  const fields = {
    instance_id: instanceId,
    run_id: runId,
    kind,
    status: counts.status,
    from,
    to,
    orgs: counts.orgs,
    orgs_excluded: excluded,
    cells: counts.cells,
    rows: counts.rows,
    requests: counts.requests,
    duration_ms: counts.durationMs,
    gaps_left: tally.gapsLeft,
    restated: tally.restated,
    restated_final: tally.restatedFinal,
    unknown_keys: tally.unknownKeys,
    outside_buckets: tally.outsideBuckets,
    failures: failures.length,
    ...(refusal ? { refused: refusal.message } : {}),
  };
  if (report.status === 'complete' && !refusal) logger.info(fields, 'run finished');
  else logger.warn({ ...fields, first_failure: failures[0] }, 'run finished, something is missing');
  if (tally.restatedFinal > 0) {
    logger.warn(
      { run_id: runId, cells: tally.restatedFinal },
      'final numbers were restated, see the view restatements',
    );
  }
}
