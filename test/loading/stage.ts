/** Runs of one instance without the command line, as the worker starts them, at times that the test sets. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { SimulatorOptions } from '../../simulator/server.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import {
  createInstanceContext,
  type InstanceContext,
  type Rates,
  type RunEnvironment,
  type RunOptions,
  type RunSetup,
} from '../../src/loading/context.ts';
import type { RunOutcome } from '../../src/loading/report.ts';
import { runInstance } from '../../src/loading/run.ts';
import type { InstanceConfig } from '../../src/settings/config.ts';
import { createTimedInstallation, type TimedInstallation } from '../e2e/installation.ts';
import { NOW, type Platform } from '../simulator/platform.ts';
import { openAs } from '../support/databases.ts';
import { POLICY } from '../usage/cells.ts';
import { instanceOf } from '../worker/loop.ts';

interface InstanceSettings {
  readonly platform: Platform;
  readonly selection: readonly string[] | null;
  readonly streams: readonly string[];
  readonly controlTotals: 'block' | 'show';
  readonly timeoutMs: number;
  readonly requestsPerSecond: number;
  readonly rates: Rates;
}

export interface Stage extends Omit<TimedInstallation, 'run'> {
  readonly handle: DatabaseHandle;
  readonly context: (settings?: Partial<InstanceSettings>) => InstanceContext;
  readonly run: (options?: Partial<RunOptions>, settings?: Partial<InstanceSettings>) => Promise<RunOutcome>;
}

const EIGHT = { time: '08:00', timeZone: 'UTC' };
const STREAMS = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'];

export async function createStage(options: SimulatorOptions = {}): Promise<Stage> {
  const installation = await createTimedInstallation(NOW, { orgs: 4, ...options });
  const { now } = installation;
  const handle = await openAs('writer', installation.database.url, { poolSize: 5 });
  onTestFinished(() => handle.close());
  const configure = (settings: Partial<InstanceSettings> = {}): [RunEnvironment & RunSetup, InstanceConfig] => {
    const { platform = installation.platform, selection = null, streams = STREAMS } = settings;
    const { controlTotals = 'block', timeoutMs = 5_000, requestsPerSecond = 1_000, rates = new Map() } = settings;
    return [
      {
        config: { policy: POLICY, request: { timeoutMs, attempts: 1 }, controlTotals, notifyAt: EIGHT },
        logger: pino({ level: 'silent' }),
        hostNow: now,
        random: () => 0.5,
        host: 'host',
        version: '0.0.0',
        handle,
        now,
        readNow: () => Promise.resolve(now),
        rates,
      },
      { ...instanceOf(platform), selection, streams: [...streams], requestsPerSecond },
    ];
  };
  const defaults = { kind: 'scheduled', orgIds: null, streams: null, range: null, force: false } as const;
  const { signal } = new AbortController();
  return {
    ...installation,
    handle,
    context: (settings) => createInstanceContext(...configure(settings)),
    run: (options, settings) =>
      runInstance(...configure(settings), { ...defaults, runId: randomUUID(), signal, ...options }),
  };
}
