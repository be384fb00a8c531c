import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DatabaseError, HeldError } from '../errors.ts';

export interface FolderLock {
  release(): void;
}

const SQLITE_BUSY = 5;

/**
 * Takes the folder for this process alone, making it if it is missing. The lock
 * is SQLite's file lock on an empty file, so the operating system frees it when
 * the process dies in whatever way. Throws HeldError if another handle has it.
 */
export function lockFolder(folder: string): FolderLock {
  const lock = openLockFile(folder);
  try {
    lock.exec('pragma locking_mode = exclusive; begin exclusive');
  } catch (error) {
    lock.close();
    if (!(error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)) throw error;
    throw new HeldError('folder_locked', `Another process is using the embedded database in ${folder}`, {
      hint: 'stop that process, or set DATABASE_URL to a Postgres server, which many processes can share',
    });
  }
  return { release: () => lock.close() };
}

function openLockFile(folder: string): DatabaseSync {
  try {
    makeFolder(folder);
    return new DatabaseSync(join(folder, 'losant-usage.lock'), { timeout: 0 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseError('database_refused', `The folder ${folder} cannot be written: ${reason}`, {
      hint: 'give DATABASE_URL=embedded:DIR a folder that this user may write',
      cause: error,
    });
  }
}

/** One level after the other: making them all at once never ends where a file system makes no folders, e.g. /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}
