import { setTimeout as sleep } from 'node:timers/promises';
import { requireSchema } from '../database/migrate.ts';
import { BusyError, DatabaseError, describeError, LosantError, SettingsError } from '../errors.ts';
import { applyPolicy, countDueCells, type DueScope, hasGaps, retryFailedCells } from '../ledger/due.ts';
import { createExpectedCells, markDaysDue, syncTracks } from '../ledger/expected.ts';
import { confirmInstance, recordAttempt, recordAttemptError, requireInstance } from '../ledger/instance.ts';
import { acquireLease } from '../ledger/lease.ts';
import { readOrgIds } from '../ledger/organizations.ts';
import { recordFailedRun } from '../ledger/runs.ts';
import { findUntracked } from '../ledger/tracks.ts';
import { getInstance } from '../losant/endpoints.ts';
import { addDays, type DayRange, dayAt, earliestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import { createRunContext, type RunContext, type RunOptions, type RunSetup, requireApiClock } from './context.ts';
import { readControlTotals } from './control-totals.ts';
import { type DiscoveryFailure, discoverOrganizations } from './discover.ts';
import { loadDue } from './pipeline.ts';
import { readBetween } from './preview.ts';
import type { RunOutcome } from './report.ts';
import { runUnderLease, type Session, toNewRun } from './session.ts';

/**
 * Executes a run under the lease. What was loaded stays loaded, however the run ends. The database has the instance
 * from the first attempt on, with the error of the last run. Throws SettingsError if the database belongs to another
 * instance; BusyError if another process runs; DatabaseError, LosantError or SettingsError if the run cannot begin; or
 * the signal's reason.
 */
export async function runOnce(setup: RunSetup, options: RunOptions): Promise<RunOutcome> {
  const { handle, config } = setup;
  await requireSchema(handle);
  await requireInstance(handle.db, config);
  await recordAttempt(handle.db, config.instanceId);
  try {
    const outcome = await executeRun(createRunContext({ ...setup, now: await setup.readNow() }), options);
    await recordAttemptError(handle.db, null);
    return outcome;
  } catch (error) {
    // A day or organization that somebody mistyped is no failure of the instance; a token that cannot be read is one.
    const isMistyped = error instanceof SettingsError && options.kind !== 'scheduled';
    const isRecorded = !(error instanceof BusyError || isMistyped || options.signal.aborted);
    if (isRecorded) await recordFailure(setup, options, error);
    throw error;
  }
}

/** Records why a run failed, also of one that could not even begin, for people who see only the database. */
async function recordFailure(setup: RunSetup, options: RunOptions, error: unknown) {
  const { handle, logger } = setup;
  const { message } = describeError(error);
  try {
    await recordAttemptError(handle.db, message);
    // The database belongs to something else.
    if (error instanceof DatabaseError) return;
    await recordFailedRun(handle.db, toNewRun(setup, options), message);
  } catch (err) {
    logger.warn({ err }, 'could not record why the run failed');
  }
}

async function executeRun(context: RunContext, options: RunOptions): Promise<RunOutcome> {
  const { db, config, now } = context;
  const { runId, kind } = options;
  const startedAtMs = now();
  const confirmation = await readConfirmation(context, options.signal);
  const { apiUrl, controlTotals } = config;
  await confirmInstance(db, { apiUrl, controlTotals, ...confirmation });
  // Another process may have been the first in the meantime.
  await requireInstance(db, config);
  const { lease, isMarkedDue } = await waitForLease(context, options);
  return await runUnderLease(context, options, lease, async (session) => {
    // A newer version may have migrated the database while this one waited.
    await requireSchema(context.handle);
    const { rejection, status } = await loadUnderLease(session, isMarkedDue);
    const between = kind === 'backfill' ? await readBetween(context, options) : null;
    const { tally, isRecorded } = session;
    const durationMs = Math.round(now() - startedAtMs);
    const report = tally.toReport({ runId: isRecorded ? runId : null, kind, status, durationMs, between });
    return { report, tally, rejection };
  });
}

/**
 * Returns whether Losant confirms the instance, with its name. A token that lacks the scope for it may still have those
 * of the counters; then the first list confirms the instance. Throws LosantError if Losant does not know the instance,
 * and AppError `clock_skew`: even a rejection has a Date.
 */
async function readConfirmation({ client, logger }: RunContext, signal: AbortSignal) {
  try {
    const { name } = await getInstance(client, signal);
    return { isConfirmed: true, name };
  } catch (error) {
    const canContinue = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
    if (!canContinue) throw error;
    logger.warn({ err: error }, 'could not read the instance; continuing');
    return { isConfirmed: false, name: null };
  } finally {
    requireApiClock(client.getAheadMs());
  }
}

const LEASE_RETRY_INTERVAL_MS = 1_000;
const WAIT_NOTICE_INTERVAL_MS = 60_000;

/** Waits for the lease. A backfill marks its days due first, so that the process that has the lease reads them. */
async function waitForLease(context: RunContext, options: RunOptions) {
  const { db, host, now } = context;
  const { runId, kind, signal, waitMs = 0, onBusy } = options;
  const startedAtMs = now();
  let isMarkedDue = false;
  let lastNoticeAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return { lease: await acquireLease(db, { runId, host }), isMarkedDue };
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
async function markDueIfTracked(context: RunContext, options: RunOptions): Promise<boolean> {
  const range = options.range as DayRange;
  try {
    await findUntracked(context, options);
    await markDaysDue({ ...context, lease: null }, { ...options, range, extendsTracks: true });
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
  const { isRefreshed } = discovery;
  const untracked = await findUntracked(ledger, options);
  tally.addFailures(untracked.map((pair) => ({ ...pair, code: 'not_tracked', message: NEVER_TRACKED })));
  let isClamped = false;
  if (range !== null) isClamped = await markRequestedDaysDue(session, range, isMarkedDue);
  else if (kind === 'manual') await retryFailedCells(ledger, scope);
  const onNewDay = async () => {
    discovery = await prepareCells(session, { forceRefresh: false });
  };
  const usageRejection = await loadDue(session, scope, { createdOn, onNewDay });
  if (usageRejection?.kind !== 'unauthorized' && tally.hasNotFoundErrors) {
    // Losant returns 404 for an organization that was deleted since the list was read.
    discovery = await prepareCells(session, { forceRefresh: true });
    tally.reclassifyDeleted(new Set(await readOrgIds(ledger.db)));
  }
  tally.addFailures(discovery.failures);
  const rejection = usageRejection ?? discovery.rejection;
  const canAskMore = rejection?.kind !== 'unauthorized' && !session.rejections.isPaused;
  if (canAskMore) await readControlTotals(session, { rereadsDifferences: isRefreshed });
  const isInScope = ({ orgId }: DiscoveryFailure) => orgIds?.includes(orgId ?? '') ?? true;
  const isPartial =
    rejection !== null ||
    session.rejections.isPaused ||
    isClamped ||
    untracked.length > 0 ||
    discovery.failures.some(isInScope) ||
    (await hasFailedCells(session));
  return { rejection, status: isPartial ? ('partial' as const) : ('complete' as const) };
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
  const { policy, now } = ledger;
  const { kind, orgIds, streams, force } = options;
  const isBackfill = kind === 'backfill';
  const horizon = horizonStart(now(), policy);
  const isClamped = range.from < horizon;
  const markedCells = await markDaysDue(ledger, {
    ...options,
    range,
    extendsTracks: isBackfill,
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
  const scope = [...orgOptions, ...streamOptions].join('');
  throw new SettingsError(`--day ${range.from}: no cells are expected on that day`, {
    hint: `losant-usage backfill --from ${range.from} --to ${range.to}${scope} adds the day`,
  });
}
