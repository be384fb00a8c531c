import { addAbortListener } from 'node:events';
import { describeError, SettingsError } from '../errors.ts';
import { requireInstance } from '../ledger/instance.ts';
import { readClock } from '../loading/context.ts';
import { type AppSources, createApp, createSources, PROBER, READER } from '../server/app.ts';
import { type Listening, listen } from '../server/listen.ts';
import { createMetrics } from '../server/metrics.ts';
import { DigestTimer } from '../worker/digest.ts';
import { WorkerLoop } from '../worker/loop.ts';
import { type Schedule, scheduleWakeUps } from '../worker/schedule.ts';
import { type CommandContext, type CommandResult, defineCommand } from './command.ts';
import { openDatabase, openSchema } from './database.ts';

/** How long a run may take to stop on a signal; orchestrators kill after 30 s. */
const SHUTDOWN_MS = 25_000;
/** How long its connections may take to close after that: one that is in use by such a run stays open. */
const CLOSE_MS = 2_000;

/** Fails if it cannot start. After that only a signal, with exit code 0, or a bug stops it. */
export const worker = defineCommand({
  needs: ['losant', 'database'],
  role: 'losant_usage_writer',
  options: {},
  isService: true,
  run: serveWorker,
});

async function serveWorker(context: CommandContext): Promise<CommandResult> {
  const { config, logger, signal } = context;
  if (config.readDatabaseUrl().startsWith('embedded:')) {
    throw new SettingsError('The worker does not run on an embedded database', {
      hint: 'set DATABASE_URL to a Postgres server; `losant-usage run` works with embedded:',
    });
  }
  const logShutdown = () => logger.info({ reason: describeError(signal.reason).message }, 'shutting down');
  signal.addEventListener('abort', logShutdown, { once: true });
  const startedAtMs = context.hostNow();
  await using opening = new AsyncDisposableStack();
  const handle = opening.use(await openSchema(context, 'creates'));
  const reader = opening.use(await openDatabase(context, READER));
  const prober = opening.use(await openDatabase(context, PROBER));
  await requireInstance(handle.db, config);
  const metrics = createMetrics({ version: context.version, startedAtMs });
  const loop: WorkerLoop = new WorkerLoop({
    ...context,
    handle,
    metrics,
    readNow: () => readClock(context, handle),
    nextWakeAt: () => schedule.nextWakeAt(),
  });
  const digestTimer = new DigestTimer({ ...context, handle, loop });
  const schedule: Schedule = scheduleWakeUps(config.schedule, (missedWakeUps) => loop.wake(missedWakeUps));
  let listening: Listening | null = null;
  opening.move();
  try {
    const sources = createSources(context, { reader, prober, loop, schedule, startedAtMs });
    listening = await serve(context, { ...sources, metrics });
    logger.info({ version: context.version, schedule: config.schedule }, 'worker started');
    if (!(await endsInTime(Promise.all([loop.run(), digestTimer.run()]), signal))) {
      logger.warn('the run did not stop in time; its lease will expire');
    }
    logger.info('worker stopped');
    return {};
  } finally {
    await schedule.stop();
    await listening?.close();
    const handles = [handle, reader, prober];
    await endsInTime(Promise.allSettled(handles.map((each) => each.close())), signal, CLOSE_MS);
  }
}

/** Serves health, metrics and the console, unless they are turned off, and logs how to open them. */
async function serve({ config, logger }: CommandContext, sources: AppSources): Promise<Listening | null> {
  const { host: address, port, token } = config.http;
  if (port === 0) return null;
  const listening = await listen(createApp(sources), { ...config.http, logger });
  const login = token === null ? undefined : 'any user name, HTTP_TOKEN as the password';
  const hostname = address.includes(':') ? `[${address}]` : address;
  logger.info({ url: `http://${hostname}:${listening.port}/`, login }, 'console listening');
  return listening;
}

/** Waits for the work, after the abort for a limited time; returns whether it ended. Throws what the work throws. */
export async function endsInTime(work: Promise<unknown>, signal: AbortSignal, limitMs = SHUTDOWN_MS): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  let timer: NodeJS.Timeout | undefined;
  const abortListener = addAbortListener(signal, () => {
    timer = setTimeout(resolve, limitMs, 'late');
  });
  try {
    return (await Promise.race([work, late])) !== 'late';
  } finally {
    abortListener[Symbol.dispose]();
    clearTimeout(timer);
  }
}
