import { setTimeout as sleep } from 'node:timers/promises';
import { requireSchema } from '../database/migrate.ts';
import { HeldError, LosantError, SettingsError } from '../errors.ts';
import { applyPolicy, countDue, type DueScope, hasGaps, retryFailed } from '../ledger/due.ts';
import { addDays, applyTracks, fillInstance, requireTracks } from '../ledger/fill.ts';
import { requireOwnTables } from '../ledger/guard.ts';
import { recordAttempt, recordAttemptEnd, registerInstance, requireApiUrl } from '../ledger/instances.ts';
import { type LeaseHold, takeLease } from '../ledger/lease.ts';
import { readOrgIds } from '../ledger/organizations.ts';
import { getInstance } from '../losant/orgs.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { addDays as addToDay, type DayRange, earliestDay } from '../usage/day.ts';
import { horizonStart } from '../usage/policy.ts';
import {
  type ExportEnvironment,
  type InstanceContext,
  openInstance,
  type RunOptions,
  requireApiClock,
} from './context.ts';
import { readControlTotals } from './control-totals.ts';
import { type Discovery, type DiscoveryFailure, discover } from './discover.ts';
import { exportDue } from './pipeline.ts';
import type { RunOutcome } from './report.ts';
import { holdSession, type Session } from './session.ts';

/**
 * Runs one export of one instance: schema, clocks, lease, discovery, export, record. Numbers that were loaded stay
 * loaded, however the run ends. A refused scope ends only its stream. The instance is in the database from the first
 * attempt on, with the reason why the last one broke off. Throws HeldError if another process exports the instance;
 * DatabaseError, LosantError or SettingsError if the run cannot begin; or the signal's reason.
 */
export async function runInstance(
  environment: ExportEnvironment,
  instance: InstanceConfig,
  options: RunOptions,
): Promise<RunOutcome> {
  const { handle, logger } = environment;
  const { instanceId } = instance;
  await requireSchema(handle, { createIfEmpty: false, autoMigrate: false });
  await requireOwnTables(handle.db);
  await recordAttempt(handle.db, instanceId);
  try {
    const outcome = await runOpened(openInstance(environment, instance), options);
    await recordAttemptEnd(handle.db, instanceId, null);
    return outcome;
  } catch (error) {
    if (error instanceof HeldError || options.signal.aborted) throw error;
    const message = error instanceof Error ? error.message : String(error);
    await recordAttemptEnd(handle.db, instanceId, message).catch((err: unknown) => {
      logger.warn({ err, instance_id: instanceId }, 'failed attempt not recorded');
    });
    throw error;
  }
}

async function runOpened(context: InstanceContext, options: RunOptions): Promise<RunOutcome> {
  const { db, instanceId, apiUrl, controlTotals, now } = context;
  const { runId, kind } = options;
  const startedAtMs = now();
  await requireApiUrl(db, { instanceId, apiUrl });
  const confirmed = await confirmInstance(context, options.signal);
  await registerInstance(db, { instanceId, apiUrl, controlTotals, ...confirmed });
  const { lease, hasAdded } = await takeLeaseInTurn(context, options);
  return await holdSession(context, options, lease, async (session) => {
    // A newer version may have migrated while this one waited.
    await requireSchema(context.handle, { createIfEmpty: false, autoMigrate: false });
    const { refusal, status } = await exportUnderLease(session, hasAdded);
    const { tally, isBegun } = session;
    const durationMs = Math.round(now() - startedAtMs);
    const report = tally.toReport({ runId: isBegun ? runId : null, kind, status, durationMs });
    return { report, tally, refusal };
  });
}

/**
 * Throws unless Losant knows the instance and its clock agrees; returns its name. A token that may not ask this may
 * still have the scopes for the counters: then the first list confirms the instance, and the refusal's own Date still
 * shows the clock.
 */
async function confirmInstance(
  { client, instanceId, apiAheadMs, logger }: InstanceContext,
  signal: AbortSignal,
): Promise<{ readonly isConfirmed: boolean; readonly name: string | null }> {
  try {
    const { name } = await getInstance(client, { instanceId, signal });
    return { isConfirmed: true, name };
  } catch (error) {
    const mayGoOn = error instanceof LosantError && ['forbidden', 'not_supported'].includes(error.kind);
    if (!mayGoOn) throw error;
    logger.warn({ instance_id: instanceId, err: error }, 'instance not confirmed');
    return { isConfirmed: false, name: null };
  } finally {
    requireApiClock(apiAheadMs());
  }
}

/** The intervals at which a held lease is tried again, and at which the wait is told. */
const TRY_AGAIN_MS = 1_000;
const TELL_AGAIN_MS = 60_000;

