import { setTimeout as sleep } from 'node:timers/promises';
import { requireSchema } from '../database/migrate.ts';
import { HeldError, LosantError, SettingsError } from '../errors.ts';
import { applyPolicy, countDue, type DueScope, retryFailed } from '../ledger/due.ts';
import { addDays, applyTracks, fillInstance, requireTracks } from '../ledger/fill.ts';
import { hasGaps } from '../ledger/gaps.ts';
import { requireOwnTables } from '../ledger/guard.ts';
import { registerInstance, requireApiUrl } from '../ledger/instances.ts';
import { type BeginOptions, type LeaseHold, takeLease } from '../ledger/lease.ts';
import { getInstance } from '../losant/orgs.ts';
import { addDays as addToDay, type DayRange, HOUR_MS } from '../usage/day.ts';
import { type InstanceContext, type RunOptions, requireApiClock } from './context.ts';
import { readControlTotals } from './control-totals.ts';
import { confirmRemovals, type DiscoveryFailure, discover } from './discover.ts';
import { exportDue } from './pipeline.ts';
import { type RunReport, Tally } from './report.ts';
import { holdSession, type Session } from './session.ts';

export interface RunOutcome {
  readonly report: RunReport;
  readonly tally: Tally;
  /** Losant's refusal of the token or of a scope. */
  readonly refusal: LosantError | null;
}

/**
 * Runs one export of one instance: schema, clocks, lease, discovery, export, record. Numbers that were loaded stay
 * loaded, however the run ends. A refused scope ends only its stream. Throws HeldError if another process exports the
 * instance; DatabaseError, LosantError or SettingsError if the run cannot begin; or the signal's reason.
 */
