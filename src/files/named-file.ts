/** Files whose path somebody has given: settings, secrets, a patch. */
import { readFileSync, statSync } from 'node:fs';

export interface FileContent {
  readonly text: string;
  /** The permission bits; null where they have no meaning. */
  readonly mode: number | null;
}

/** Reads a complete file; throws as `node:fs` does. */
export type ReadFile = (path: string) => FileContent;

/** The largest file read: a wrong path, e.g. to a disk, must not be read into memory. */
const LARGEST_FILE_BYTES = 1024 * 1024;

/** Reads a regular file; a pipe could block for ever and could not be read again. */
export function readFileFromDisk(path: string): FileContent {
  const stats = statSync(path);
  if (!stats.isFile()) throw Object.assign(new Error('not a regular file'), { code: 'not a regular file' });
  if (stats.size > LARGEST_FILE_BYTES) throw Object.assign(new Error('too large'), { code: 'over 1 MiB' });
  // Windows invents the bits of group and others.
  const mode = process.platform === 'win32' ? null : stats.mode & 0o777;
  return { text: readFileSync(path, 'utf8'), mode };
}

/** Returns the content of a file that a setting names, or why it cannot be read, without its path. */
export function readNamedFile(
  path: string,
  readFile: ReadFile,
): FileContent | { readonly problem: string; readonly remedy: string } {
  try {
    return readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const reasons = new Map([
      ['ENOENT', 'it does not exist'],
      ['EACCES', 'this user may not read it'],
    ]);
    const problem = `names a file that cannot be read: ${reasons.get(code) ?? code}`;
    return { problem, remedy: 'correct the path, or let this user read a file there' };
  }
}
