import type { DatabaseHandle } from '../../database/connect/open.ts';
import type { InstanceContext } from '../../export/context.ts';
import { type AttemptReport, createLosantClient } from '../../losant/client.ts';
import { Gate } from '../../losant/gate.ts';
import type { Config } from '../../settings/config.ts';
import type { InstanceConfig } from '../../settings/instance.ts';
import type { CommandContext } from '../command.ts';

export interface OpenInstanceOptions {
  readonly handle: DatabaseHandle;
  readonly now: () => number;
  /** Requests per second instead of the configured rate. */
  readonly rate?: number | undefined;
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
}

/** Everything needed to export one instance. Instances with the same token share a gate: pass the same `gates`. */
export function openInstance(
  context: CommandContext,
  instance: InstanceConfig,
  { handle, now, rate, onAttempt, gates }: OpenInstanceOptions & { gates: Map<string, Gate> },
): InstanceContext {
  const { config, logger, random, host, version } = context;
  const token = instance.readToken();
  const requestsPerSecond = rate ?? instance.requestsPerSecond;
  const concurrency = instance.requestConcurrency;
  const gate = gates.get(token) ?? new Gate({ concurrency, requestsPerSecond, now: context.hostNow });
  gates.set(token, gate);
  let aheadMs: number | null = null;
  let requests = 0;
  const client = createLosantClient({
    apiUrl: instance.apiUrl,
    token,
    domain: instance.domain ?? undefined,
    gate,
    ...requestBounds(config),
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
    db: handle.db,
    client,
    logger,
    instanceId: instance.instanceId,
    apiUrl: instance.apiUrl,
    selection: instance.orgs,
    streams: instance.streams,
    policy: config.policy,
    concurrency,
    now,
    apiAheadMs: () => aheadMs,
    requestCount: () => requests,
    shareRate: (liveRuns) => gate.setRate(requestsPerSecond / Math.max(1, liveRuns)),
    host,
    version,
  };
}

function requestBounds({ request }: Config): { timeoutMs: number; attempts: number } {
  return { timeoutMs: request.timeoutMs, attempts: request.attempts };
}
