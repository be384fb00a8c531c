import { setTimeout as sleep } from 'node:timers/promises';
import { requireSchema } from '../database/migrate.ts';
import { BusyError, DatabaseError, describeError, LosantError, SettingsError } from '../errors.ts';
import { refreshAttention } from '../ledger/attention.ts';
import { rejectForeignObjects } from '../ledger/coverage.ts';
import { applyPolicy, countDueCells, type DueScope, hasGaps, retryFailedCells } from '../ledger/due.ts';
import { createExpectedCells, markDaysDue, syncTracks } from '../ledger/expected.ts';
import { recordAttempt, recordAttemptError, registerInstance, requireApiUrl } from '../ledger/instances.ts';
import { acquireLease } from '../ledger/lease.ts';
import { readOrgIds } from '../ledger/organizations.ts';
import { recordFailedRun } from '../ledger/runs.ts';
import { findUntracked } from '../ledger/tracks.ts';
import { getInstance } from '../losant/endpoints.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { localDayAt } from '../settings/notify-time.ts';
import { addDays, type DayRange, dayAt, earliestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import {
  createInstanceContext,
  type InstanceContext,
  type RunOptions,
  type RunSetup,
  requireApiClock,
} from './context.ts';
import { readControlTotals } from './control-totals.ts';
import { type DiscoveryFailure, discoverOrganizations } from './discover.ts';
import { loadDue } from './pipeline.ts';
import type { RunOutcome } from './report.ts';
import { runUnderLease, type Session, toNewRun } from './session.ts';

/**
 * Executes a run of one instance under its lease. What was loaded stays loaded, however the run ends. The database has
 * the instance from the first attempt on, with the error of the last run. Throws BusyError if another process runs the
 * instance; DatabaseError, LosantError or SettingsError if the run cannot begin; or the signal's reason.
 */
export async function runInstance(setup: RunSetup, instance: InstanceConfig, options: RunOptions): Promise<RunOutcome> {
  const { handle } = setup;
  const { instanceId } = instance;
  await requireSchema(handle);
  await rejectForeignObjects(handle.db);
  await recordAttempt(handle.db, instanceId);
  try {
    const environment = { ...setup, now: await setup.readNow() };
    const outcome = await executeRun(createInstanceContext(environment, instance), options);
    await recordAttemptError(handle.db, instanceId, null);
    return outcome;
  } catch (error) {
    // A day or organization that somebody mistyped is no failure of the instance; a token that cannot be read is one.
    const isMistyped = error instanceof SettingsError && options.kind !== 'scheduled';
    const isRecorded = !(error instanceof BusyError || isMistyped || options.signal.aborted);
    if (isRecorded) await recordFailure(setup, instanceId, options, error);
    throw error;
  }
}

/** Records why a run failed, also of one that could not even begin, for people who see only the database. */
async function recordFailure(setup: RunSetup, instanceId: string, options: RunOptions, error: unknown) {
  const { handle, logger } = setup;
  const { message } = describeError(error);
  try {
    await recordAttemptError(handle.db, instanceId, message);
    // The database belongs to something else.
    if (error instanceof DatabaseError) return;
    await recordFailedRun(handle.db, toNewRun(setup, instanceId, options), message);
  } catch (err) {
    logger.warn({ err, instance_id: instanceId }, 'could not record why the run failed');
  }
}

async function executeRun(context: InstanceContext, options: RunOptions): Promise<RunOutcome> {
  const { db, instanceId, apiUrl, controlTotals, now } = context;
  const { runId, kind } = options;
  const startedAtMs = now();
  await requireApiUrl(db, { instanceId, apiUrl });
  const confirmation = await confirmInstance(context, options.signal);
  await registerInstance(db, { instanceId, apiUrl, controlTotals, ...confirmation });
  const { lease, isMarkedDue } = await waitForLease(context, options);
  return await runUnderLease(context, options, lease, async (session) => {
    // A newer version may have migrated the database while this one waited.
    await requireSchema(context.handle);
    const { refusal, status } = await loadUnderLease(session, isMarkedDue);
    await refreshAfterLoad(session);
    const { tally, isRecorded } = session;
    const durationMs = Math.round(now() - startedAtMs);
    const report = tally.toReport({ runId: isRecorded ? runId : null, kind, status, durationMs });
    return { report, tally, refusal };
  });
}

/** Refreshes what needs attention if the run stored something. A failure is logged; the next run tries again. */
async function refreshAfterLoad({ tally, ledger, context, signal }: Session): Promise<void> {
  if (tally.cells.loaded === 0) return;
  try {
    await refreshAttention(ledger, localDayAt(ledger.now(), context.notifyAt));
  } catch (error) {
    signal.throwIfAborted();
    context.logger.warn({ instance_id: ledger.instanceId, err: error }, 'could not refresh what needs attention');
  }
}

/**
 * Returns whether Losant confirms the instance, with its name. A token that lacks the scope for it may still have those
 * of the counters; then the first list confirms the instance. Throws LosantError if Losant does not know the instance,
 * and AppError `clock_skew`: even a rejection has a Date.
 */
async function confirmInstance({ client, instanceId, logger }: InstanceContext, signal: AbortSignal) {
  try {
    const { name } = await getInstance(client, { instanceId, signal });
    return { isConfirmed: true, name };
  } catch (error) {
    const canContinue = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
    if (!canContinue) throw error;
    logger.warn({ instance_id: instanceId, err: error }, 'could not read the instance; continuing');
    return { isConfirmed: false, name: null };
  } finally {
    requireApiClock(client.getAheadMs());
  }
}

const LEASE_RETRY_INTERVAL_MS = 1_000;
const WAIT_NOTICE_INTERVAL_MS = 60_000;

/** Waits for the lease. A backfill marks its days due first, so that the process that has the lease reads them. */
async function waitForLease(context: InstanceContext, options: RunOptions) {
  const { db, instanceId, host, now } = context;
  const { runId, kind, signal, waitMs = 0, onBusy } = options;
  const startedAtMs = now();
  let isMarkedDue = false;
  let lastNoticeAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return { lease: await acquireLease(db, { instanceId, runId, host }), isMarkedDue };
    } catch (error) {
      const canWait = error instanceof BusyError && now() - startedAtMs < waitMs;
      if (!canWait) throw error;
      if (kind === 'backfill' && !isMarkedDue) isMarkedDue = await markDueIfTracked(context, options);
      if (now() - lastNoticeAtMs >= WAIT_NOTICE_INTERVAL_MS) {
        lastNoticeAtMs = now();
        const cellsLeft = await countDueCells(context, { orgIds: null, streams: null, range: null });
        onBusy?.({ message: error.message, cellsLeft });
      }
      await sleep(LEASE_RETRY_INTERVAL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Returns false if something has no track: discovery, under the lease, may create it. */
async function markDueIfTracked(context: InstanceContext, options: RunOptions): Promise<boolean> {
  const range = options.range as DayRange;
  try {
    await findUntracked(context, options);
    await markDaysDue({ ...context, lease: null }, { ...options, range, insertsCells: true });
    return true;
  } catch (error) {
    if (error instanceof SettingsError) return false;
    throw error;
  }
}

const NEVER_TRACKED = 'never tracked; LOSANT_ORG_IDS and STREAMS say what is tracked';

/**
 * Discovers, creates expected cells, loads what is due, reads control totals. If the command named days, its
 * status comes from the ledger, whoever loaded them; otherwise from what this run did with what was due.
 */
async function loadUnderLease(session: Session, isMarkedDue: boolean) {
  const { tally, ledger, options } = session;
  const { kind, orgIds, range } = options;
  // A backfill adds to what is due, and then reads all that is due.
  const scope: DueScope = kind === 'backfill' ? { ...options, range: null } : options;
  await applyPolicy(ledger);
  const createdOn = dayAt(ledger.now());
  let discovery = await prepareCells(session, { forceRefresh: kind !== 'scheduled' });
  const untracked = await findUntracked(ledger, options);
  tally.addFailures(untracked.map((pair) => ({ ...pair, code: 'not_tracked', message: NEVER_TRACKED })));
  let isClamped = false;
  if (range !== null) isClamped = await markRequestedDaysDue(session, range, isMarkedDue);
  else if (kind === 'manual') await retryFailedCells(ledger, scope);
  const onNewDay = async () => {
    discovery = await prepareCells(session, { forceRefresh: false });
  };
  const usageRefusal = await loadDue(session, scope, { createdOn, onNewDay });
  if (usageRefusal?.kind !== 'unauthorized' && tally.hasNotFoundErrors) {
    // Losant returns 404 for an organization that was deleted since the list was read.
    discovery = await prepareCells(session, { forceRefresh: true });
    tally.reclassifyDeleted(new Set(await readOrgIds(ledger.db, ledger.instanceId)));
  }
  tally.addFailures(discovery.failures);
  const refusal = usageRefusal ?? discovery.refusal;
  if (refusal?.kind !== 'unauthorized') await readControlTotals(session);
  const isInScope = ({ orgId }: DiscoveryFailure) => orgIds?.includes(orgId ?? '') ?? true;
  const isPartial =
    refusal !== null ||
    isClamped ||
    untracked.length > 0 ||
    discovery.failures.some(isInScope) ||
    (await hasFailedCells(session));
  return { refusal, status: isPartial ? ('partial' as const) : ('complete' as const) };
}

/** Whether a cell of the named days, or one that was due, is missing or in doubt, or was not read. */
export async function hasFailedCells({
  tally,
  ledger,
  options,
}: Pick<Session, 'tally' | 'ledger' | 'options'>): Promise<boolean> {
  if (options.range !== null) return await hasGaps(ledger, options);
  if (tally.hasFailedCells || !tally.isListCut) return tally.hasFailedCells;
  return (await hasGaps(ledger, options)) || (await countDueCells(ledger, options)) > 0;
}

async function prepareCells(session: Session, options: { readonly forceRefresh: boolean }) {
  const discovery = await discoverOrganizations(session, options);
  await syncTracks(session.ledger, session.context);
  await createExpectedCells(session.ledger);
  return discovery;
}

/** Returns whether the days begin before the horizon. Throws SettingsError if nothing expects the one day. */
async function markRequestedDaysDue(session: Session, range: DayRange, isMarkedDue: boolean): Promise<boolean> {
  const { options, ledger, tally } = session;
  const { instanceId, policy, now } = ledger;
  const { kind, orgIds, streams, force } = options;
  const isBackfill = kind === 'backfill';
  const horizon = horizonStart(now(), policy);
  const isClamped = range.from < horizon;
  const markedCells = await markDaysDue(ledger, {
    ...options,
    range,
    insertsCells: isBackfill,
    // Days that were marked while the run waited may have been read since.
    force: !isBackfill || (force && !isMarkedDue),
  });
  if (isClamped) {
    const horizonNote = `Losant retains ${policy.horizonDays} days of detail, so earlier days are skipped`;
    const message = `${horizonNote}; raise HORIZON_DAYS only if your install retains more`;
    const days = { from: range.from, to: earliestDay(range.to, addDays(horizon, -1)) };
    tally.addFailures([{ orgId: null, ...days, code: 'past_horizon', message }]);
  }
  if (isBackfill || markedCells > 0 || isClamped) return isClamped;
  // With a wider scope than the run, the backfill would add the day to what nobody has asked for.
  const orgOptions = (orgIds ?? []).map((orgId) => ` --org ${orgId}`);
  const streamOptions = (streams ?? []).map((stream) => ` --stream ${stream}`);
  const scope = [` --instance ${instanceId}`, ...orgOptions, ...streamOptions].join('');
  throw new SettingsError(`--day ${range.from}: no cells are expected on that day`, {
    hint: `losant-usage backfill --from ${range.from} --to ${range.to}${scope} adds the day`,
  });
}
