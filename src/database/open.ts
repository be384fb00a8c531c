import { resolve } from 'node:path';
import { SettingsError } from '../errors.ts';
import { openEmbedded } from './embedded.ts';
import type { DatabaseHandle, DatabaseLogger } from './handle.ts';
import { openPostgres } from './postgres.ts';

export type { DatabaseHandle } from './handle.ts';

/**
 * The handling of an embedded database that does not exist: create it, refuse it, or use an empty one
 * in memory in its place, so that nothing is created.
 */
export type IfMissing = 'create' | 'refuse' | 'stand_in';

export interface DatabaseOptions {
  /** `postgres://…`, `postgresql://…`, or `embedded:DIR`. */
  readonly url: string;
  readonly applicationName: string;
  /** The number of connections to Postgres; the embedded database has one. */
  readonly poolSize: number;
  /** The time that the server lets one statement run. */
  readonly statementTimeoutMs?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
  /**
   * The handling of a missing embedded database; default `create`. Nothing is ever created here on a
   * server.
   */
  readonly ifMissing?: IfMissing | undefined;
  readonly logger?: DatabaseLogger | undefined;
}

const STATEMENT_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;
const EMBEDDED = 'embedded:';

/**
 * `createDatabase` opens the database and checks that it answers. Throws SettingsError for a URL that cannot
 * be used, DatabaseError for a server that cannot, HeldError for an embedded folder that another process has.
 * No error contains the password.
 */
export async function createDatabase(options: DatabaseOptions): Promise<DatabaseHandle> {
  const { url, statementTimeoutMs = STATEMENT_TIMEOUT_MS, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
  if (!url.startsWith(EMBEDDED))
    return await openPostgres({ ...options, statementTimeoutMs, connectTimeoutMs });
  const folder = url.slice(EMBEDDED.length);
  if (folder !== '') return await openEmbedded(resolve(folder), { ifMissing: options.ifMissing ?? 'create' });
  throw new SettingsError('DATABASE_URL is embedded: without a folder', { hint: 'use embedded:DIR' });
}
