import { dirname, resolve } from 'node:path';
import { SettingsError } from '../errors.ts';

const FILE_PROBLEMS: Readonly<Record<string, (out: string) => readonly [problem: string, hint: string]>> = {
  ENOENT: (out) => [`there is no folder ${dirname(resolve(out))}`, 'make it first, or name another'],
  ENOTDIR: () => ['is a file, or lies below one', 'name a folder'],
  EACCES: () => ['this user may not write there', 'name a folder this user may write to'],
  EROFS: () => ['the file system is read-only', 'name another folder'],
  ENOSPC: () => ['the disk is full', 'free some space, or name a folder on another disk'],
  EDQUOT: () => ['the quota of this user is used up', 'free some space, or name a folder on another disk'],
};

/** What the file system refused to do with `--out`, as the operator can act on it; other errors as they are. */
export function describeFileError(error: unknown, out: string): unknown {
  const describe = FILE_PROBLEMS[codeOf(error) ?? ''];
  if (describe === undefined) return error;
  const [problem, hint] = describe(out);
  return new SettingsError(`--out ${out}: ${problem}`, {
    hint: `${hint}; nothing was left behind`,
    cause: error,
  });
}

/** The code of an error of the system, or null. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
