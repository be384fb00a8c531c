/** The parts of a page: its address, and the sources of what it shows. */
import type { Context } from 'hono';
import type { Kysely } from 'kysely';
import type { InvoicedMonth, OpenMonth } from '../billing/month.ts';
import type { Schema } from '../database/schema.ts';
import type { Row } from '../files/formats.ts';
import type { Logger } from '../logger.ts';
import type { HeatCell } from '../queries/coverage.ts';
import type { Health } from '../queries/health.ts';
import type { Overview } from '../queries/organizations.ts';
import type { Reconciliation } from '../queries/reconciliation.ts';
import type { ViewRequest } from '../queries/view-rows.ts';
import type { Month } from '../usage/period.ts';
import type { RequestProgress } from '../usage/planned-requests.ts';
import type { Policy } from '../usage/policy.ts';
import type { Reading } from './readings.ts';

/** A page of the console: its address, and its answer. */
export interface ConsolePage {
  /** The route as hono writes it, e.g. `/organizations/:id`. */
  readonly path: string;
  /** Called once, so that a page may keep readings; the returned function answers each request. */
  readonly open: (sources: PageSources) => (c: Context) => Promise<Response>;
}

/** The sources of what the pages show. */
export interface PageSources {
  readonly status: () => WorkerStatus;
  /** Returns the wake-ups of this process in the last 24 hours, oldest first. */
  readonly wakes: () => readonly WakeEnd[];
  /**
   * Returns the state of the database; waits at most `waitMs` for a new reading if there is one that is
   * not old.
   */
  readonly database: (waitMs?: number) => Promise<DatabaseView>;
  /** Returns the heat map; null before the first reading. */
  readonly heatMap: () => Promise<Reading<readonly HeatCell[]> | null>;
  /** Returns the organizations and the totals up to yesterday; null before the first reading of the day. */
  readonly overview: () => Promise<Reading<Overview> | null>;
  /** Returns the newest month that is over and not closed, if there is one; null before the first reading. */
  readonly openMonth: () => Promise<Reading<OpenMonth | null> | null>;
  /** Returns the comparisons of a month with control totals that are not equal; null before the first reading. */
  readonly totals: (month: Month) => Promise<Reading<Reconciliation> | null>;
  /** Returns a month; null before its first reading. */
  readonly month: (month: Month) => Promise<Reading<InvoicedMonth> | null>;
  /**
   * Asks the database for one page. Rejects if it does not answer in time, or if too many pages ask at
   * once.
   */
  readonly read: ReadPage;
  /** Passes on the rows of a view as they are taken. Rejects at once while another one is being passed on. */
  readonly streamRows: (request: ViewRequest, take: TakeRows) => Promise<void>;
  /** Returns the reasons why this process is not ready, for people; empty if it is. */
  readonly readiness: () => Promise<readonly string[]>;
  readonly policy: Policy;
  readonly logger: Logger;
  /** Returns the time in ms since 1970. */
  readonly now: () => number;
}

export type ReadPage = <T>(query: (db: Kysely<Schema>) => Promise<T>) => Promise<T>;

/** Takes rows. Resolves to true once more may come, to false if no more are wanted. */
export type TakeRows = (rows: readonly Row[]) => Promise<boolean>;

/** The state of the database, as this process knows it. */
export interface DatabaseView {
  /** Whether it answers a trivial query in time. */
  readonly isUp: boolean;
  /** The newest reading of the state of everything; null before the first. */
  readonly reading: Reading<Health> | null;
}

/** `ageOf` returns the age of the reading in ms; before the first one, the time since `sinceMs`. */
export function ageOf(
  { reading }: DatabaseView,
  { nowMs, sinceMs }: { nowMs: number; sinceMs: number },
): number {
  return Math.max(0, nowMs - (reading?.atMs ?? sinceMs));
}

/**
 * `shownHealth` returns the health that may be shown; none while the database is unreachable, because
 * it may differ by now.
 */
export function shownHealth({ isUp, reading }: DatabaseView): Health | null {
  return isUp ? (reading?.value ?? null) : null;
}

/** The instances' names by id. */
export type Names = ReadonlyMap<string, string>;

/** `instanceNames` returns the instances' names, or their ids if no name is known. */
export function instanceNames({ reading }: DatabaseView): Names {
  const instances = reading?.value.instances ?? [];
  return new Map(instances.map(({ instanceId, name }) => [instanceId, name ?? instanceId]));
}

/**
 * The time that a page waits for a newer reading of the state of everything; a minute more or less
 * changes little.
 */
export const READING_WAIT_MS = 100;

/** `readOrNull` returns null if the database does not answer the query in time; the log has the reason. */
export async function readOrNull<T>(
  { read, logger }: PageSources,
  query: (db: Kysely<Schema>) => Promise<T>,
): Promise<T | null> {
  try {
    return await read(query);
  } catch (error) {
    logger.warn({ err: error }, 'database not read for a page');
    return null;
  }
}

/**
 * The state that one worker process knows about itself; the database's part is in
 * `src/queries/health.ts`.
 */
export interface WorkerStatus {
  readonly version: string;
  readonly host: string;
  readonly startedAt: string;
  readonly schedule: string;
  readonly isArmed: boolean;
  readonly nextWakeAt: string | null;
  readonly isStopping: boolean;
  readonly instances: readonly InstanceStatus[];
}

export interface InstanceStatus {
  readonly instanceId: string;
  /** The state; `standby` means that another process exports it. */
  readonly state: 'starting' | 'working' | 'idle' | 'standby';
  /** The progress of the run under way; null if there is none. */
  readonly progress: RunProgress | null;
  readonly lastRun: { readonly finishedAt: string; readonly result: RunResult } | null;
  readonly lastCompleteRunAt: string | null;
  /** The trouble of the newest run, or what keeps the one under way from working; null if there is none. */
  readonly trouble: Trouble | null;
}

/** The end of a wake-up of an instance in this process, whether or not anything was due. */
export interface WakeEnd {
  readonly instanceId: string;
  readonly at: string;
  readonly result: RunResult;
}

export interface RunProgress {
  readonly startedAt: string;
  /** The number of cells found due so far; more are found while the first are read. */
  readonly planned: number;
  readonly done: number;
  /** The number of HTTP requests sent, including retries and discovery. */
  readonly requests: number;
  /** The requests of its plan, from which the time left is estimated. */
  readonly plan: RunPlan;
}

export interface RunPlan extends RequestProgress {
  /** The time at which its first request could be sent. */
  readonly startedAt: string;
  /** The requests per second that the settings allow. */
  readonly rate: number;
}

export interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /**
   * The kind of trouble: a failure; `gaps`, only gaps of the ledger, about which the database knows more and newer
   * facts; or `waiting`, for Losant, the database or the lease, and all goes on by itself when that ends.
   */
  readonly kind: 'failure' | 'gaps' | 'waiting';
}

/** The result of a run of one instance. */
export type RunResult = (typeof RUN_RESULTS)[number];

/**
 * `complete`: it did all that it had to, whatever gaps are older. `partial`: something due is missing. `refused`:
 * Losant refuses the token or a scope. `failed`: it broke off. `standby`: another process has the instance.
 * `interrupted`: the process was asked to end.
 */
export const RUN_RESULTS = ['complete', 'partial', 'refused', 'failed', 'standby', 'interrupted'] as const;
