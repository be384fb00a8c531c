import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ExportError, SettingsError } from '../errors.ts';
import type { Part } from './renderer.ts';

export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * WholeFile is a file that exists completely or not at all. It is written beside its place, and takes
 * it once it is complete and on disk; an existing file stays until then. Throws SettingsError if it
 * cannot be created, ExportError if writing it fails.
 */
export class WholeFile {
  readonly #path: string;
  readonly #unfinished: string;
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  private constructor(path: string, unfinished: string, handle: FileHandle) {
    this.#path = path;
    this.#unfinished = unfinished;
    this.#handle = handle;
  }

  /** Creates the file under an unfinished name, `.NAME.ID.unfinished`. */
  static async create(path: string, id: string): Promise<WholeFile> {
    try {
      const target = await findTarget(path);
      const unfinished = join(dirname(target.path), `.${basename(target.path)}.${id}.unfinished`);
      const handle = await open(unfinished, 'wx');
      if (target.mode !== null) await handle.chmod(target.mode);
      return new WholeFile(target.path, unfinished, handle);
    } catch (error) {
      throw cannotBegin(error, path);
    }
  }

  async write(part: Part): Promise<void> {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    await this.#try(() => this.#handle.writeFile(bytes));
  }

  async finish(): Promise<FileFacts> {
    await this.#try(async () => {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#unfinished, this.#path);
    });
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  /** Removes the unfinished file. Does nothing after `finish`. */
  async discard(): Promise<void> {
    await this.#handle.close();
    await rm(this.#unfinished, { force: true });
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw cannotGoOn(error, this.#path);
    }
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
