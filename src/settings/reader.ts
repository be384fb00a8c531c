import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, resolve } from 'node:path';
import type * as Yaml from 'yaml';
import { z } from 'zod';
import { line, list, map } from './kinds.ts';
import { type Problem, showSteps, splitMessage } from './problems.ts';
import {
  type Group,
  INSTANCE_SETTINGS,
  type Need,
  SETTINGS,
  type Setting,
  SHARED_SETTINGS,
  type Values,
  variablesOf,
} from './table.ts';

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

type Entries = Readonly<Record<string, unknown>>;

/** The settings file, with known keys and values as they were written. */
export interface SettingsFile {
  readonly path: string;
  /** Whether the file is valid. An invalid one counts as empty once its problems are reported. */
  readonly isRight: boolean;
  readonly top: Entries;
  readonly instances: readonly Entries[];
}

/** The keys of the settings file by the variables that they stand for. */
export const FILE_KEYS = keysOf(SETTINGS);

function keysOf(settings: readonly Setting<unknown>[]): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const setting of settings.filter(({ file }) => file !== undefined)) {
    const endings = setting.isSecret ? ['Variable', 'File'] : [''];
    for (const [i, name] of variablesOf(setting).entries()) keys.set(name, `${setting.file}${endings[i]}`);
  }
  return keys;
}

/** Variables of other secrets, whose values would be sent to Losant if they named an instance's token. */
const OTHER_SECRETS = SHARED_SETTINGS.filter(({ isSecret }) => isSecret).map(({ env }) => env);

const anyValues = (settings: readonly Setting<unknown>[]) =>
  Object.fromEntries([...keysOf(settings).values()].map((key) => [key, z.unknown()]));

const variable = line.refine(
  (name) => /^[A-Z_]\w*$/i.test(name) && !OTHER_SECRETS.includes(name),
  'is not the name of a variable for tokens; use e.g. LOSANT_API_TOKEN_EU',
);
const instance = map({
  ...anyValues(INSTANCE_SETTINGS),
  tokenVariable: variable,
  token: z.undefined(
    'is a secret and may not be in this file; name its file in tokenFile, or a variable in tokenVariable',
  ),
}).refine(
  (each) => !('tokenFile' in each && 'tokenVariable' in each),
  'has both tokenFile and tokenVariable; keep one of them',
);
const document = map({
  ...anyValues(SHARED_SETTINGS),
  instances: list(instance)
    .refine(({ length }) => length > 0, 'is empty; list at least one')
    .check(({ value, issues }) => {
      // All data is stored by the instance's id.
      const ids = value.map(({ id }: Entries) => (typeof id === 'string' ? id.trim().toLowerCase() : null));
      for (const [i, input] of ids.entries()) {
        const first = ids.indexOf(input);
        const message = `is also the id of instances[${first}]; describe each instance once`;
        if (input !== null && first < i) issues.push({ code: 'custom', path: [i, 'id'], input, message });
      }
    }),
}).required({ instances: true });

export function readSettingsFile(
  { name, path }: { readonly name: string; readonly path: string },
  readFile: ReadFile,
  problems: Problem[],
): SettingsFile {
  const wrongFile = { path, isRight: false, top: {}, instances: [] };
  const read = readNamedFile(path, readFile);
  if ('problem' in read) {
    problems.push({ name, value: path, ...read });
    return wrongFile;
  }
  const parsed = parseYaml(path, read.text, problems);
  if (parsed === null) return wrongFile;
  const { data, error } = document.safeParse(parsed.value);
  const issues = error?.issues ?? [];
  problems.push(
    ...issues.map(({ path: steps, message }) => {
      return { remedy: 'remove it', ...splitMessage(message), name: placeIn(path, ...steps) };
    }),
  );
  if (data === undefined) return wrongFile;
  const { instances, ...top } = data;
  return { path, isRight: true, top, instances };
}

export function instanceSource(
  { path, instances }: SettingsFile,
  index: number,
  environment: Source,
): Source {
  return (name) => {
    const key = FILE_KEYS.get(name) ?? '';
    const raw = instances[index]?.[key];
    const given = { name: placeIn(path, 'instances', index, key), raw, folder: dirname(path) };
    if (!key.endsWith('Variable') || typeof raw !== 'string') return given;
    const named = environment(raw);
    return named.raw === undefined ? { name: `${given.name} (${raw})`, raw: undefined } : named;
  };
}

/** `placeIn` returns a place in the file, e.g. `/etc/usage.yaml: instances[0].orgs`. */
export function placeIn(file: string, ...path: readonly PropertyKey[]): string {
  const steps = showSteps(path).replace(/^\./, '');
  return steps === '' ? file : `${file}: ${steps}`;
}

const load = createRequire(import.meta.url);

/** Common mistakes with their remedy; the parser's own guess is often wrong. */
const MISTAKES: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  TAB_AS_INDENT: ['a tab as indentation', 'use spaces'],
  BAD_INDENT: ['wrong indentation', 'align it with its neighbours, or close a bracket before it'],
  BLOCK_AS_IMPLICIT_KEY: [
    'wrong indentation',
    'align it with its neighbours, or quote a text that has a colon',
  ],
  MULTILINE_IMPLICIT_KEY: ['wrong indentation', 'align it with its neighbours, and write key: value'],
  MISSING_CHAR: ['wrong indentation', 'align it with its neighbours, or close a quote or bracket before it'],
  DUPLICATE_KEY: ['a key that occurs twice', 'keep one of them'],
  BAD_ALIAS: ['a text that begins with *', 'put it in quotes'],
  BAD_SCALAR_START: ['a text that begins with a special character', 'put it in quotes'],
  MULTIPLE_DOCS: ['a second document', 'remove the ---'],
  TAG_RESOLVE_FAILED: ['a text that begins with !', 'put it in quotes'],
};

/** `parseYaml` makes no id a number. Returns null once the first mistake of each line is reported. */
function parseYaml(path: string, text: string, problems: Problem[]): { value: unknown } | null {
  // The parser is loaded only here, because few installs have a settings file.
  const { LineCounter, parseDocument } = load('yaml') as typeof Yaml;
  const lineCounter = new LineCounter();
  // The parser's messages quote the file, which may contain a secret by mistake, so only codes and places are
  // shown.
  const document = parseDocument(text, { schema: 'failsafe', prettyErrors: false, lineCounter });
  const mistakes = [...document.errors, ...document.warnings];
  const lines = mistakes.map(({ pos }) => lineCounter.linePos(pos[0]).line);
  for (const [i, { code }] of mistakes.entries()) {
    if (lines.indexOf(lines[i] ?? 0) < i) continue;
    const [problem, remedy] = MISTAKES[code] ?? [`not plain YAML (${code})`, 'correct the file there'];
    problems.push({ name: `${path}, line ${lines[i]}:`, problem, remedy });
  }
  try {
    return mistakes.length > 0 ? null : { value: document.toJS() };
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    const remedy = 'define each anchor before its alias, or write the value out';
    problems.push({ name: path, problem: 'has an alias (*) that cannot be followed', remedy });
    return null;
  }
}
