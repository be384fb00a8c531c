import { onTestFinished } from 'vitest';
import type { Platform } from '../simulator/platform.ts';
import type { TestDatabase } from '../support/databases.ts';
import { freePort } from '../support/ports.ts';
import { type Ended, type Env, type Running, type Spawned, startProgram } from '../support/program.ts';

/** `losant-usage worker` with its HTTP server. */
export interface StartedWorker<Started = Running> {
  readonly url: string;
  readonly running: Started;
  /** The response of a page; its status is 0 while nothing listens. */
  get(path: string, headers?: Record<string, string>): Promise<{ status: number; text: string }>;
  /** The value of a metric, by its name with labels as Prometheus writes them; null: it is not there. */
  metric(series: string): Promise<number | null>;
  /** Ends it as an orchestrator does. */
  stop(): Promise<Ended>;
}

/** Starts it with `startProgram` in this process, or with `spawnProgram` in one of its own. */
export async function startWorker<Started extends Running | Spawned>(
  env: Env,
  start: (args: readonly string[], env: Env) => Started,
): Promise<StartedWorker<Started>> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const running = start(['worker'], { HTTP_PORT: `${port}`, SCHEDULE: '0 0 1 1 *', ...env });
  const token = env['HTTP_TOKEN'];
  const own: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const get = async (path: string, headers = own) => {
    try {
      const response = await fetch(url + path, { headers, signal: AbortSignal.timeout(5_000) });
      return { status: response.status, text: await response.text() };
    } catch {
      return { status: 0, text: '' };
    }
  };
  return {
    url,
    running,
    get,
    metric: async (series) => readMetric((await get('/metrics')).text, series),
    stop: async () => {
      running.kill('SIGTERM');
      return await running.ended;
    },
  };
}

export async function startTestWorker(env: Env): Promise<StartedWorker> {
  const worker = await startWorker(env, startProgram);
  onTestFinished(async () => void (await worker.stop()));
  return worker;
}

/** The settings that read a platform into a database, as fast as it responds. */
export function settingsOf(
  { url, instanceId, token }: Pick<Platform, 'url' | 'instanceId' | 'token'>,
  database: Pick<TestDatabase, 'url'>,
): Record<string, string> {
  return {
    LOSANT_API_URL: url,
    LOSANT_INSTANCE_ID: instanceId,
    LOSANT_API_TOKEN: token,
    DATABASE_URL: database.url,
    REQUESTS_PER_SECOND: '500',
  };
}

export function readMetric(text: string, series: string): number | null {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? null : Number(line.slice(series.length + 1));
}
