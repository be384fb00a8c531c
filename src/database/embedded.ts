import { accessSync, constants, existsSync, mkdirSync, readdirSync, type StatsFs, statfsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { PGlite } from '@electric-sql/pglite';
import { Kysely, type KyselyPlugin, PGliteDialect } from 'kysely';
import { BusyError, DatabaseError, describeError, SettingsError } from '../errors.ts';
import { type DatabaseHandle, type IfMissing, SCHEMA_NAME } from './handle.ts';
import { PARSERS } from './parsers.ts';
import type { Schema } from './schema.ts';

/**
 * Opens PGlite in `folder` and locks it for this process: PGlite has no lock, and two processes on one folder lose
 * committed rows. PGlite has one connection, so a query on `db` inside a transaction of `db` would deadlock.
 */
export async function openEmbedded(folder: string, ifMissing: IfMissing): Promise<DatabaseHandle> {
  // PGlite creates a cluster only in an empty folder, so the lock file is outside.
  const dataDir = join(folder, 'pgdata');
  if (ifMissing !== 'create' && !existsSync(dataDir)) {
    if (ifMissing === 'stand_in') {
      attemptOn(folder, () => requireCreatable(folder));
      return toHandle(folder, await startPGlite(undefined), null);
    }
    throw new DatabaseError('database_rejected', `There is no embedded database in ${folder}`, {
      hint: 'correct the folder in DATABASE_URL; `losant-usage run` creates a new database there',
    });
  }
  const lock = lockFolder(folder);
  try {
    return toHandle(folder, await openFolder(dataDir), lock);
  } catch (error) {
    lock.close();
    const version = await readFile(join(dataDir, 'PG_VERSION'), 'utf8').catch(() => 'an unknown version of');
    const message =
      `The embedded database in ${folder}, written by Postgres ${version.trim()}, cannot be opened: ` +
      describeError(error).message;
    throw new DatabaseError('database_unreachable', message, {
      hint: 'open it with the version of losant-usage that wrote it, or move it away and create a new one',
      cause: error,
    });
  }
}

function toHandle(folder: string, pglite: PGlite, lock: DatabaseSync | null): DatabaseHandle {
  const checkDiskSpace: KyselyPlugin = {
    transformQuery: ({ node }) => {
      if (lock !== null) requireDiskSpace(folder);
      return node;
    },
    transformResult: ({ result }) => Promise.resolve(result),
  };
  const root = new Kysely<Schema>({ dialect: new PGliteDialect({ pglite }), plugins: [checkDiskSpace] });
  const db = root.withSchema(SCHEMA_NAME);
  const close = async () => {
    try {
      await root.destroy();
      // kysely closes PGlite only if it has run a query.
      if (!pglite.closed) await pglite.close();
    } finally {
      lock?.close();
    }
  };
  return {
    db,
    leaseDb: db,
    kind: 'embedded',
    label: folder,
    readOnly: null,
    runLong: (work) => work(db),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openFolder(dataDir: string): Promise<PGlite> {
  if (!existsSync(dataDir)) {
    // Renamed when it is complete: a cluster that a killed process left incomplete would never open.
    const unfinished = `${dataDir}.new`;
    await rm(unfinished, { recursive: true, force: true });
    await (await startPGlite(unfinished)).close();
    await rename(unfinished, dataDir);
  }
  return await startPGlite(dataDir);
}

async function startPGlite(dataDir: string | undefined): Promise<PGlite> {
  // Imported only here: PGlite has several megabytes that a worker on Postgres never needs.
  const { PGlite } = await import('@electric-sql/pglite').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new SettingsError('the embedded database needs the package @electric-sql/pglite, which is not installed', {
      hint: 'install it with npm, or set DATABASE_URL to a Postgres server; the image has no embedded database',
    });
  });
  const pglite = await PGlite.create({ ...(dataDir === undefined ? {} : { dataDir }), parsers: { ...PARSERS } });
  await pglite.exec(`set timezone to 'UTC'; set datestyle to 'ISO'; set bytea_output to 'hex'`);
  return pglite;
}

const OWN_FILES = /^(pgdata|losant-usage\.lock)/;

/** Throws DatabaseError if there are other files and no database yet: the path is likely a mistake. */
function requireOwnFolder(folder: string): void {
  if (existsSync(join(folder, 'pgdata'))) return;
  const otherFile = readdirSync(folder).find((name) => !OWN_FILES.test(name));
  if (otherFile === undefined) return;
  throw new DatabaseError('database_rejected', `The folder ${folder} has other files, such as ${otherFile}`, {
    hint: 'point DATABASE_URL=embedded:DIR at a folder that does not exist yet, or is empty',
  });
}

/** Throws if no database can be created in the folder, which need not exist. Creates nothing. */
function requireCreatable(folder: string): void {
  if (existsSync(folder)) requireOwnFolder(folder);
  let parent = folder;
  while (!existsSync(parent)) parent = dirname(parent);
  // Only a folder has the entry `.`.
  accessSync(`${parent}/.`, constants.W_OK);
  requireDiskSpace(parent);
}

const SQLITE_BUSY = 5;

/**
 * Locks the folder for this process, creating it if it is missing. The lock is SQLite's file lock on an empty file,
 * which the operating system releases however the process dies. Throws BusyError if another handle has the lock,
 * DatabaseError if the folder cannot be created, is not the database's own, or its disk is full.
 */
function lockFolder(folder: string): DatabaseSync {
  const lock = attemptOn(folder, () => {
    createFolder(folder);
    requireOwnFolder(folder);
    requireDiskSpace(folder);
    return new DatabaseSync(join(folder, 'losant-usage.lock'), { timeout: 0 });
  });
  try {
    lock.exec('pragma locking_mode = exclusive; begin exclusive');
  } catch (error) {
    lock.close();
    if (!(error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)) throw error;
    throw new BusyError('folder_locked', `Another process is using the embedded database in ${folder}`, {
      hint: 'stop that process, or set DATABASE_URL to a Postgres server, which many processes can share',
    });
  }
  return lock;
}

/** Turns an error of the file system into a DatabaseError that names the folder. */
function attemptOn<T>(folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof DatabaseError) throw error;
    const message = `Cannot write to the folder ${folder}: ${describeError(error).message}`;
    const hint = 'point DATABASE_URL=embedded:DIR at a folder that this user can write to';
    throw new DatabaseError('database_rejected', message, { hint, cause: error });
  }
}

/** Only for this user, as Postgres has it. Level by level: a recursive mkdir below /proc never returns. */
function createFolder(folder: string): void {
  if (existsSync(folder)) return;
  createFolder(dirname(folder));
  mkdirSync(folder, 0o700);
}

/**
 * Free space required at opening and before each statement: a new cluster takes 41 MB, a log segment 16 MB. With a
 * full disk PGlite does not fail but spins forever, deaf to signals and timers.
 */
const DISK_SPACE_MB = 64;

/** Throws DatabaseError if the disk has too little free space. */
export function requireDiskSpace(folder: string, stat: Pick<StatsFs, 'bavail' | 'bsize'> = statfsSync(folder)): void {
  const free = Math.floor((stat.bavail * stat.bsize) / 1_000_000);
  if (free >= DISK_SPACE_MB) return;
  const space = `${free} MB free, ${DISK_SPACE_MB} MB needed`;
  throw new DatabaseError('database_failed', `The disk of the embedded database in ${folder} is full: ${space}`, {
    hint: 'free disk space; the stored data is intact',
  });
}
