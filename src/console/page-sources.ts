import type { Kysely } from 'kysely';
import type { InvoicedMonth } from '../billing/month.ts';
import type { Schema } from '../database/schema.ts';
import type { Row } from '../files/formats.ts';
import type { Logger } from '../logger.ts';
import type { HeatCell } from '../queries/heat-map.ts';
import type { PayloadShare } from '../queries/limits.ts';
import type { ViewRequest } from '../queries/view-rows.ts';
import type { Month } from '../usage/period.ts';
import type { Policy } from '../usage/policy.ts';
import type { DatabaseView } from './database-view.ts';
import type { Reading } from './readings.ts';
import type { WorkerStatus } from './worker-status.ts';

/** Where the pages get what they show. */
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
  /** What keeps this process from being ready, for people; empty: nothing. */
  readonly readiness: () => Promise<readonly string[]>;
  readonly policy: Policy;
  readonly logger: Logger;
  /** ms since 1970. */
  readonly now: () => number;
}

export type ReadPage = <T>(query: (db: Kysely<Schema>) => Promise<T>) => Promise<T>;

/** Resolves once more rows may come; false: no more are wanted. */
export type TakeRows = (rows: readonly Row[]) => Promise<boolean>;
