import type { DatabaseHandle } from '../database/connect/open.ts';
import { createApp } from '../server/app.ts';
import { listen } from '../server/listen.ts';
import { createMetrics } from '../server/metrics.ts';
import type { InstanceStatus } from '../server/status.ts';
import type { CommandContext } from './command.ts';
import { createSources } from './worker-pages.ts';

const LOOPBACK = '127.0.0.1';

export interface DemoConsole {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** Serves the worker's console on a free port of loopback, with what the demo has loaded; no run follows. */
export async function serveConsole(context: CommandContext, reader: DatabaseHandle): Promise<DemoConsole> {
  const { config, version, host, logger, hostNow } = context;
  const startedAtMs = hostNow();
  const finishedAt = new Date(startedAtMs).toISOString();
  const statuses = config.instances.map(
    ({ instanceId }): InstanceStatus => ({
      ...{ instanceId, state: 'idle', progress: null, trouble: null },
      lastRun: { finishedAt, result: 'complete' },
      lastCompleteRunAt: finishedAt,
    }),
  );
  const instanceIds = config.instances.map(({ instanceId }) => instanceId);
  const app = createApp({
    ...createSources(context, {
      ...{ reader, startedAtMs, loop: { statuses } },
      schedule: { isArmed: () => false, nextWakeAt: () => null },
    }),
    metrics: createMetrics({ version, instanceIds, startedAtMs }),
  });
  const access = { host: LOOPBACK, hostname: host, tokenHash: null };
  const listening = await listen(app, { access, port: 0, logger });
  return { url: `http://${LOOPBACK}:${listening.port}/`, close: () => listening.close() };
}
