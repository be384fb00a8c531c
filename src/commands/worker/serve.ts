import { createDatabase, type DatabaseHandle } from '../../database/connect/open.ts';
import { readSchemaState } from '../../database/migrate/migrate.ts';
import { readHealth } from '../../database/read/health.ts';
import { SettingsError } from '../../errors.ts';
import { EXIT } from '../../exit.ts';
import { createApp, type PageSources } from '../../server/app.ts';
import { hashToken } from '../../server/guard.ts';
import { type Listening, listen } from '../../server/listen.ts';
import { createMetrics } from '../../server/metrics.ts';
import { shareReading } from '../../server/readings.ts';
import type { WorkerStatus } from '../../server/status.ts';
import { requireDatabaseUrl } from '../../settings/config.ts';
import { isGapAge } from '../../usage/policy.ts';
import { createHeartbeat } from '../../worker/heartbeat.ts';
import { WorkerLoop } from '../../worker/loop.ts';
import { armSchedule, type Schedule } from '../../worker/schedule.ts';
import type { CommandContext } from '../command.ts';
import { openSchema, readClock } from '../open/database.ts';

/** How long a pass may take to end when the process is asked to; orchestrators kill after 30 s. */
const SHUTDOWN_MS = 25_000;

/** Readers never take the exporter's connections, nor keep the database busy for long. */
const READER = { poolSize: 2, statementTimeoutMs: 5_000, connectTimeoutMs: 3_000 };
const HEALTH = { keepMs: 3_000, timeoutMs: 4_000 };
const READINESS = { keepMs: 1_000, timeoutMs: 3_000 };

/**
 * `worker`: exports at the start and at each wake-up until it is asked to end,
 * and tells how it goes over HTTP. Returns 0 after a signal. Throws if it cannot
 * start; later, nothing but a defect ends it.
 */
export async function workerCommand(context: CommandContext): Promise<number> {
  const { config, logger, signal } = context;
  requireServer(requireDatabaseUrl(config));
  const handle = await openSchema(context, { createIfEmpty: true });
  const reader = await openReader(context);
  const metrics = createMetrics({
    version: context.version,
    instanceIds: config.instances.map(({ instanceId }) => instanceId),
  });
  const loop = new WorkerLoop({
    context,
    handle,
    metrics,
    gates: new Map(),
    heartbeat: createHeartbeat({ url: config.heartbeatUrl, logger }),
    readNow: () => readClock(context, handle),
  });
  const schedule = await armSchedule(config.schedule, { onWake: (kind) => loop.wake(kind) });
  let listening: Listening | null = null;
  try {
    listening = await serve(context, { ...pageSources(context, { reader, loop, schedule }), metrics });
    logger.info(
      { version: context.version, schedule: config.schedule, port: listening?.port },
      'worker started',
    );
    if (!(await endsInTime(loop.run(), signal))) {
      logger.warn('the pass did not end in time, its lease lapses by itself');
    }
    logger.info('worker ended');
    return EXIT.ok;
  } finally {
    await schedule.stop();
    await listening?.close();
    await endsInTime(Promise.allSettled([handle.close(), reader.close()]), signal);
  }
}

function requireServer(url: string): void {
  if (!url.startsWith('embedded:')) return;
  throw new SettingsError('The worker does not run on an embedded database', {
    hint: 'set DATABASE_URL to a Postgres server; `losant-usage run` works with embedded:',
  });
}

async function openReader({ config, logger }: CommandContext): Promise<DatabaseHandle> {
  const url = requireDatabaseUrl(config);
  return await createDatabase({ url, applicationName: 'losant-usage pages', logger, ...READER });
}

/** What the pages show, each read shared among all who ask. */
function pageSources(
  context: CommandContext,
  { reader, loop, schedule }: { reader: DatabaseHandle; loop: WorkerLoop; schedule: Schedule },
): Omit<PageSources, 'metrics'> {
  const { config, logger, hostNow: now, signal } = context;
  const { horizonDays } = config.policy;
  const healthOptions = () => ({ nowMs: now(), horizonDays, isOverdue: isGapAge });
  const schema = shareReading(() => readSchemaState(reader), { ...READINESS, now });
  const startedAt = new Date(now()).toISOString();
  return {
    logger,
    health: shareReading(() => readHealth(reader.db, healthOptions()), { ...HEALTH, now }),
    status: (): WorkerStatus => ({
      version: context.version,
      host: context.host,
      startedAt,
      schedule: config.schedule,
      isArmed: schedule.isArmed(),
      nextWakeAt: schedule.nextWakeAt()?.toISOString() ?? null,
      isStopping: signal.aborted,
      instances: loop.statuses,
    }),
    readiness: async () => {
      const problems = [];
      if (signal.aborted) problems.push('the worker is ending');
      else if (!schedule.isArmed()) problems.push('the schedule is not armed');
      // For probes that anybody may ask, only the fact.
      const state = await schema().then(
        ({ state }) => state,
        () => 'unreachable',
      );
      if (state === 'unreachable') problems.push('the database does not answer');
      else if (state !== 'at_head') problems.push(`the schema of the database is ${state}`);
      return problems;
    },
  };
}

async function serve(
  { config, logger, host }: CommandContext,
  sources: PageSources,
): Promise<Listening | null> {
  const { host: address, port, token } = config.http;
  if (port === 0) return null;
  const access = { host: address, hostname: host, tokenHash: token === null ? null : hashToken(token) };
  return await listen(createApp(sources), { access, port, logger });
}

/** Waits for the work, once the signal has aborted no longer than 25 s. Throws what the work throws. */
async function endsInTime(work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  let timer: NodeJS.Timeout | undefined;
  const arm = () => {
    timer = setTimeout(() => resolve('late'), SHUTDOWN_MS);
  };
  if (signal.aborted) arm();
  else signal.addEventListener('abort', arm, { once: true });
  try {
    return (await Promise.race([work, late])) !== 'late';
  } finally {
    signal.removeEventListener('abort', arm);
    clearTimeout(timer);
  }
}
