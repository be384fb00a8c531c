/** Runs without the command line, as the worker starts them, at times that the test sets. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { SimulatorOptions } from '../../simulator/server.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import {
  createRunContext,
  type RunContext,
  type RunEnvironment,
  type RunOptions,
  type RunSetup,
} from '../../src/loading/context.ts';
import type { RunOutcome } from '../../src/loading/report.ts';
import { runOnce } from '../../src/loading/run.ts';
import { Gate } from '../../src/losant/rate.ts';
import { type Config, readConfig } from '../../src/settings/config.ts';
import { createTimedInstallation, type TimedInstallation } from '../e2e/installation.ts';
import { NOW, type Platform } from '../simulator/platform.ts';
import { openAs } from '../support/databases.ts';
import { POLICY } from '../usage/cells.ts';

/** Limits that never slow a test down. */
const LIMITS = { concurrency: 8, requestsPerSecond: 1_000 };

interface StageSettings extends Partial<Pick<Config, 'selection' | 'streams' | 'controlTotals'>> {
  readonly platform?: Platform;
  readonly timeoutMs?: number;
  readonly gate?: Gate;
}

export interface Stage extends Omit<TimedInstallation, 'run'> {
  readonly handle: DatabaseHandle;
  readonly context: (settings?: StageSettings) => RunContext;
  readonly run: (options?: Partial<RunOptions>, settings?: StageSettings) => Promise<RunOutcome>;
}

export async function createStage(options: SimulatorOptions = {}): Promise<Stage> {
  const installation = await createTimedInstallation(NOW, { orgs: 4, ...options });
  const { now } = installation;
  const handle = await openAs('writer', installation.database.url, { poolSize: 5 });
  onTestFinished(() => handle.close());
  const configure = (settings: StageSettings = {}): RunEnvironment & RunSetup => {
    const { platform = installation.platform, timeoutMs = 5_000, gate = new Gate(LIMITS), ...changes } = settings;
    const { instanceId, token, url } = platform;
    const env = { LOSANT_INSTANCE_ID: instanceId, LOSANT_API_TOKEN: token, LOSANT_API_URL: url };
    const config = readConfig({ env, needs: ['losant'] });
    return {
      config: { ...config, policy: POLICY, request: { timeoutMs, attempts: 1 }, ...changes },
      logger: pino({ level: 'silent' }),
      hostNow: now,
      host: 'host',
      version: '0.0.0',
      handle,
      now,
      readNow: () => Promise.resolve(now),
      gate,
    };
  };
  const defaults = { kind: 'scheduled', orgIds: null, streams: null, range: null, force: false } as const;
  const { signal } = new AbortController();
  return {
    ...installation,
    handle,
    context: (settings) => createRunContext(configure(settings)),
    run: (options, settings) => runOnce(configure(settings), { ...defaults, runId: randomUUID(), signal, ...options }),
  };
}
