import { ClockError, LosantError, SettingsError } from '../errors.ts';
import { getInstance } from '../losant/orgs.ts';
import { registerInstance, requireApiUrl } from '../database/write/instances.ts';
import { filterTracked } from '../database/write/tracking.ts';
import type { InstanceContext, RunOptions } from './context.ts';
import { confirmRemovals, type DiscoverOptions, discover } from './discover.ts';
import { type Life, liveThrough } from './session.ts';
import { exportScope } from './pipeline.ts';
import { lastCompleteDay } from '../usage/policy.ts';
import { previewRun } from './preview.ts';
import { type RunReport, Tally } from './report.ts';

export interface RunOutcome {
  readonly report: RunReport;
  readonly tally: Tally;
  /** Losant's refusal of the token or of a scope. */
  readonly refusal: LosantError | null;
  /** Organizations Losant has that the configuration leaves out. */
  readonly excluded: number;
}

/** The API's clock may differ by this much; beyond it, it is unclear which day is over. */
const API_SKEW_MAX_MS = 5 * 60_000;

/**
 * One run over one instance: clocks, lease, discovery, export, record. What it
 * has loaded stays loaded, however it ends. A refused scope ends its stream
 * only. Throws HeldError if another process exports the instance, ClockError,
 * DatabaseError, LosantError if it cannot begin, or the signal's reason.
 */
export async function runInstance(context: InstanceContext, options: RunOptions): Promise<RunOutcome> {
  const { db, instanceId, apiUrl, streams, now } = context;
  const startedAtMs = now();
  const requestsBefore = context.requestCount();
  await requireApiUrl(db, { instanceId, apiUrl });
  await requireInstance(context, options.signal);
  await registerInstance(db, { instanceId, apiUrl, streams, yesterday: lastCompleteDay(now()) });
  const tally = new Tally(instanceId);
  const { value, isRecorded } = await liveThrough(context, options, tally, async (life) => {
    const { refusal, excluded } = await discoverAndExport(context, options, { tally, life });
    tally.requests = context.requestCount() - requestsBefore;
    const status: 'complete' | 'partial' = tally.isClean && !refusal ? 'complete' : 'partial';
    return { status, refusal, excluded };
  });
  const report = tally.toReport({
    runId: isRecorded ? options.runId : null,
    kind: options.kind,
    status: value.status,
    durationMs: Math.round(now() - startedAtMs),
  });
  return { report, tally, refusal: value.refusal, excluded: value.excluded };
}

/**
 * Throws unless Losant knows the instance and its clock agrees. A token that may
 * not ask this may still have the scopes that count; its answer shows the clock.
 */
async function requireInstance(
  { client, instanceId, apiAheadMs, logger }: InstanceContext,
  signal: AbortSignal,
): Promise<void> {
  try {
    await getInstance(client, { instanceId, signal });
  } catch (error) {
    const mayGoOn = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
    if (!mayGoOn) throw error;
    logger.warn({ instance_id: instanceId, err: error }, 'instance not confirmed');
  }
  requireApiClock(apiAheadMs());
}

/** Throws ClockError if the API's clock, `aheadMs` before this one, is too far off; null is not known. */
export function requireApiClock(aheadMs: number | null): void {
  if (aheadMs === null || Math.abs(aheadMs) <= API_SKEW_MAX_MS) return;
  throw new ClockError(
    `This host's clock is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'behind' : 'ahead of'} the Losant API's`,
    { hint: 'set the clock (NTP); nothing was loaded, because it is unclear which day is over' },
  );
}

async function discoverAndExport(
  context: InstanceContext,
  options: RunOptions,
  { tally, life }: { tally: Tally; life: Life },
): Promise<{ refusal: LosantError | null; excluded: number }> {
  const discoverOptions: DiscoverOptions = { ...context, signal: life.signal };
  const { failures, excluded, refusal: refusedList } = await discover(discoverOptions);
  tally.addDiscoveryFailures(failures);
  if (options.orgIds) await requireTracked(context, options.orgIds);
  options.onPlan?.(await previewRun(context, options, { isKnown: true }));
  const refusal = await exportOrgs(context, options, { tally, life, orgIds: options.orgIds });
  const gone = tally.notFoundOrgs;
  if (gone.length > 0 && refusal?.kind !== 'unauthorized') {
    const { failures: refused, removed } = await confirmRemovals(discoverOptions, gone);
    tally.addDiscoveryFailures(refused);
    if (removed.length > 0) {
      const { orgs } = tally;
      tally.forgetNotFound(removed);
      await exportOrgs(context, options, { tally, life, orgIds: removed });
      tally.orgs = orgs;
    }
  }
  return { refusal: refusal ?? refusedList, excluded };
}

async function exportOrgs(
  { db, client, instanceId, policy, concurrency, now }: InstanceContext,
  { runId, ask, streams, onProgress }: RunOptions,
  { tally, life, orgIds }: { tally: Tally; life: Life; orgIds: readonly string[] | null },
): Promise<LosantError | null> {
  const { lease, signal, begin } = life;
  const scope = { instanceId, streams, orgIds };
  return await exportScope(
    {
      db,
      client,
      scope,
      policy,
      ask,
      runId,
      lease,
      concurrency,
      now,
      signal,
      onFirstWork: begin,
      onProgress,
    },
    tally,
  );
}

/** An organization named on the command line must be one that this configuration exports. */
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
