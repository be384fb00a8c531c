import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ExportError, SettingsError } from '../errors.ts';
import type { Part } from './formats.ts';

/** A file that exists completely or not at all. Methods throw ExportError if writing it fails. */
export interface WholeFile {
  write(part: Part): Promise<void>;
  /** Gives the file its place once it is on disk; what was there stays until then. */
  finish(): Promise<{ readonly bytes: number; readonly sha256: string }>;
  /** Removes the unfinished file. Does nothing after `finish`. */
  discard(): Promise<void>;
}

/** Creates a file beside its place, as `.NAME.ID.unfinished`. Throws SettingsError if that cannot be. */
export async function createWholeFile(path: string, id: string): Promise<WholeFile> {
  const { target, unfinished, handle } = await openUnfinished(path, id);
  const hash = createHash('sha256');
  let size = 0;
  const attempt = async (work: () => Promise<void>) => {
    await work().catch((error: unknown) => {
      throw cannotGoOn(error, target);
    });
  };
  return {
    write: async (part) => {
      const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
      hash.update(bytes);
      size += bytes.length;
      await attempt(() => handle.writeFile(bytes));
    },
    finish: async () => {
      await attempt(async () => {
        await handle.sync();
        await handle.close();
        await rename(unfinished, target);
      });
      return { bytes: size, sha256: hash.digest('hex') };
    },
    discard: async () => {
      await handle.close();
      await rm(unfinished, { force: true });
    },
  };
}

async function openUnfinished(path: string, id: string) {
  try {
    const { path: target, mode } = await findTarget(path);
    const unfinished = join(dirname(target), `.${basename(target)}.${id}.unfinished`);
    const handle = await open(unfinished, 'wx');
    if (mode !== null) await handle.chmod(mode);
    return { target, unfinished, handle };
  } catch (error) {
    throw cannotBegin(error, path);
  }
}

/** Returns the file that is replaced: the target of a link, and only one that may be written. */
async function findTarget(path: string): Promise<{ readonly path: string; readonly mode: number | null }> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) {
      const what = stats.isDirectory() ? 'a folder' : 'a device or pipe';
      throw new SettingsError(`${path} is ${what}, not a file`, { hint: 'name a file' });
    }
    await access(path, constants.W_OK);
    return { path: await realpath(path), mode: stats.mode & 0o777 };
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return { path, mode: null };
  }
}

/** Returns the refusal to create a file or folder as an error for the operator; any other error as it is. */
export function cannotBegin(error: unknown, path: string): unknown {
  const found = describeFileProblem(error, path);
  return found === null ? error : new SettingsError(found.message, { hint: found.hint, cause: error });
}

/** Is the same for one that was begun and is taken back. */
export function cannotGoOn(error: unknown, path: string): unknown {
  const found = describeFileProblem(error, path);
  if (found === null) return error;
  const hint = `${found.hint}, and start again: nothing of it was left behind`;
  return new ExportError('file_failed', found.message, { hint, cause: error });
}

/** Describes a refusal of the file system; null for any other error. */
function describeFileProblem(error: unknown, path: string): { message: string; hint: string } | null {
  const code = codeOf(error);
  if (code === null || !(error instanceof Error && 'syscall' in error)) return null;
  // The text is `EACCES: permission denied`, without the call and the path that Node adds.
  const problem =
    code === 'ENOENT' ? `there is no folder ${dirname(resolve(path))}` : error.message.split(', ')[0];
  const hint = 'name a place where this user may write, and which has room';
  return { message: `${path} cannot be written: ${problem}`, hint };
}

export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
