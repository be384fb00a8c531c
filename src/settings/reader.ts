import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import type { z } from 'zod';
import { type Problem, showSteps, splitMessage } from './problems.ts';
import type { Group, Need, Setting, Values } from './table.ts';

/** The value given for a variable. */
export interface Given {
  readonly name: string;
  readonly raw: unknown;
  readonly isVariable?: true;
  /** The folder that relative paths start from; by default the current folder. */
  readonly folder?: string;
}

/** Returns the value given for a variable, in the environment or in the settings file. */
export type Source = (variable: string) => Given;

/** The context of reading: what the settings are needed for, how files are read, and where problems go. */
export interface Reading {
  readonly needs: readonly Need[];
  readonly readFile: ReadFile;
  readonly problems: Problem[];
}

/** `readGroup` reads settings that belong together; returns null if any of them is wrong. */
export function readGroup<G extends Group>(group: G, source: Source, reading: Reading): Values<G> | null {
  const before = reading.problems.length;
  const values = Object.entries(group).map(([name, each]) => [name, readSetting(each, source, reading)]);
  return reading.problems.length > before ? null : (Object.fromEntries(values) as Values<G>);
}

/** `readSetting` reads a setting; returns null for a wrong one, and for one that is not needed. */
export function readSetting<T>(setting: Setting<T>, source: Source, reading: Reading): T | null {
  const { env, kind, fallback, isSecret, neededBy } = setting;
  if (neededBy !== undefined && !reading.needs.includes(neededBy)) return null;
  const given = isSecret ? findSecret(setting, source, reading) : source(env);
  if (given === null) return null;
  const { name, raw, isVariable } = given;
  const isUnset = raw === undefined || (isEmpty(raw) && !setting.refusesEmpty);
  if (isUnset && fallback !== undefined) return fallback;
  if (isUnset || isEmpty(raw)) {
    const inFile = isSecret ? `; or name its file in ${source(`${env}_FILE`).name}` : '';
    const problem = isUnset ? 'is not set' : 'is empty';
    reading.problems.push({ name, problem, remedy: setting.remedy + inFile });
    return null;
  }
  const value = setting.isList && isVariable && typeof raw === 'string' ? raw.split(',') : raw;
  const { success, data, error } = kind.safeParse(value, { reportInput: true });
  if (success) return data;
  reading.problems.push(...error.issues.map((issue) => describeIssue(issue, setting, name)));
  return null;
}

function isEmpty(raw: unknown): boolean {
  return (typeof raw === 'string' && raw.trim() === '') || (Array.isArray(raw) && raw.length === 0);
}

function describeIssue(
  { path, input, message }: z.core.$ZodIssue,
  setting: Setting<unknown>,
  name: string,
): Problem {
  const isShown =
    !setting.isSecret && input !== '' && (typeof input === 'string' || typeof input === 'number');
  // An entry of a plain list is identified by its value.
  const steps = isShown ? path.filter((step, i) => i > 0 || typeof step === 'string') : path;
  return {
    remedy: setting.remedy,
    ...splitMessage(message),
    ...(input === '' && { problem: 'is empty' }),
    name: name + showSteps(steps),
    value: isShown ? withoutSecrets(String(input)) : null,
  };
}

/** `withoutSecrets` returns the text without the part of a URL that may be a password or token. */
function withoutSecrets(text: string): string {
  return text.replace(/[?#].*$/s, '?…').replace(/^([^/]*\/\/)?.+@/s, '$1…@');
}

function findSecret({ env, refusesEmpty }: Setting<unknown>, source: Source, reading: Reading): Given | null {
  const [direct, named] = [source(env), source(`${env}_FILE`)];
  const isGiven = ({ raw }: Given) => raw !== undefined && (refusesEmpty || !isEmpty(raw));
  if (!isGiven(named)) return { ...direct, raw: withoutNewline(direct.raw) };
  if (!isGiven(direct)) return readSecretFile(named, reading);
  const problem = `and ${named.name} are both set`;
  reading.problems.push({ name: direct.name, problem, remedy: 'keep one of them' });
  return null;
}

function readSecretFile({ name, raw, folder = '' }: Given, { readFile, problems }: Reading): Given | null {
  const path = typeof raw === 'string' ? raw : '';
  if (path.trim() === '') {
    problems.push({ name, problem: 'is empty', remedy: 'give the path of a file, or remove the setting' });
    return null;
  }
  const read = readNamedFile(resolve(folder, path), readFile);
  const text = 'text' in read ? withoutNewline(read.text) : '';
  if (!isEmpty(text)) return { name, raw: text };
  // The value is shown only if it looks like a path: it might be the secret itself, given instead of its
  // file.
  const value = !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path)) ? path : null;
  const fault = { problem: 'names an empty file', remedy: 'write the secret into it' };
  problems.push({ name, value, ...('problem' in read ? read : fault) });
  return null;
}

function withoutNewline(raw: unknown): unknown {
  return typeof raw === 'string' ? raw.replace(/[\r\n]+$/, '') : raw;
}

export interface FileContent {
  readonly text: string;
  /** The permission bits; null where they have no meaning. */
  readonly mode: number | null;
}

/** Reads a complete file; throws as `node:fs` does. */
export type ReadFile = (path: string) => FileContent;

/** The largest file read: a wrong path, e.g. to a disk, must not be read into memory. */
const LARGEST_FILE_BYTES = 1024 * 1024;

/** `readFileFromDisk` reads a regular file; a pipe could block for ever and could not be read again. */
export function readFileFromDisk(path: string): FileContent {
  const stats = statSync(path);
  if (!stats.isFile()) throw Object.assign(new Error('not a regular file'), { code: 'not a regular file' });
  if (stats.size > LARGEST_FILE_BYTES) throw Object.assign(new Error('too large'), { code: 'over 1 MiB' });
  // Windows invents the bits of group and others.
  const mode = process.platform === 'win32' ? null : stats.mode & 0o777;
  return { text: readFileSync(path, 'utf8'), mode };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'it does not exist',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
};

/** `readNamedFile` reads the file that a setting names, or reports the setting's problem. */
export function readNamedFile(
  path: string,
  readFile: ReadFile,
): FileContent | { readonly problem: string; readonly remedy: string } {
  try {
    return readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const problem = `names a file that cannot be read: ${REASONS[code] ?? code}`;
    return { problem, remedy: 'correct the path, or let this user read a file there' };
  }
}