/**
 * Takes the lease, waiting for another process as long as the options say. What a backfill adds is made meanwhile, so
 * that the other process reads it.
 */
async function takeLeaseInTurn(
  context: InstanceContext,
  options: RunOptions,
): Promise<{ lease: LeaseHold; hasAdded: boolean }> {
  const { db, instanceId, host, now } = context;
  const { runId, kind, signal, waitMs = 0, onHeld } = options;
  const startedAtMs = now();
  let hasAdded = false;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return { lease: await takeLease(db, { instanceId, runId, host }), hasAdded };
    } catch (error) {
      const waits = error instanceof HeldError && now() - startedAtMs < waitMs;
      if (!waits) throw error;
      if (kind === 'backfill' && !hasAdded) hasAdded = await addIfTracked(context, options);
      if (now() - toldAtMs >= TELL_AGAIN_MS) {
        toldAtMs = now();
        const cellsLeft = await countDue(context, { orgIds: null, streams: null, range: null });
        onHeld?.({ message: error.message, cellsLeft });
      }
      // A signal ends the wait by its own reason.
      await sleep(TRY_AGAIN_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Adds the days of a backfill before it has the lease. What has no track yet is judged once it has been discovered. */
async function addIfTracked(context: InstanceContext, options: RunOptions): Promise<boolean> {
  const range = options.range as DayRange;
  try {
    await addDays({ ...context, lease: null }, { ...options, range, makesRows: true });
    return true;
  } catch (error) {
    if (error instanceof SettingsError) return false;
    throw error;
  }
}

/**
 * Discovers, fills, exports what is due, and asks for control totals. A command that named days is judged by the
 * ledger, and any other by what became of what was due. Returns that status, and Losant's refusal, if there was one.
 */
async function exportUnderLease(session: Session, hasAdded: boolean) {
  const { tally, ledger, options } = session;
  const { kind, orgIds, range } = options;
  // A backfill only adds to what is due, and then reads all of it.
  const scope: DueScope = kind === 'backfill' ? { ...options, range: null } : options;
  await applyPolicy(ledger);
  let discovery = await prepare(session, { readsAnew: kind !== 'scheduled' });
  let isClamped = false;
  if (range !== null) isClamped = await addNamedDays(session, range, hasAdded);
  else {
    await requireTracks(ledger, scope);
    if (kind === 'manual') await retryFailed(ledger, scope);
  }
  const refused = await exportDue(session, scope, async () => {
    discovery = await prepare(session, { readsAnew: false });
  });
  if (refused?.kind !== 'unauthorized' && tally.hasNotFound) {
    // Deleted ones have nothing left to read.
    discovery = await prepare(session, { readsAnew: true });
    tally.forgetNotFound(new Set(await readOrgIds(ledger.db, ledger.instanceId)));
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
async function prepare(session: Session, how: { readonly readsAnew: boolean }): Promise<Discovery> {
  const discovery = await discover(session, how);
  await applyTracks(session.ledger, session.context);
  await fillInstance(session.ledger);
  return discovery;
}

/**
 * Sets the days that were named due. Returns whether they begin before the first day that Losant keeps. Throws
 * SettingsError if nobody wants the one day to be read again.
 */
async function addNamedDays(session: Session, range: DayRange, hasAdded: boolean): Promise<boolean> {
  const { options, ledger, tally } = session;
  const { policy, now } = ledger;
  const { kind, orgIds, force } = options;
  const isBackfill = kind === 'backfill';
  const horizon = horizonStart(now(), policy);
  const isClamped = range.from < horizon;
  const setDue = await addDays(ledger, {
    ...options,
    range,
    makesRows: isBackfill,
    // Days that were forced while the run waited may have been read since.
    force: !isBackfill || (force && !hasAdded),
  });
  if (isClamped) {
    const kept = `Losant keeps the detail of ${policy.horizonDays} days: earlier ones are not asked for`;
    const message = `${kept}; HORIZON_DAYS is for an install that keeps more`;
    const days = { from: range.from, to: earliestDay(range.to, addToDay(horizon, -1)) };
    tally.addFailures([{ orgId: null, ...days, code: 'past_horizon', message }]);
  }
  if (isBackfill || setDue > 0 || isClamped) return isClamped;
  const scope = (orgIds ?? []).map((orgId) => ` --org ${orgId}`).join('');
  throw new SettingsError(`--date ${range.from}: no organization in scope is collected on that day`, {
    hint: `losant-usage backfill --from ${range.from} --to ${range.to}${scope} adds the day`,
  });
}
