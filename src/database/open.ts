import { resolve } from 'node:path';
import { openEmbedded } from './embedded.ts';
import type { DatabaseHandle, IfMissing } from './handle.ts';
import { describeTarget, openPostgres, type PostgresOptions } from './postgres.ts';

const EMBEDDED = /^embedded:(.*)$/;

export interface DatabaseOptions extends PostgresOptions {
  /** The URL of a server, or `embedded:DIR`; the other options are for servers only. */
  readonly url: string;
  /** Only for an embedded database; on a server nothing is created here. */
  readonly ifMissing?: IfMissing | undefined;
}

/** Returns `host:port/name` or the folder, for messages; never a password. */
export function describeUrl(url: string): string {
  const [, folder] = EMBEDDED.exec(url) ?? [];
  return folder === undefined ? describeTarget(url) : resolve(folder);
}

/**
 * Opens the database and checks that it responds. Throws SettingsError for an invalid URL, DatabaseError for a database
 * that cannot be used, BusyError for an embedded folder that another process uses. No error contains the password.
 */
export async function createDatabase(options: DatabaseOptions): Promise<DatabaseHandle> {
  const { url, ifMissing = 'create' } = options;
  const [, folder] = EMBEDDED.exec(url) ?? [];
  return folder === undefined ? await openPostgres(options) : await openEmbedded(resolve(folder), ifMissing);
}
