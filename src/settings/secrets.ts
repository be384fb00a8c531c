import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import type { Problem } from './problems.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface FileContent {
  readonly text: string;
  /** Permission bits; null where they say nothing. */
  readonly mode: number | null;
}

/** Reads a whole file; throws as `node:fs` does. */
export type ReadFile = (path: string) => FileContent;

/** A secret that was found (null: not given), or why there is none. `name` is the setting it came from. */
export type SecretReading =
  | { readonly ok: true; readonly name: string; readonly text: string | null }
  | { readonly ok: false; readonly problem: Problem };

/** The secrets that no instance's token may be read from: Losant would be told them. */
export const OTHER_SECRETS: readonly string[] = ['DATABASE_URL', 'HTTP_TOKEN', 'HEARTBEAT_URL'];

/** No setting is nearly as large: a wrong path, e.g. to a database or a disk, is not read into memory. */
const LARGEST_FILE_BYTES = 1024 * 1024;

const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'names a file that does not exist',
  ENOTDIR: 'names a file that does not exist',
  EACCES: 'names a file that this user may not read',
  EPERM: 'names a file that this user may not read',
  EISDIR: 'names something that is not a regular file',
  EFBIG: 'names a file that is larger than 1 MiB',
};

/** Reads a regular file; a pipe could block for ever, and could not be read again. */
export function readFileFromDisk(path: string): FileContent {
  const stats = statSync(path);
  if (!stats.isFile()) throw Object.assign(new Error('not a regular file'), { code: 'EISDIR' });
  if (stats.size > LARGEST_FILE_BYTES) throw Object.assign(new Error('too large'), { code: 'EFBIG' });
  // Windows invents the bits of group and others.
  const mode = process.platform === 'win32' ? null : stats.mode & 0o777;
  return { text: readFileSync(path, 'utf8'), mode };
}

/** Completes a sentence about the setting that named the file. */
export function describeFileError(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  return FILE_PROBLEMS[code] ?? `names a file that cannot be read (${code})`;
}

/** A path for messages; undefined if it might be the secret itself, pasted into the wrong setting. */
function shownPath(path: string): string | undefined {
  return !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path)) ? path : undefined;
}

/**
 * The secret `name` from the environment, or from the file that `name_FILE`
 * names. An empty value counts as not given where `emptyIsUnset`.
 */
export function readSecret(
  name: string,
  options: { readonly env: Environment; readonly readFile: ReadFile; readonly emptyIsUnset: boolean },
): SecretReading {
  const { env, readFile, emptyIsUnset } = options;
  const given = (key: string) => (emptyIsUnset && env[key]?.trim() === '' ? undefined : env[key]);
  const text = given(name);
  const path = given(`${name}_FILE`);
  if (text !== undefined && path !== undefined) {
    return failed({ name, problem: `and ${name}_FILE are both set`, remedy: 'keep one of them' });
  }
  if (path !== undefined) return readSecretFile(`${name}_FILE`, path, { readFile });
  if (text === undefined) return { ok: true, name, text: null };
  const remedy = `give it a value, name its file in ${name}_FILE, or remove it`;
  return nonEmpty(name, text, { name, problem: 'is empty', remedy });
}

/** The secret in the file that the setting `name` names, without its trailing newline. */
export function readSecretFile(
  name: string,
  path: string,
  options: { readonly readFile: ReadFile /** Where a relative path starts. */; readonly folder?: string },
): SecretReading {
  const { readFile, folder = '' } = options;
  const value = shownPath(path);
  if (path.trim() === '') {
    return failed({ name, problem: 'is empty', remedy: 'give the path of a file, or remove the setting' });
  }
  try {
    const remedy = 'write the secret into it';
    return nonEmpty(name, readFile(resolve(folder, path)).text, {
      name,
      value,
      problem: 'names an empty file',
      remedy,
    });
  } catch (error) {
    const remedy = 'correct the path, or let this user read a file there';
    return failed({ name, value, problem: describeFileError(error), remedy });
  }
}

function nonEmpty(name: string, text: string, problem: Problem): SecretReading {
  const trimmed = text.replace(/[\r\n]+$/, '');
  return trimmed.trim() === '' ? failed(problem) : { ok: true, name, text: trimmed };
}

function failed(problem: Problem): SecretReading {
  return { ok: false, problem };
}

/** What is wrong with a token that is to travel in an HTTP header; null if nothing is. */
export function tokenProblem(name: string, text: string, minLength: number): Problem | null {
  if (!/^[\x21-\x7e]+$/.test(text)) {
    const problem = 'holds whitespace, control or non-ASCII characters';
    return { name, problem, remedy: 'give the token alone, without quotes, spaces or line breaks' };
  }
  if (text.length >= minLength) return null;
  const remedy = 'use a longer random one, e.g. from: openssl rand -hex 32';
  return { name, problem: `is shorter than ${minLength} characters`, remedy };
}
