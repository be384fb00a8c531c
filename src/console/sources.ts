/** The parts of a page: its address, and the sources of what it shows. */
import type { Context } from 'hono';
import type { Kysely } from 'kysely';
import type { InvoicedMonth } from '../billing/month.ts';
import type { Schema } from '../database/schema.ts';
import type { Row } from '../files/formats.ts';
import type { Logger } from '../logger.ts';
import type { HeatCell } from '../queries/coverage.ts';
import type { Health } from '../queries/health.ts';
import type { PayloadShare } from '../queries/organizations.ts';
import type { ViewRequest } from '../queries/view-rows.ts';
import type { Month } from '../usage/period.ts';
import type { Policy } from '../usage/policy.ts';
import type { Reading } from './readings.ts';
import type { WorkerStatus } from './worker-status.ts';

/** A page of the console: where it is, and how it answers. */
export interface ConsolePage {
  /** As hono writes routes, e.g. `/organizations/:id`. */
  readonly path: string;
  /** Called once, so that a page may keep readings; what it returns answers each request. */
  readonly open: (sources: PageSources) => (c: Context) => Promise<Response>;
}

/** The sources of what the pages show. */
export interface PageSources {
  readonly status: () => WorkerStatus;
  /** Waits for a new reading no longer than `waitMs`, if there is one that is not old. */
  readonly database: (waitMs?: number) => Promise<DatabaseView>;
  /** Null before the first reading. */
  readonly heatMap: () => Promise<Reading<readonly HeatCell[]> | null>;
  /** By organization; null before the first reading. */
  readonly payloadShares: () => Promise<Reading<ReadonlyMap<string, PayloadShare>> | null>;
  /** Null before its first reading. */
  readonly month: (month: Month) => Promise<Reading<InvoicedMonth> | null>;
  /** Asks the database for one page; rejects if it does not answer in time, or if too many pages ask at once. */
  readonly read: ReadPage;
  /** Hands on the rows of a view as they are taken; rejects at once while others are being handed on. */
  readonly streamRows: (request: ViewRequest, take: TakeRows) => Promise<void>;
  /** The reasons for which this process is not ready, for people; empty: there is none. */
  readonly readiness: () => Promise<readonly string[]>;
  readonly policy: Policy;
  readonly logger: Logger;
  /** ms since 1970. */
  readonly now: () => number;
}

export type ReadPage = <T>(query: (db: Kysely<Schema>) => Promise<T>) => Promise<T>;

/** Resolves once more rows may come; false: no more are wanted. */
export type TakeRows = (rows: readonly Row[]) => Promise<boolean>;

/** The state of the database, as this process knows it. */
export interface DatabaseView {
  /** Whether it answers a trivial query in time. */
  readonly isUp: boolean;
  /** The newest reading of how everything stands; null before the first. */
  readonly reading: Reading<Health> | null;
}

/** `ageOf` returns how old the reading is, ms; before the first one, how long ago `sinceMs` was. */
export function ageOf(
  { reading }: DatabaseView,
  { nowMs, sinceMs }: { nowMs: number; sinceMs: number },
): number {
  return Math.max(0, nowMs - (reading?.atMs ?? sinceMs));
}

/** `shownHealth` returns what may be shown: a database that is away may say something else by now. */
export function shownHealth({ isUp, reading }: DatabaseView): Health | null {
  return isUp ? (reading?.value ?? null) : null;
}

/** The instances' names by id, or their ids where no name is known. */
export function instanceNames({ reading }: DatabaseView): ReadonlyMap<string, string> {
  const instances = reading?.value.instances ?? [];
  return new Map(instances.map(({ instanceId, name }) => [instanceId, name ?? instanceId]));
}

/** A page waits no longer for a newer reading of how everything stands; a minute more or less changes little. */
export const READING_WAIT_MS = 100;

/** `readOrNull` returns null if the database does not answer the query in time; the log says why. */
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