export async function runInstance(context: InstanceContext, options: RunOptions): Promise<RunOutcome> {
  const { db, instanceId, apiUrl, controlTotals, now } = context;
  const { runId, kind } = options;
  const startedAtMs = now();
  const requestsBefore = context.requestCount();
  await requireSchema(context.handle, { createIfEmpty: false, autoMigrate: false });
  await requireOwnTables(db);
  await requireApiUrl(db, { instanceId, apiUrl });
  const name = await confirmInstance(context, options.signal);
  await registerInstance(db, { instanceId, apiUrl, name, controlTotals });
  const tally = new Tally(instanceId, () => context.requestCount() - requestsBefore);
  const { lease, hasAdded } = await takeLeaseInTurn(context, options);
  const ended = await holdSession(context, options, { lease, tally }, async (session) => {
    // A newer version may have migrated while this one waited.
    await requireSchema(context.handle, { createIfEmpty: false, autoMigrate: false });
    const run = new Run(context, options, { session, tally, hasAdded });
    const refusal = await run.export();
    if (refusal?.kind !== 'unauthorized') await readControlTotals(context, session);
    return { status: await run.judge(refusal), refusal, isRecorded: session.isBegun };
  });
  const { status, refusal } = ended;
  const durationMs = Math.round(now() - startedAtMs);
  const report = tally.toReport({ runId: ended.isRecorded ? runId : null, kind, status, durationMs });
  return { report, tally, refusal };
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
    logger.warn({ instance_id: instanceId, err: error }, 'instance not confirmed');
    return null;
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
  const { db, instanceId, host, policy, now } = context;
  const {
    runId,
    kind,
    signal,
    waitMs = kind === 'backfill' ? Number.POSITIVE_INFINITY : 0,
    onHeld,
  } = options;
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
        const all = { instanceId, orgIds: null, streams: null, range: null };
        const { cells } = await countDue(db, all, { nowMs: now(), policy });
        onHeld?.({ message: error.message, cellsLeft: cells });
      }
      // A signal ends the wait by its own reason.
      await sleep(TRY_AGAIN_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Adds the days of a backfill before it has the lease. What has no track yet is judged once it has been discovered. */
async function addIfTracked(context: InstanceContext, options: RunOptions): Promise<boolean> {
  const { db, policy, now } = context;
  const { orgIds, streams, range, force } = options;
  const scope = { instanceId: context.instanceId, orgIds, streams, range: range as DayRange };
  try {
    const write = { lease: null, now };
    await addDays(db, write, { scope, nowMs: now(), policy, makesRows: true, force });
    return true;
  } catch (error) {
    if (error instanceof SettingsError) return false;
    throw error;
  }
}

interface RunParts {
  readonly session: Session;
  readonly tally: Tally;
  /** Whether the days of a backfill were added while it waited for the lease. */
  readonly hasAdded: boolean;
}

/** A run that has the lease. */
class Run {
  readonly #context: InstanceContext;
  readonly #options: RunOptions;
  readonly #session: Session;
  readonly #tally: Tally;
  readonly #scope: DueScope;
  readonly #write: BeginOptions;
  readonly #hasAdded: boolean;
  /** Whether a backfill begins before the first day that Losant keeps. */
  #isClamped = false;
  #discoveryFailures: readonly DiscoveryFailure[] = [];
  #listRefusal: LosantError | null = null;

  constructor(context: InstanceContext, options: RunOptions, { session, tally, hasAdded }: RunParts) {
    const { kind, orgIds, streams, range } = options;
    this.#context = context;
    this.#options = options;
    this.#session = session;
    this.#tally = tally;
    this.#hasAdded = hasAdded;
    this.#write = session.write;
    // A backfill only adds to what is due, and then reads all of it.
    const only = kind === 'backfill' ? null : range;
    this.#scope = { instanceId: context.instanceId, orgIds, streams, range: only };
  }

  /** Discovers, fills, and exports what is due. Returns Losant's refusal, if there was one. */
  async export(): Promise<LosantError | null> {
    const { db, instanceId, policy, now } = this.#context;
    const { kind, range, onProgress } = this.#options;
    await applyPolicy(db, this.#write, { instanceId, nowMs: now(), policy });
    await this.#prepare({ readsAnew: kind !== 'scheduled' });
    if (range !== null) await this.#addDays(range);
    else {
      await requireTracks(db, this.#scope);
      if (kind === 'manual') await retryFailed(db, this.#write, { scope: this.#scope, nowMs: now(), policy });
    }
    const due = onProgress ? await countDue(db, this.#scope, { nowMs: now(), policy }) : null;
    const refusal = await exportDue({
      context: this.#context,
      session: this.#session,
      tally: this.#tally,
      cellsDue: due?.cells ?? 0,
      onProgress: (progress) => onProgress?.(progress),
      seeking: {
        scope: this.#scope,
        nextPassMs: () => this.#nextPassMs(),
        onNewDay: () => this.#prepare({ readsAnew: false }),
      },
    });
    if (refusal?.kind !== 'unauthorized') await this.#removeNotFound();
    this.#tally.addFailures(this.#discoveryFailures);
    return refusal ?? this.#listRefusal;
  }

  /** Judges a command that named days by the ledger, and any other by what became of what was due. */
  async judge(refusal: LosantError | null): Promise<'complete' | 'partial'> {
    const { orgIds, range } = this.#options;
    const concerns = ({ orgId }: DiscoveryFailure) =>
      orgIds === null || (orgId !== null && orgIds.includes(orgId));
    if (refusal || this.#isClamped || this.#discoveryFailures.some(concerns)) return 'partial';
    const isIncomplete =
      range === null
        ? this.#tally.hasFailedCells
        : await hasGaps(this.#context.db, { ...this.#scope, range });
    return isIncomplete ? 'partial' : 'complete';
  }

  /** Brings organizations, tracks and rows up to date. */
  async #prepare(how: { readonly readsAnew: boolean }): Promise<void> {
    const { db, instanceId, policy, streams, selection, now } = this.#context;
    const { failures, refusal } = await discover(this.#discovering, how);
    this.#discoveryFailures = failures;
    this.#listRefusal = refusal;
    await applyTracks(db, this.#write, { instanceId, streams, selection, nowMs: now(), policy });
    await fillInstance(db, this.#write, { instanceId, nowMs: now(), policy });
  }

  get #discovering() {
    return { ...this.#context, signal: this.#session.signal, write: this.#session.write };
  }

  /** Sets the days that were named due. Throws SettingsError if nobody wants the one day to be read again. */
  async #addDays(range: DayRange): Promise<void> {
    const { db, policy, now } = this.#context;
    const isBackfill = this.#options.kind === 'backfill';
    const { clampedTo, setDue } = await addDays(db, this.#write, {
      scope: { ...this.#scope, range },
      nowMs: now(),
      policy,
      makesRows: isBackfill,
      // What was forced while the run waited may have been read since.
      force: !isBackfill || (this.#options.force && !this.#hasAdded),
    });
    if (clampedTo !== null) this.#noteClamped(range.from, clampedTo);
    if (isBackfill || setDue > 0 || clampedTo !== null) return;
    const scope = (this.#options.orgIds ?? []).map((orgId) => ` --org ${orgId}`).join('');
    throw new SettingsError(`--date ${range.from}: no organization in scope is collected on that day`, {
      hint: `losant-usage backfill --from ${range.from} --to ${range.to}${scope} adds the day`,
    });
  }

  #noteClamped(from: string, clampedTo: string): void {
    this.#isClamped = true;
    const { horizonDays } = this.#context.policy;
    const kept = `Losant keeps the detail of ${horizonDays} days: earlier ones are not asked for`;
    const message = `${kept}; HORIZON_DAYS is for an install that keeps more`;
    const to = addToDay(clampedTo, -1);
    this.#tally.addFailures([{ orgId: null, from, to, code: 'past_horizon', message }]);
  }

  /** Marks organizations that Losant did not know as deleted where they are, and closes what is left of them. */
  async #removeNotFound(): Promise<void> {
    const { db, instanceId, policy, streams, selection, now } = this.#context;
    const { removed, failures } = await confirmRemovals(this.#discovering, this.#tally.notFoundOrgs);
    this.#discoveryFailures = [...this.#discoveryFailures, ...failures];
    if (removed.length === 0) return;
    this.#tally.forgetNotFound(removed);
    await applyTracks(db, this.#write, { instanceId, streams, selection, nowMs: now(), policy });
    await fillInstance(db, this.#write, { instanceId, nowMs: now(), policy });
  }

  #nextPassMs(): number {
    return this.#options.nextWakeAt?.()?.getTime() ?? this.#context.now() + HOUR_MS / 4;
  }
}
