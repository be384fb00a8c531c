import { existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { Kysely, PGliteDialect } from 'kysely';
import { DatabaseError } from '../../errors.ts';

import { lockFolder } from './folder-lock.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import { PARSERS } from './parsers.ts';
import type { Schema } from '../schema.ts';

/**
 * Opens PGlite in `folder` for this process alone: PGlite itself has no lock, and
 * two processes on one folder lose committed rows. It has one connection: a query
 * on `db` inside a transaction of `db` would wait for itself.
 */
export async function openEmbedded(folder: string): Promise<DatabaseHandle> {
  const lock = lockFolder(folder);
  // PGlite makes its cluster only in an empty folder, so the lock file can't lie in it.
  const dataDir = join(folder, 'pgdata');
  let pglite: PGlite;
  try {
    pglite = await openPGlite(dataDir);
  } catch (error) {
    lock.release();
    throw await describeOpenError(error, folder, dataDir);
  }
  const root = new Kysely<Schema>({ dialect: new PGliteDialect({ pglite }) });
  return {
    db: root.withSchema(SCHEMA_NAME),
    kind: 'embedded',
    describe: folder,
    runLong: (work) => work(root),
    close: async () => {
      try {
        await root.destroy();
        // kysely closes it only if it ran a query.
        if (!pglite.closed) await pglite.close();
      } finally {
        lock.release();
      }
    },
  };
}

async function openPGlite(dataDir: string): Promise<PGlite> {
  // Loaded only here: it is several megabytes that a worker on Postgres never needs.
  const { PGlite } = await import('@electric-sql/pglite');
  if (!existsSync(dataDir)) {
    // Made beside and renamed when whole: a cluster half made by a killed process would never open.
    const unfinished = `${dataDir}.new`;
    await rm(unfinished, { recursive: true, force: true });
    await (await PGlite.create({ dataDir: unfinished })).close();
    await rename(unfinished, dataDir);
  }
  const pglite = await PGlite.create({ dataDir, parsers: { ...PARSERS } });
  await pglite.exec(`set timezone to 'UTC'; set datestyle to 'ISO'; set bytea_output to 'hex'`);
  return pglite;
}

async function describeOpenError(error: unknown, folder: string, dataDir: string): Promise<DatabaseError> {
  const version = await readFile(join(dataDir, 'PG_VERSION'), 'utf8').catch(() => 'an unknown version of');
  const reason = error instanceof Error ? error.message : String(error);
  const message = `The embedded database in ${folder}, written by Postgres ${version.trim()}, does not open: ${reason}`;
  return new DatabaseError('database_unreachable', message, {
    hint: 'open it with the version of losant-usage that wrote it, or move it away and start a new one',
    cause: error,
  });
}
