import { resolve } from 'node:path';
import { openEmbedded } from './embedded.ts';
import type { DatabaseHandle, IfMissing } from './handle.ts';
import { locate, openPostgres, type PostgresOptions } from './postgres.ts';

const EMBEDDED = /^embedded:(.*)$/;

export interface DatabaseOptions extends PostgresOptions {
  /** The URL of a server, or `embedded:DIR`, to which the other options do not apply. */
  readonly url: string;
  /** The handling of a missing embedded database; nothing is ever created here on a server. */
  readonly ifMissing?: IfMissing | undefined;
}

/** Returns `host:port/name` or the folder, for messages; never with a password. */
export function describeUrl(url: string): string {
  const [, folder] = EMBEDDED.exec(url) ?? [];
  return folder === undefined ? locate(url) : resolve(folder);
}

/**
 * Opens the database and checks that it answers. Throws SettingsError for a URL that cannot
 * be used, DatabaseError for a server that cannot, BusyError for an embedded folder that another process has.
 * No error contains the password.
 */
export async function createDatabase(options: DatabaseOptions): Promise<DatabaseHandle> {
  const { url, ifMissing = 'create' } = options;
  const [, folder] = EMBEDDED.exec(url) ?? [];
  return folder === undefined ? await openPostgres(options) : await openEmbedded(resolve(folder), ifMissing);
}
