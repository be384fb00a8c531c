import type { DatabaseHandle } from '../database/open.ts';
import type { Logger } from '../logger.ts';
import { type AttemptReport, createLosantClient } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import type { Config } from '../settings/config.ts';
import type { InstanceConfig } from '../settings/instance.ts';
import type { InstanceContext } from './context.ts';

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
  const gate = gates.get(token) ?? new Gate({ concurrency, requestsPerSecond, now: environment.hostNow });
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
