import type { Kysely } from 'kysely';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { ClockError, LosantError } from '../errors.ts';
import type { ExportScope } from '../ledger/due.ts';
import { readDatabaseClock } from '../ledger/instances.ts';
import { DATABASE_SKEW_MAX_MS } from '../ledger/lease.ts';
import type { RunKind } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import { ANSWER_SKEW_MAX_MS } from '../losant/answer.ts';
import { type AttemptReport, type LosantClient, openClient } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import { getInstance } from '../losant/orgs.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import type { UsageDay } from '../usage/day.ts';
import type { OrgSelection, Shard } from '../usage/organization.ts';
import type { Ask } from '../usage/plan.ts';
import { type Wait, WaitWatch } from './wait-watch.ts';

/** An instance with everything needed to export it. */
export interface InstanceContext
  extends Pick<InstanceConfig, 'instanceId' | 'apiUrl' | 'streams'>,
    Pick<Config, 'policy' | 'billingPeriods' | 'controlTotals'>,
    Pick<ExportEnvironment, 'logger' | 'host' | 'version'>,
    Pick<OpenOptions, 'handle' | 'now'> {
  /** The database of the handle. */
  readonly db: Kysely<Schema>;
  readonly client: LosantClient;
  readonly selection: OrgSelection;
  readonly concurrency: number;
  /** Returns the API's clock minus `now` in ms, as of the newest answer; null before the first. */
  readonly apiAheadMs: () => number | null;
  /** Notices when a run of it waits for Losant or the database. */
  readonly waits: WaitWatch;
  /** Returns the number of requests sent so far. */
  readonly requestCount: () => number;
}

export interface Progress {
  readonly planned: number;
  readonly done: number;
}

/** The plan of a run, added up over all pages. */
export interface PlanSummary {
  readonly instanceId: string;
  /** The oldest day read; null if nothing is read. `to` is the newest. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly orgs: number;
  /** The number of cells to be read. */
  readonly cells: number;
  /** The number of cells to be read by reason. */
  readonly reasons: Readonly<Record<string, number>>;
  /** The number of requests if each is answered at once, without those of discovery. */
  readonly requests: number;
  /** The number of cells that will become unavailable without a request. */
  readonly unavailable: number;
  /** The number of cells that are missing but not yet due for another try. */
  readonly waiting: number;
  /** The number of cells in the range left out because Losant no longer keeps them. */
  readonly pastHorizon: number;
}

/** The state of the organizations after a run over everything that left no gap. */
export interface Settled {
  /** The listing that the run used. */
  readonly listedAt: Instant;
  /**
   * The run named in the instance's row, which a run that wrote something writes last: a database that
   * has lost its newest transactions, as a failover may, names another one.
   */
  readonly settledBy: string;
  /** The number of Losant's organizations that the configuration leaves out. */
  readonly excluded: number;
}

