import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseHandle } from '../database/handle.ts';
import { describeError, SettingsError } from '../errors.ts';
import { readClock } from '../export/context.ts';
import { readHealth } from '../queries/health.ts';
import { type AppSources, createApp, createSources, openReader } from '../server/app.ts';
import { type Listening, listen } from '../server/listen.ts';
import { createMetrics } from '../server/metrics.ts';
import { armSchedule, type Schedule, WorkerLoop } from '../worker/loop.ts';
import { type CommandContext, defineCommand, type Ending } from './command.ts';
import { openSchema } from './database.ts';

/** The time that a run may take to end when the process is asked to; orchestrators kill after 30 s. */
const SHUTDOWN_MS = 25_000;

/** Exits with 0 after a signal. Fails if it cannot start; later, nothing but a defect ends it. */
export const worker = defineCommand({
  needs: ['losant', 'database'],
  role: 'losant_usage_writer',
  options: {},
  isService: true,
  run: serveWorker,
});

async function serveWorker(context: CommandContext): Promise<Ending> {
  const { config, logger, signal } = context;
  if (config.readDatabaseUrl().startsWith('embedded:')) {
    throw new SettingsError('The worker does not run on an embedded database', {
      hint: 'set DATABASE_URL to a Postgres server; `losant-usage run` works with embedded:',
    });
  }
  const sayEnding = () => logger.info({ reason: describeError(signal.reason).message }, 'asked to end');
  signal.addEventListener('abort', sayEnding, { once: true });
  const startedAtMs = context.hostNow();
  const handle = await openSchema(context, { creates: true });
  const reader = await openReader(context).catch(async (error: unknown) => {
    await handle.close();
    throw error;
  });
  const instanceIds = config.instances.map(({ instanceId }) => instanceId);
  const metrics = createMetrics({ version: context.version, instanceIds, startedAtMs });
  const loop: WorkerLoop = new WorkerLoop({
    ...context,
    handle,
    metrics,
    readNow: () => readClock(context, handle),
    nextWakeAt: () => schedule.nextWakeAt(),
  });
  const schedule: Schedule = await armSchedule(config.schedule, (isMissed) => loop.wake(isMissed));
  let listening: Listening | null = null;
  try {
    const sources = createSources(context, { reader, loop, schedule, startedAtMs });
    listening = await serve(context, { ...sources, metrics });
    logger.info({ version: context.version, schedule: config.schedule }, 'worker started');
    await warnOfLeft(context, reader, instanceIds);
    if (!(await endsInTime(loop.run(), signal))) {
      logger.warn('the run did not end in time, its lease lapses by itself');
    }
    logger.info('worker ended');
    return {};
  } finally {
    await schedule.stop();
    await listening?.close();
    await endsInTime(Promise.allSettled([handle.close(), reader.close()]), signal);
  }
}

/** Says once that an instance which left the settings goes on in the database: it is judged and alarmed for nowhere. */
async function warnOfLeft(
  { logger, hostNow }: CommandContext,
  { db }: DatabaseHandle,
  instanceIds: readonly string[],
): Promise<void> {
  try {
    const { notInSettings } = await readHealth(db, { nowMs: hostNow(), instanceIds });
    for (const instance_id of notInSettings) {
      const hint = `to end it, unless another program has it: losant-usage run --end ${instance_id}`;
      logger.warn({ instance_id, hint }, 'an instance in the database is not in the settings');
    }
  } catch (error) {
    logger.warn({ err: error }, 'instances of the database not read');
  }
}

/** Serves the pages, unless they are turned off, and logs their address and how to open them. */
async function serve({ config, logger }: CommandContext, sources: AppSources): Promise<Listening | null> {
  const { host: address, port, token } = config.http;
  if (port === 0) return null;
  const listening = await listen(createApp(sources), { ...config.http, logger });
  const login = token === null ? undefined : 'any user name, HTTP_TOKEN as the password';
  const name = address.includes(':') && !address.startsWith('[') ? `[${address}]` : address;
  logger.info({ url: `http://${name}:${listening.port}/`, login }, 'pages served');
  return listening;
}

/** Waits for the work, at most 25 s after the abort. Throws what the work throws. */
async function endsInTime(work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const becomeLate = async () => {
    if (!signal.aborted) await once(signal, 'abort', { signal: over.signal });
    return await sleep(SHUTDOWN_MS, 'late', { signal: over.signal });
  };
  try {
    return (await Promise.race([work, becomeLate()])) !== 'late';
  } finally {
    over.abort();
  }
}
