import type { DatabaseHandle } from '../database/handle.ts';
import { readNowMs } from '../database/session.ts';
import { AppError, LosantError } from '../errors.ts';
import type { DueScope } from '../ledger/due.ts';
import { DATABASE_SKEW_MAX_MS } from '../ledger/lease.ts';
import type { Progress, RunKind } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import { type AttemptReport, createLosantClient } from '../losant/client.ts';
import { getInstance } from '../losant/endpoints.ts';
import type { Gate } from '../losant/rate.ts';
import { RESPONSE_SKEW_MAX_MS } from '../losant/response.ts';
import type { Config } from '../settings/config.ts';
import { showDuration } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';

export type RunContext = ReturnType<typeof createRunContext>;

export interface RunOptions extends DueScope {
  readonly kind: RunKind;
  readonly runId: string;
  /** The days of a backfill, or the one day to read again; null for everything that is due. */
  readonly range: DayRange | null;
  /** Whether a backfill reads stored cells again. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  /** The longest wait for a process that has the lease; 0 by default. */
  readonly waitMs?: number | undefined;
  /** Called when such a wait begins, and then once a minute, with the cells that the process still has to read. */
  readonly onBusy?: ((lease: { readonly message: string; readonly cellsLeft: number }) => void) | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** What the runs of a process share. */
export interface RunEnvironment {
  readonly config: Config;
  readonly logger: Logger;
  /** Returns the time in ms by this host's clock. */
  readonly hostNow: () => number;
  /** Returns the time in ms by the database's clock. */
  readonly now: () => number;
  readonly host: string;
  readonly version: string;
  readonly handle: DatabaseHandle;
  /** It outlives a run, because a pause that Losant has requested does too. */
  readonly gate: Gate;
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
}

/** The same, of a run that has not begun. */
export interface RunSetup extends Omit<RunEnvironment, 'now'> {
  /** Reads the database's clock; rejects if the database is unreachable or its clock too far off. */
  readonly readNow: () => Promise<() => number>;
}

/** Reads the token, which may have been rotated since the last run. Throws SettingsError if there is none. */
export function createRunContext(environment: RunEnvironment) {
  const { config, handle, onAttempt } = environment;
  const { instanceId, apiUrl, domain, selection, streams, concurrency, policy } = config;
  let requests = 0;
  const client = createLosantClient({
    ...environment,
    ...config.request,
    instanceId,
    apiUrl,
    domain,
    token: config.readToken(),
    onAttempt: (report) => {
      requests += 1;
      onAttempt?.(report);
    },
  });
  return {
    ...environment,
    instanceId,
    selection,
    streams,
    concurrency,
    policy,
    db: handle.db,
    client,
    requestCount: () => requests,
  };
}

/** Throws AppError `clock_skew` if the API's clock is too far off. Null is unknown and passes. */
export function requireApiClock(aheadMs: number | null): void {
  requireClockWithin(RESPONSE_SKEW_MAX_MS, aheadMs ?? 0, "the Losant API's");
}

/** Reads Losant's clock again. Throws AppError `clock_skew` unless only one response was wrong, as a cached one is. */
export async function recheckApiClock({ client }: Pick<RunContext, 'client'>, signal: AbortSignal): Promise<void> {
  try {
    await getInstance(client, signal);
  } catch (error) {
    if (!(error instanceof LosantError)) throw error;
    if (error.kind === 'wrong_date') requireApiClock(client.getAheadMs());
  }
}

/**
 * Returns a clock that advances with the host's and shows the database's time. It never goes back: what is due stays
 * due if the host's clock is set back. Throws AppError `clock_skew` if host and database are more than 30 s apart.
 */
export async function readClock({ hostNow }: { hostNow: () => number }, handle: DatabaseHandle): Promise<() => number> {
  const sentAtMs = hostNow();
  const databaseMs = await readNowMs(handle);
  const offsetMs = Math.round(databaseMs - (sentAtMs + hostNow()) / 2);
  requireClockWithin(DATABASE_SKEW_MAX_MS, offsetMs, `that of the database at ${handle.label}`);
  let latestMs = 0;
  return () => {
    latestMs = Math.max(latestMs, hostNow() + offsetMs);
    return latestMs;
  };
}

/** Throws AppError `clock_skew` if another clock is more than `limitMs` from this host's. */
function requireClockWithin(limitMs: number, aheadMs: number, otherClock: string): void {
  if (Math.abs(aheadMs) <= limitMs) return;
  const distance = `${showDuration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'behind' : 'ahead of'}`;
  throw new AppError('clock_skew', `This host's clock is ${distance} ${otherClock}`, {
    hint: 'synchronize the clocks (NTP); nothing more was loaded, because it is unclear which day has ended',
  });
}
