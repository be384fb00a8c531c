import { setTimeout as sleep } from 'node:timers/promises';
import { requireSchema } from '../database/migrate.ts';
import { BusyError, LosantError, SettingsError } from '../errors.ts';
import { applyPolicy, countDue, type DueScope, hasGaps, retryFailed } from '../ledger/due.ts';
import { createExpectedCells, markDaysDue, requireTracks, syncTracks } from '../ledger/expected.ts';
import { requireOwnTables } from '../ledger/guard.ts';
import { registerInstance, requireApiUrl } from '../ledger/instances.ts';
import { type Lease, takeLease } from '../ledger/lease.ts';
import { readOrgIds } from '../ledger/organizations.ts';
import { getInstance } from '../losant/orgs.ts';
import { addDays as addToDay, type DayRange, earliestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import { type InstanceContext, type RunOptions, requireApiClock } from './context.ts';
import { readControlTotals } from './control-totals.ts';
import { type Discovery, type DiscoveryFailure, discover } from './discover.ts';
import { exportDue } from './pipeline.ts';
import type { RunOutcome } from './report.ts';
import { runUnderLease, type Session } from './session.ts';

/**
 * Runs one export of one instance: schema, clocks, lease, discovery, export, record. Numbers that were loaded stay
 * loaded, however the run ends. A refused scope ends only its stream. Throws BusyError if another process exports the
 * instance; DatabaseError, LosantError or SettingsError if the run cannot begin; or the signal's reason.
 */
export async function runInstance(context: InstanceContext, options: RunOptions): Promise<RunOutcome> {
  const { db, instanceId, apiUrl, controlTotals, now } = context;
  const { runId, kind } = options;
  const startedAtMs = now();
  await requireSchema(context.handle, { createIfEmpty: false, autoMigrate: false });
  await requireOwnTables(db);
  await requireApiUrl(db, { instanceId, apiUrl });
  const name = await confirmInstance(context, options.signal);
  await registerInstance(db, { instanceId, apiUrl, name, controlTotals });
  const { lease, isMarkedDue } = await waitForLease(context, options);
  return await runUnderLease(context, options, lease, async (session) => {
    // A newer version may have migrated while this one waited.
    await requireSchema(context.handle, { createIfEmpty: false, autoMigrate: false });
    const { refusal, status } = await exportUnderLease(session, isMarkedDue);
    const { tally, isBegun } = session;
    const durationMs = Math.round(now() - startedAtMs);
    const report = tally.toReport({ runId: isBegun ? runId : null, kind, status, durationMs });
    return { report, tally, refusal };
  });
}

/**
 * Throws unless Losant knows the instance and its clock agrees; returns its name. A token that may not ask this may
 * still have the scopes for the counters; the refusal's own Date still shows the clock.
 */
async function confirmInstance(
  { client, instanceId, apiAheadMs, logger }: InstanceContext,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    const { name } = await getInstance(client, { instanceId, signal });
    return name;
  } catch (error) {
    const mayGoOn = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
    if (!mayGoOn) throw error;
    logger.warn({ instance_id: instanceId, err: error }, 'could not read the instance; continuing');
    return null;
  } finally {
    requireApiClock(apiAheadMs());
  }
}

/** The intervals at which a held lease is tried again, and at which the wait is told. */
const LEASE_RETRY_INTERVAL_MS = 1_000;
const WAIT_NOTICE_INTERVAL_MS = 60_000;

/**
 * Waits for the lease as long as the options allow. A backfill marks its days due first, so that the process that
 * holds the lease reads them.
 */
