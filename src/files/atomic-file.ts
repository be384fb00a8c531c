import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { AppError, codeOf, SettingsError } from '../errors.ts';
import type { FileChunk } from './formats.ts';

/**
 * Writes a file completely or not at all: until it is complete, it has the name `.NAME.ID.unfinished` in the same
 * folder, and an existing file stays. Returns its size and hash. Throws SettingsError if it cannot be
 * created, AppError if writing fails, and what `parts` throws.
 */
export async function writeAtomicFile(path: string, id: string, parts: AsyncIterable<FileChunk>) {
  const { target, unfinished, handle } = await openUnfinished(path, id);
  const fail = (error: unknown) => {
    throw toFileError(error, target, { hasStarted: true });
  };
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const part of parts) {
      const content = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
      hash.update(content);
      bytes += content.length;
      await handle.writeFile(content).catch(fail);
    }
    await handle.sync().catch(fail);
    await handle.close().catch(fail);
    await rename(unfinished, target).catch(fail);
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    await handle.close();
    await rm(unfinished, { force: true });
  }
}

async function openUnfinished(path: string, id: string) {
  try {
    const { path: target, mode } = await findTarget(path);
    const unfinished = join(dirname(target), `.${basename(target)}.${id}.unfinished`);
    const handle = await open(unfinished, 'wx');
    if (mode !== null) await handle.chmod(mode);
    return { target, unfinished, handle };
  } catch (error) {
    throw toFileError(error, path, { hasStarted: false });
  }
}

/** Returns the file to replace, following links. Throws if it is not a writable regular file. */
async function findTarget(path: string): Promise<{ readonly path: string; readonly mode: number | null }> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) {
      const fileType = stats.isDirectory() ? 'a folder' : 'a device or pipe';
      throw new SettingsError(`${path} is ${fileType}, not a file`, { hint: 'give a file name' });
    }
    await access(path, constants.W_OK);
    return { path: await realpath(path), mode: stats.mode & 0o777 };
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return { path, mode: null };
  }
}

/**
 * Turns an error of the file system into one for the operator; returns any other error unchanged. Once writing has
 * started, the partial file has been removed.
 */
function toFileError(error: unknown, path: string, { hasStarted }: { hasStarted: boolean }): unknown {
  const code = codeOf(error);
  if (code === null || !(error instanceof Error && 'syscall' in error)) return error;
  // The text is `EACCES: permission denied`, without the call and the path that Node adds.
  const problem = code === 'ENOENT' ? `folder ${dirname(resolve(path))} does not exist` : error.message.split(', ')[0];
  const message = `${path} cannot be written: ${problem}`;
  const advice = 'give a path that this user can write to, on a disk with free space';
  if (!hasStarted) return new SettingsError(message, { hint: advice, cause: error });
  const hint = `${advice}, then try again; no partial file was left behind`;
  return new AppError('file_failed', message, { hint, cause: error });
}
