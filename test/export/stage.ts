/** An export without the command line: runs of one instance, as the worker starts them, at times that the test sets. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { SimulatorOptions } from '../../simulator/server.ts';
import { type InstanceContext, openInstance, type RunOptions } from '../../src/export/context.ts';
import type { RunOutcome } from '../../src/export/report.ts';
import { runInstance } from '../../src/export/run.ts';
import { openPlayed, type Played } from '../e2e/export.ts';
import { NOW, type Platform } from '../simulator/platform.ts';
import { openAs } from '../support/databases.ts';
import { POLICY } from '../usage/cells.ts';

/** An instance as the settings describe it. */
export interface Setting {
  readonly platform: Platform;
  readonly selection: readonly string[] | null;
  readonly streams: readonly string[];
  readonly controlTotals: 'block' | 'show';
}

export interface Stage extends Omit<Played, 'run'> {
  readonly context: (setting?: Partial<Setting>) => InstanceContext;
  readonly run: (options?: Partial<RunOptions>, setting?: Partial<Setting>) => Promise<RunOutcome>;
}

const STREAMS = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'];

export async function openStage(options: SimulatorOptions = {}): Promise<Stage> {
  const played = await openPlayed(NOW, { orgs: 4, ...options });
  const { now } = played;
  const handle = await openAs('writer', played.database.url, { poolSize: 5 });
  onTestFinished(() => handle.close());
  const context = (setting: Partial<Setting> = {}) => {
    const { platform = played.platform, selection = null, streams = STREAMS } = setting;
    const { controlTotals = 'block' } = setting;
    return openInstance(
      {
        config: { policy: POLICY, request: { timeoutMs: 5_000, attempts: 1 }, controlTotals },
        logger: pino({ level: 'silent' }),
        hostNow: now,
        random: () => 0.5,
        host: 'host',
        version: '0.0.0',
        handle,
        now,
        gates: new Map(),
      },
      {
        instanceId: platform.instanceId,
        apiUrl: platform.url,
        domain: null,
        readToken: () => platform.token,
        orgs: selection,
        streams: [...streams],
        requestConcurrency: 8,
        requestsPerSecond: 1_000,
      },
    );
  };
  const usual = { kind: 'scheduled', orgIds: null, streams: null, range: null, force: false } as const;
  const { signal } = new AbortController();
  return {
    ...played,
    context,
    run: (more, setting) => runInstance(context(setting), { ...usual, runId: randomUUID(), signal, ...more }),
  };
}
