import type { Kysely } from 'kysely';
import type { DatabaseHandle } from '../database/open.ts';
import type { Instant, Schema } from '../database/schema.ts';
import { ClockError } from '../errors.ts';
import type { ExportScope } from '../ledger/due.ts';
import { readDatabaseClock } from '../ledger/instances.ts';
import type { RunKind } from '../ledger/runs.ts';
import { DATABASE_SKEW_MAX_MS } from '../ledger/transaction.ts';
import type { Logger } from '../logger.ts';
import { type AttemptReport, createLosantClient, type LosantClient } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import type { UsageDay } from '../usage/day.ts';
import type { OrgSelection, Shard } from '../usage/organization.ts';
import type { ControlTotalUse, PeriodSource } from '../usage/period.ts';
import type { Ask } from '../usage/plan.ts';
import type { Policy } from '../usage/policy.ts';

/** An instance, and everything needed to export it. */
export interface InstanceContext {
  readonly handle: DatabaseHandle;
  /** The handle's. */
  readonly db: Kysely<Schema>;
  readonly client: LosantClient;
  readonly logger: Logger;
  readonly instanceId: string;
  readonly apiUrl: string;
  readonly selection: OrgSelection;
  /** All streams of the configuration. */
  readonly streams: readonly string[];
  readonly policy: Policy;
  readonly billingPeriods: PeriodSource;
  readonly controlTotals: ControlTotalUse;
  readonly concurrency: number;
  /** ms by the database's clock. */
  readonly now: () => number;
  /** The API's clock minus `now` in ms, as of the newest answer; null before the first. */
  readonly apiAheadMs: () => number | null;
  /** Requests sent so far. */
  readonly requestCount: () => number;
  /** Shares the token's rate among so many runs. */
  readonly shareRate: (liveRuns: number) => void;
  readonly host: string;
  readonly version: string;
}

export interface Progress {
  readonly planned: number;
  readonly done: number;
}

/** What a run would do, added up over all pages. */
export interface PlanSummary {
  readonly instanceId: string;
  /** Oldest and newest day read; null if none is. */
  readonly from: UsageDay | null;
  readonly to: UsageDay | null;
  readonly orgs: number;
  /** Cells to be read. */
  readonly cells: number;
  /** The same by why they are read. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Requests if each is answered at once, discovery not counted. */
  readonly requests: number;
  /** Cells that will be marked unavailable, without a request. */
  readonly unavailable: number;
  /** Cells that are missing, but not due for another try. */
  readonly waiting: number;
  /** Cells of the range that Losant no longer keeps, left out. */
  readonly pastHorizon: number;
}

/** What a complete run over everything found of the organizations. */
export interface Settled {
  /** The listing that it stands on. */
  readonly listedAt: Instant;
  /** Organizations Losant has that the configuration leaves out. */
  readonly excluded: number;
}