export interface RunOptions {
  readonly kind: RunKind;
  readonly runId: string;
  /** The days asked for; undefined for everything that is due. */
  readonly ask?: Ask | undefined;
  /** The only organizations to export; null for all that are configured. */
  readonly orgIds: readonly string[] | null;
  /** The only shard of the organizations to export. */
  readonly shard?: Shard | null | undefined;
  /** The only streams to export, out of the configured ones; null for everything that is tracked. */
  readonly streams: readonly string[] | null;
  readonly signal: AbortSignal;
  /** The state left by the previous run of the same process and configuration. */
  readonly settled?: Settled | undefined;
  /** Called with the plan before anything is read. */
  readonly onPlan?: ((plan: PlanSummary) => void) | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * `scopeOf` returns the part of the instance that a run covers. A run that is not limited to some streams reads
 * what is due of every tracked stream, even one taken out of the configuration since; days asked for
 * are read of configured streams only.
 */
export function scopeOf(
  { instanceId, streams }: Pick<InstanceContext, 'instanceId' | 'streams'>,
  { ask, orgIds, shard, streams: wanted }: Pick<RunOptions, 'ask' | 'orgIds' | 'shard' | 'streams'>,
): ExportScope {
  return {
    instanceId,
    orgIds,
    shard: shard ?? null,
    streams: wanted ?? (ask === undefined ? null : streams),
  };
}

/** Whether a run reads everything due of its instance, so that its success means that nothing is missing. */
export function isFullRun({ kind, ask, orgIds, shard, streams }: RunOptions): boolean {
  return kind !== 'backfill' && ask === undefined && orgIds === null && shard == null && streams === null;
}

/**
 * Whether a run also reads failed cells before their retry time, because a person who asks for a run
 * wants them tried.
 */
export function triesFailedAgain({ kind, ask }: Pick<RunOptions, 'kind' | 'ask'>): boolean {
  return kind === 'manual' && ask === undefined;
}

/** The environment in which every instance is opened. */
export interface ExportEnvironment {
  readonly config: Pick<Config, 'policy' | 'request' | 'billingPeriods' | 'controlTotals'>;
  readonly logger: Logger;
  /** Returns the time in ms by this host's clock. */
  readonly hostNow: () => number;
  readonly random: () => number;
  readonly host: string;
  readonly version: string;
}

/** One gate for each token, kept from run to run, so that a pause that Losant asked for continues. */
export type Gates = Map<string, Gate>;

export interface OpenOptions {
  readonly handle: DatabaseHandle;
  /** Returns the time in ms by the database's clock. */
  readonly now: () => number;
  /** The gates by token: instances with the same token share one, so all callers pass the same map. */
  readonly gates: Gates;
  /** The requests per second instead of the configured rate. */
  readonly rate?: number | undefined;
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
  /** Called while a run waits, see {@link WaitWatch}. */
  readonly onWait?: ((wait: Wait | null) => void) | undefined;
}

/**
 * `openInstance` returns everything needed to export one instance, with its token read anew. Throws SettingsError if
 * there is no token.
 */
export function openInstance(
  environment: ExportEnvironment,
  instance: InstanceConfig,
  { handle, now, gates, rate, onAttempt, onWait }: OpenOptions,
): InstanceContext {
  const { config, logger, hostNow, host, version } = environment;
  const token = instance.readToken();
  const requestsPerSecond = rate ?? instance.requestsPerSecond;
  const concurrency = instance.requestConcurrency;
  const gate = gates.get(token) ?? new Gate({ concurrency, requestsPerSecond });
  gates.set(token, gate);
  const { instanceId } = instance;
  const waits = new WaitWatch({ logger, instanceId, hostNow, pauseLeftMs: () => gate.pauseLeftMs, onWait });
  let aheadMs: number | null = null;
  let requests = 0;
  const client = openClient(environment, instance, {
    token,
    gate,
    now,
    onClock: (ms) => {
      aheadMs = ms;
    },
    onAttempt: (report) => {
      requests += 1;
      waits.noteAttempt(report);
      onAttempt?.(report);
    },
  });
  const { policy, billingPeriods, controlTotals } = config;
  const { apiUrl, orgs: selection, streams } = instance;
  return {
    ...{ handle, db: handle.db, client: waits.watch(client), now, logger, host, version },
    ...{ instanceId, apiUrl, selection, streams, policy, billingPeriods, controlTotals, concurrency, waits },
    apiAheadMs: () => aheadMs,
    requestCount: () => requests,
  };
}

/**
 * `requireApiClock` throws ClockError if the API's clock, ahead of this one by `aheadMs`, is too far off. Null means
 * unknown and passes.
 */
export function requireApiClock(aheadMs: number | null): void {
  if (aheadMs === null || Math.abs(aheadMs) <= ANSWER_SKEW_MAX_MS) return;
  throw new ClockError(
    `This host's clock is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'behind' : 'ahead of'} the Losant API's`,
    { hint: 'set the clock (NTP); nothing was loaded, because it is unclear which day is over' },
  );
}

/**
 * `requireClock` asks Losant for its time, after an answer that was made at another one. Returns if only that answer
 * came from a cache. Throws ClockError if a clock has moved.
 */
export async function requireClock(
  { client, instanceId, apiAheadMs }: Pick<InstanceContext, 'client' | 'instanceId' | 'apiAheadMs'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await getInstance(client, { instanceId, attempts: 1, signal });
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    if (error.kind === 'wrong_date') requireApiClock(apiAheadMs());
  }
}

/**
 * `readClock` returns a clock that advances with the host's and shows the database's time. Throws ClockError if
 * the two are more than 30 s apart.
 */
export async function readClock(
  { hostNow }: { readonly hostNow: () => number },
  { db, describe }: DatabaseHandle,
): Promise<() => number> {
  const before = hostNow();
  const databaseMs = await readDatabaseClock(db);
  const offsetMs = Math.round(databaseMs - (before + hostNow()) / 2);
  if (Math.abs(offsetMs) <= DATABASE_SKEW_MAX_MS) return () => hostNow() + offsetMs;
  throw new ClockError(
    `This host's clock is ${Math.round(Math.abs(offsetMs) / 1_000)} s ${offsetMs > 0 ? 'behind' : 'ahead of'} that of the database at ${describe}`,
    { hint: 'set the clocks (NTP); nothing was loaded, because it is unclear which day is over' },
  );
}
