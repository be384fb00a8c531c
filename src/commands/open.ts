import { type Config, requireDatabaseUrl } from '../settings/config.ts';
import { ClockError } from '../errors.ts';
import { type AttemptReport, createLosantClient } from '../losant/client.ts';
import { Gate } from '../losant/gate.ts';
import type { InstanceConfig } from '../settings/instance.ts';
import { createDatabase, type DatabaseHandle } from '../database/connect/open.ts';
import { readDatabaseClock } from '../database/write/instances.ts';
import { requireSchema } from '../database/migrate/migrate.ts';
import { describeDatabaseError } from '../database/connect/sqlstate.ts';
import type { InstanceContext } from '../export/context.ts';
import type { CommandContext } from './command.ts';

/** The database's clock may differ from the host's by this much. */
const DATABASE_SKEW_MAX_MS = 30_000;

/** Loading, planning, the lease and the heartbeat each take a connection at times. */
const POOL_SIZE = 4;

/** Opens the database as it is, whatever its schema. */
export async function openDatabase({ config, logger }: CommandContext): Promise<DatabaseHandle> {
  return await createDatabase({
    url: requireDatabaseUrl(config),
    applicationName: 'losant-usage',
    poolSize: POOL_SIZE,
    logger,
  });
}

/**
 * Does `work` with an open database and closes it. A connection or right that is
 * lost meanwhile becomes a DatabaseError that names the database.
 */
export async function useDatabase<T>(
  handle: DatabaseHandle,
  work: (handle: DatabaseHandle) => Promise<T>,
): Promise<T> {
  try {
    return await work(handle);
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  } finally {
    await handle.close();
  }
}

/** Opens the database with this program's schema; a writing command creates it in an empty one. */
export async function openSchema(
  context: CommandContext,
  { createIfEmpty }: { createIfEmpty: boolean },
): Promise<DatabaseHandle> {
  const handle = await openDatabase(context);
  try {
    const applied = await requireSchema(handle, {
      createIfEmpty,
      autoMigrate: createIfEmpty && context.config.autoMigrate,
    });
    for (const migration of applied) context.logger.info({ migration }, 'migration applied');
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * A clock that runs with the host's and shows the database's time.
 * Throws ClockError if the two are more than 30 s apart.
 */
export async function readClock(
  { hostNow }: Pick<CommandContext, 'hostNow'>,
  { db, describe }: DatabaseHandle,
): Promise<() => number> {
  const before = hostNow();
  const databaseMs = await readDatabaseClock(db);
  const offsetMs = Math.round(databaseMs - (before + hostNow()) / 2);
  if (Math.abs(offsetMs) <= DATABASE_SKEW_MAX_MS) return () => hostNow() + offsetMs;
  throw new ClockError(
    `This host's clock is ${Math.round(Math.abs(offsetMs) / 1_000)} s ${offsetMs > 0 ? 'behind' : 'ahead of'} that of the database at ${describe}`,
    { hint: 'set the clocks (NTP); nothing was loaded, because it is unclear which day is over' },
  );
}

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
