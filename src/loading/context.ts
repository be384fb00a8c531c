import { CLOCK } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { AppError, LosantError } from '../errors.ts';
import type { DueScope } from '../ledger/due.ts';
import { DATABASE_SKEW_MAX_MS, type InstanceLedger } from '../ledger/lease.ts';
import type { RunKind } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import { type AttemptReport, createLosantClient, type LosantClient } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import { getInstance } from '../losant/orgs.ts';
import { RESPONSE_SKEW_MAX_MS } from '../losant/response.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import type { DayRange } from '../usage/day.ts';

/** An instance with everything needed to export it. */
export interface InstanceContext
  extends InstanceLedger,
    Pick<InstanceConfig, 'apiUrl' | 'streams'>,
    Pick<Config, 'controlTotals'>,
    Pick<ExportEnvironment, 'handle' | 'logger' | 'host' | 'version'> {
  readonly client: LosantClient;
  /** The organizations that are exported; null for all. */
  readonly selection: readonly string[] | null;
  readonly concurrency: number;
  /** Returns the API's clock minus `now` in ms, as of the newest answer; null before the first. */
  readonly apiAheadMs: () => number | null;
  /** Returns the number of requests sent so far. */
  readonly requestCount: () => number;
}

export interface Progress {
  readonly planned: number;
  readonly done: number;
}

/** The process that runs the instance, and how many cells it still has to read. */
export interface BusyLease {
  readonly message: string;
  readonly cellsLeft: number;
}

export interface RunOptions extends DueScope {
  readonly kind: RunKind;
  readonly runId: string;
  /** The days that a backfill adds, or the one day to read again; null for everything that is due. */
  readonly range: DayRange | null;
  /** Whether a backfill reads what is stored again. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  /** The longest wait for another process that has the instance, in ms; none by default. */
  readonly waitMs?: number | undefined;
  /** Called when such a wait begins, and then once a minute. */
  readonly onBusy?: ((held: BusyLease) => void) | undefined;
  /** Returns the next wake-up, when what has become due goes before older days; in 15 minutes by default. */
  readonly nextWakeAt?: (() => Date | null) | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** One gate for each token, kept from run to run, so that a pause that Losant asked for continues. */
export type Gates = Map<string, Gate>;

/** The environment in which every instance is opened. */
export interface ExportEnvironment {
  readonly config: Pick<Config, 'policy' | 'request' | 'controlTotals'>;
  readonly logger: Logger;
  /** Returns the time in ms by this host's clock; `now` by the database's. */
  readonly hostNow: () => number;
  readonly now: () => number;
  readonly random: () => number;
  readonly host: string;
  readonly version: string;
  readonly handle: DatabaseHandle;
  /** The gates by token: instances with the same token share one, so all callers pass the same map. */
  readonly gates: Gates;
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
}

/**
 * Returns everything needed to export one instance, with its token read anew. Throws SettingsError if there is no
 * token.
 */
export function openInstance(environment: ExportEnvironment, instance: InstanceConfig): InstanceContext {
  const { config, logger, host, version, random, handle, now, gates, onAttempt } = environment;
  const { instanceId, apiUrl, domain, streams, orgs: selection } = instance;
  const { requestConcurrency: concurrency, requestsPerSecond } = instance;
  const { policy, controlTotals } = config;
  const token = instance.readToken();
  const gate = gates.get(token) ?? new Gate({ concurrency, requestsPerSecond });
  gates.set(token, gate);
  let aheadMs: number | null = null;
  let requests = 0;
  const client = createLosantClient({
    ...config.request,
    apiUrl,
    domain,
    token,
    version,
    random,
    gate,
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
    now,
    logger,
    host,
    version,
    instanceId,
    apiUrl,
    selection,
    streams,
    policy,
    controlTotals,
    concurrency,
    apiAheadMs: () => aheadMs,
    requestCount: () => requests,
  };
}

/** Throws AppError if the API's clock, `aheadMs` ahead of this one, is too far off. Null is unknown and passes. */
export function requireApiClock(aheadMs: number | null): void {
  requireNear(aheadMs ?? 0, RESPONSE_SKEW_MAX_MS, "the Losant API's");
}

/**
 * Asks Losant for its time, after an answer that was made at another one. Returns if only that answer came from a
 * cache. Throws AppError if a clock has moved.
 */
export async function requireClock(
  { client, instanceId, apiAheadMs }: Pick<InstanceContext, 'client' | 'instanceId' | 'apiAheadMs'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await getInstance(client, { instanceId, signal });
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    if (error.kind === 'wrong_date') requireApiClock(apiAheadMs());
  }
}

/**
 * Returns a clock that advances with the host's and shows the database's time. It never goes back, so that what was set
 * due stays due where the host's is set back. Throws AppError if the two are more than 30 s apart.
 */
export async function readClock(
  { hostNow }: { readonly hostNow: () => number },
  { db, label }: DatabaseHandle,
): Promise<() => number> {
  const before = hostNow();
  const { at } = await db.selectNoFrom(CLOCK.as('at')).executeTakeFirstOrThrow();
  const offsetMs = Math.round(Date.parse(at) - (before + hostNow()) / 2);
  requireNear(offsetMs, DATABASE_SKEW_MAX_MS, `that of the database at ${label}`);
  let latestMs = 0;
  return () => {
    latestMs = Math.max(latestMs, hostNow() + offsetMs);
    return latestMs;
  };
}

/** Throws AppError if this host's clock is too far from another one, which is `aheadMs` ahead of it. */
function requireNear(aheadMs: number, mostMs: number, other: string): void {
  if (Math.abs(aheadMs) <= mostMs) return;
  const distance = `${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'behind' : 'ahead of'}`;
  throw new AppError('clock_skew', `This host's clock is ${distance} ${other}`, {
    hint: 'synchronize the clocks (NTP); nothing was loaded, because it is unclear which day has ended',
  });
}
