import { resolve } from 'node:path';
import { SettingsError } from '../errors.ts';
import { openEmbedded } from './embedded.ts';
import type { DatabaseHandle, DatabaseLogger } from './handle.ts';
import { openPostgres } from './postgres.ts';

export type { DatabaseHandle } from './handle.ts';

/**
 * What becomes of an embedded database that is not there: it is made; it is
 * refused; or an empty one in memory takes its place, so that nothing is made.
 */
export type IfMissing = 'create' | 'refuse' | 'stand_in';

export interface DatabaseOptions {
  /** `postgres://…`, `postgresql://…`, or `embedded:DIR`. */
  readonly url: string;
  readonly applicationName: string;
  /** Connections to Postgres; the embedded database has one. */
  readonly poolSize: number;
  /** How long the server lets one statement run. */
  readonly statementTimeoutMs?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
  /** Without it, `create`. Of a server nothing is ever made here. */
  readonly ifMissing?: IfMissing | undefined;
  readonly logger?: DatabaseLogger | undefined;
}

const STATEMENT_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;
const EMBEDDED = 'embedded:';

/**
 * Opens the database and proves that it answers. Throws SettingsError for a URL
 * that cannot be used, DatabaseError for a server that cannot, HeldError for an
 * embedded folder that another process has; none holds the password.
 */
export async function createDatabase(options: DatabaseOptions): Promise<DatabaseHandle> {
  const { url, statementTimeoutMs = STATEMENT_TIMEOUT_MS, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
  if (!url.startsWith(EMBEDDED))
    return await openPostgres({ ...options, statementTimeoutMs, connectTimeoutMs });
  const folder = url.slice(EMBEDDED.length);
  if (folder !== '') return await openEmbedded(resolve(folder), { ifMissing: options.ifMissing ?? 'create' });
  throw new SettingsError('DATABASE_URL is embedded: without a folder', { hint: 'use embedded:DIR' });
}
