import { dirname, resolve } from 'node:path';

/** What the file system refused to do, and what the operator can do about it. */
export interface FileProblem {
  readonly problem: string;
  readonly hint: string;
}

const ELSEWHERE = 'name a place where this user may write';
const ROOM = 'give it room, or name a place elsewhere';

const PROBLEMS: Readonly<Record<string, (path: string) => FileProblem>> = {
  ENOENT: (path) => ({
    problem: `there is no folder ${dirname(resolve(path))}`,
    hint: 'create the folder, or name another place',
  }),
  ENOTDIR: () => ({ problem: 'a part of its path is a file, not a folder', hint: ELSEWHERE }),
  EACCES: () => ({ problem: 'this user may not write there', hint: ELSEWHERE }),
  EPERM: () => ({ problem: 'this user may not write there', hint: ELSEWHERE }),
  EROFS: () => ({ problem: 'the file system is read-only', hint: ELSEWHERE }),
  ENOSPC: () => ({ problem: 'the disk is full', hint: ROOM }),
  EDQUOT: () => ({ problem: 'the quota of this user is used up', hint: ROOM }),
};

/** An error of the file system about a file or folder that was to be written; null for any other error. */
export function describeFileProblem(error: unknown, path: string): FileProblem | null {
  const code = codeOf(error);
  if (code === null || !(error instanceof Error && 'syscall' in error)) return null;
  // `EIO: i/o error`: without the call and the path that Node adds.
  return PROBLEMS[code]?.(path) ?? { problem: error.message.split(', ')[0] ?? code, hint: ROOM };
}

/** The code of an error of the system, or null. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