async function waitForLease(
  context: InstanceContext,
  options: RunOptions,
): Promise<{ lease: Lease; isMarkedDue: boolean }> {
  const { db, instanceId, host, now } = context;
  const { runId, kind, signal, waitMs = 0, onBusy } = options;
  const startedAtMs = now();
  let isMarkedDue = false;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return { lease: await takeLease(db, { instanceId, runId, host }), isMarkedDue };
    } catch (error) {
      const waits = error instanceof BusyError && now() - startedAtMs < waitMs;
      if (!waits) throw error;
      if (kind === 'backfill' && !isMarkedDue) isMarkedDue = await markDueIfTracked(context, options);
      if (now() - toldAtMs >= WAIT_NOTICE_INTERVAL_MS) {
        toldAtMs = now();
        const cellsLeft = await countDue(context, { orgIds: null, streams: null, range: null });
        onBusy?.({ message: error.message, cellsLeft });
      }
      // A signal ends the wait by its own reason.
      await sleep(LEASE_RETRY_INTERVAL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Adds the days of a backfill before it has the lease. What has no track yet is judged once it has been discovered. */
async function markDueIfTracked(context: InstanceContext, options: RunOptions): Promise<boolean> {
  const range = options.range as DayRange;
  try {
    await markDaysDue({ ...context, lease: null }, { ...options, range, insertsCells: true });
    return true;
  } catch (error) {
    if (error instanceof SettingsError) return false;
    throw error;
  }
}

/**
 * Discovers, creates expected cells, loads what is due, reads control totals. If the command named days, its
 * status comes from the ledger, whoever loaded them; otherwise from what this run did with what was due.
 */
async function exportUnderLease(session: Session, isMarkedDue: boolean) {
  const { tally, ledger, options } = session;
  const { kind, orgIds, range } = options;
  // A backfill only adds to what is due, and then reads all of it.
  const scope: DueScope = kind === 'backfill' ? { ...options, range: null } : options;
  await applyPolicy(ledger);
  let discovery = await prepare(session, { forceRefresh: kind !== 'scheduled' });
  let isClamped = false;
  if (range !== null) isClamped = await markRequestedDaysDue(session, range, isMarkedDue);
  else {
    await requireTracks(ledger, scope);
    if (kind === 'manual') await retryFailed(ledger, scope);
  }
  const refused = await exportDue(session, scope, async () => {
    discovery = await prepare(session, { forceRefresh: false });
  });
  if (refused?.kind !== 'unauthorized' && tally.hasNotFoundErrors) {
    // Deleted ones have nothing left to read.
    discovery = await prepare(session, { forceRefresh: true });
    tally.reclassifyDeleted(new Set(await readOrgIds(ledger.db, ledger.instanceId)));
  }
  tally.addFailures(discovery.failures);
  const refusal = refused ?? discovery.refusal;
  if (refusal?.kind !== 'unauthorized') await readControlTotals(session);
  const concerns = ({ orgId }: DiscoveryFailure) =>
    orgIds === null || (orgId !== null && orgIds.includes(orgId));
  const isPartial =
    refusal !== null ||
    isClamped ||
    discovery.failures.some(concerns) ||
    (range === null ? tally.hasFailedCells : await hasGaps(ledger, options));
  return { refusal, status: isPartial ? ('partial' as const) : ('complete' as const) };
}

/** Brings organizations, tracks and rows up to date. */
async function prepare(session: Session, how: { readonly forceRefresh: boolean }): Promise<Discovery> {
  const discovery = await discover(session, how);
  await syncTracks(session.ledger, session.context);
  await createExpectedCells(session.ledger);
  return discovery;
}

/**
 * Sets the days that were named due. Returns whether they begin before the first day that Losant keeps. Throws
 * SettingsError if nobody wants the one day to be read again.
 */
async function markRequestedDaysDue(
  session: Session,
  range: DayRange,
  isMarkedDue: boolean,
): Promise<boolean> {
  const { options, ledger, tally } = session;
  const { policy, now } = ledger;
  const { kind, orgIds, force } = options;
  const isBackfill = kind === 'backfill';
  const horizon = horizonStart(now(), policy);
  const isClamped = range.from < horizon;
  const setDue = await markDaysDue(ledger, {
    ...options,
    range,
    insertsCells: isBackfill,
    // Days that were forced while the run waited may have been read since.
    force: !isBackfill || (force && !isMarkedDue),
  });
  if (isClamped) {
    const horizonNote = `Losant retains ${policy.horizonDays} days of detail, so earlier days are skipped`;
    const message = `${horizonNote}; raise HORIZON_DAYS only if your install retains more`;
    const days = { from: range.from, to: earliestDay(range.to, addToDay(horizon, -1)) };
    tally.addFailures([{ orgId: null, ...days, code: 'past_horizon', message }]);
  }
  if (isBackfill || setDue > 0 || isClamped) return isClamped;
  const scope = (orgIds ?? []).map((orgId) => ` --org ${orgId}`).join('');
  throw new SettingsError(`--day ${range.from}: no organization in scope expects that day`, {
    hint: `losant-usage backfill --from ${range.from} --to ${range.to}${scope} adds the day`,
  });
}