export interface RunOptions {
  readonly kind: RunKind;
  readonly runId: string;
  /** Undefined: everything that is due. */
  readonly ask?: Ask | undefined;
  /** Only these organizations; null: all that are configured. */
  readonly orgIds: readonly string[] | null;
  /** Only this part of them. */
  readonly shard?: Shard | null | undefined;
  /** Only these of the configured streams. */
  readonly streams: readonly string[];
  readonly signal: AbortSignal;
  /** What the run before it, of the same process and configuration, left in order. */
  readonly settled?: Settled | undefined;
  /** Told what will be read, before anything is. */
  readonly onPlan?: ((plan: PlanSummary) => void) | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * The part of the instance that a run is about. What is due without a choice of streams is due of all that
 * are tracked, also of one that was taken out since; what is asked for is of the configured ones only.
 */
export function scopeOf(
  { instanceId, streams }: Pick<InstanceContext, 'instanceId' | 'streams'>,
  { ask, orgIds, shard, streams: wanted }: Pick<RunOptions, 'ask' | 'orgIds' | 'shard' | 'streams'>,
): ExportScope {
  const isAll = ask === undefined && streams.every((stream) => wanted.includes(stream));
  return { instanceId, orgIds, shard: shard ?? null, streams: isAll ? null : wanted };
}

/** Whether a run reads all that is due of its instance, so that its success says that nothing is missing. */
export function isFullRun(
  { streams }: InstanceContext,
  { kind, ask, orgIds, shard, streams: wanted }: RunOptions,
): boolean {
  const isAll = streams.every((stream) => wanted.includes(stream));
  return kind !== 'backfill' && ask === undefined && orgIds === null && shard == null && isAll;
}

/** Whether a run also reads what has failed and whose retry has not come: a person who asks for a run wants it tried. */
export function triesFailedAgain({ kind, ask }: Pick<RunOptions, 'kind' | 'ask'>): boolean {
  return kind === 'manual' && ask === undefined;
}

/** What every instance is opened with. */
export interface ExportEnvironment {
  readonly config: Pick<Config, 'policy' | 'request' | 'billingPeriods' | 'controlTotals'>;
  readonly logger: Logger;
  /** This host's clock, ms. */
  readonly hostNow: () => number;
  readonly random: () => number;
  readonly host: string;
  readonly version: string;
}

/** One for each token, kept from run to run: a pause that Losant asked for goes on. */
export type Gates = Map<string, Gate>;

export interface OpenOptions {
  readonly handle: DatabaseHandle;
  /** ms by the database's clock. */
  readonly now: () => number;
  /** Instances with the same token share a gate: pass the same map for all. */
  readonly gates: Gates;
  /** Requests per second instead of the configured rate. */
  readonly rate?: number | undefined;
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
}

/** Everything needed to export one instance. Reads the token anew. Throws SettingsError if there is none. */
export function openInstance(
  environment: ExportEnvironment,
  instance: InstanceConfig,
  { handle, now, gates, rate, onAttempt }: OpenOptions,
): InstanceContext {
  const { config, logger, random, host, version } = environment;
  const token = instance.readToken();
  const requestsPerSecond = rate ?? instance.requestsPerSecond;
  const concurrency = instance.requestConcurrency;
  const gate = gates.get(token) ?? new Gate({ concurrency, requestsPerSecond });
  gates.set(token, gate);
  let aheadMs: number | null = null;
  let requests = 0;
  const client = createLosantClient({
    apiUrl: instance.apiUrl,
    token,
    domain: instance.domain ?? undefined,
    gate,
    timeoutMs: config.request.timeoutMs,
    attempts: config.request.attempts,
    userAgent: `losant-usage-export/${version}`,
    random,
    now,
    onClock: (ms) => {
      aheadMs = ms;
    },
    onAttempt: (report) => {
      requests += 1;
      onAttempt?.(report);
    },
  });
  return {
    handle,
    db: handle.db,
    client,
    logger,
    instanceId: instance.instanceId,
    apiUrl: instance.apiUrl,
    selection: instance.orgs,
    streams: instance.streams,
    policy: config.policy,
    billingPeriods: config.billingPeriods,
    controlTotals: config.controlTotals,
    concurrency,
    now,
    apiAheadMs: () => aheadMs,
    requestCount: () => requests,
    shareRate: (liveRuns) => gate.setRate(requestsPerSecond / Math.max(1, liveRuns)),
    host,
    version,
  };
}

/** The API's clock may differ by this much; beyond it, it is unclear which day is over. */
const API_SKEW_MAX_MS = 5 * 60_000;

/** Throws ClockError if the API's clock, `aheadMs` before this one, is too far off; null is not known. */
export function requireApiClock(aheadMs: number | null): void {
  if (aheadMs === null || Math.abs(aheadMs) <= API_SKEW_MAX_MS) return;
  throw new ClockError(
    `This host's clock is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'behind' : 'ahead of'} the Losant API's`,
    { hint: 'set the clock (NTP); nothing was loaded, because it is unclear which day is over' },
  );
}

/**
 * A clock that runs with the host's and shows the database's time.
 * Throws ClockError if the two are more than 30 s apart.
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
