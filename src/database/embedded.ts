import { existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { Kysely, PGliteDialect } from 'kysely';
import { DatabaseError } from '../errors.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { type DatabaseHandle, SCHEMA_NAME } from './handle.ts';
import { PARSERS } from './parsers.ts';
import type { Schema } from './schema.ts';

/**
 * Opens PGlite in `folder` for this process alone: PGlite itself has no lock, and
 * two processes on one folder lose committed rows. It has one connection: a query
 * on `db` inside a transaction of `db` would wait for itself.
 */
export async function openEmbedded(
  folder: string,
  { ifMissing }: { ifMissing: 'create' | 'refuse' | 'stand_in' },
): Promise<DatabaseHandle> {
  // PGlite makes its cluster only in an empty folder, so the lock file can't lie in it.
  const dataDir = join(folder, 'pgdata');
  if (ifMissing !== 'create' && !existsSync(dataDir)) {
    if (ifMissing === 'stand_in') return toHandle(folder, await startPGlite(undefined), null);
    throw new DatabaseError('database_refused', `There is no embedded database in ${folder}`, {
      hint: 'correct the folder in DATABASE_URL; `losant-usage run` begins a new database there',
    });
  }
  const lock = lockFolder(folder);
  try {
    return toHandle(folder, await openFolder(dataDir), lock);
  } catch (error) {
    lock.release();
    throw await describeOpenError(error, folder, dataDir);
  }
}

function toHandle(folder: string, pglite: PGlite, lock: FolderLock | null): DatabaseHandle {
  const root = new Kysely<Schema>({ dialect: new PGliteDialect({ pglite }) });
  return {
    db: root.withSchema(SCHEMA_NAME),
    kind: 'embedded',
    describe: folder,
    readOnly: null,
    runLong: (work) => work(root),
    close: async () => {
      try {
        await root.destroy();
        // kysely closes it only if it ran a query.
        if (!pglite.closed) await pglite.close();
      } finally {
        lock?.release();
      }
    },
  };
}

async function openFolder(dataDir: string): Promise<PGlite> {
  if (!existsSync(dataDir)) {
    // Made beside and renamed when whole: a cluster half made by a killed process would never open.
    const unfinished = `${dataDir}.new`;
    await rm(unfinished, { recursive: true, force: true });
    await (await startPGlite(unfinished)).close();
    await rename(unfinished, dataDir);
  }
  return await startPGlite(dataDir);
}

/** In memory where no folder is given. */
async function startPGlite(dataDir: string | undefined): Promise<PGlite> {
  // Loaded only here: it is several megabytes that a worker on Postgres never needs.
  const { PGlite } = await import('@electric-sql/pglite');
  const pglite = await PGlite.create({
    ...(dataDir === undefined ? {} : { dataDir }),
    parsers: { ...PARSERS },
  });
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
