/** The sources of settings: the environment, files of secrets, the settings file. */
import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { findNearestName } from '../terminal/spelling.ts';
import { describeValueProblem } from './kinds.ts';
import { getSettingInfo, instanceSettings, type Need, type SettingName } from './settings.ts';

/** Texts by setting: the environment, or an instance of the settings file. */
export interface Source {
  readonly texts: Readonly<Record<string, string | undefined>>;
  /** The text before a name in messages: the place in the file, or nothing. */
  readonly prefix: string;
  /** The folder that relative paths start from; empty for the current one. */
  readonly folder: string;
}

/** The state that all readings of one configuration share; problems are added. */
export interface ReadContext {
  readonly needs: readonly Need[];
  readonly problems: string[];
}

/** Returns a text for the schema: undefined if it is missing; null if it is not needed, or wrong and reported. */
export function readText(
  name: SettingName,
  { texts, prefix, folder }: Source,
  { needs, problems }: ReadContext,
): string | null | undefined {
  const { isSecret, neededBy } = getSettingInfo(name);
  const isNeeded = neededBy === undefined || needs.includes(neededBy);
  if (!isNeeded && neededBy !== 'database') return null;
  const text = texts[name]?.replace(/[\r\n]+$/, '');
  // Nobody who meant a list of some organizations wants all.
  const isGiven = text !== undefined && (text.trim() !== '' || name === 'LOSANT_ORG_IDS');
  const path = isSecret ? (texts[`${name}_FILE`] ?? '') : '';
  const absent = isNeeded ? undefined : null;
  if (path.trim() === '') return isGiven ? text : absent;
  if (isGiven) {
    problems.push(`${name} and ${name}_FILE are both set; keep one of them`);
    return null;
  }
  const file = readNamedFile(resolve(folder, path));
  const content = file.text.replace(/[\r\n]+$/, '');
  if (content.trim() !== '') return content;
  const problem = file.problem ?? 'names an empty file; write the secret into it';
  // The value is shown only if it looks like a path: it might be the secret itself, given instead of its file.
  const value = !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path)) ? path : null;
  problems.push(describeValueProblem(`${prefix}${name}_FILE`, value, problem));
  return null;
}

/** The largest file read: a wrong path, e.g. to a disk, must not be read into memory. */
const LARGEST_FILE_BYTES = 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'this user may not read it',
};

/**
 * Reads a regular file, or says what is wrong with it, without its path. A pipe could block for ever and could not be
 * read again.
 */
function readNamedFile(path: string): { readonly text: string; readonly problem?: string } {
  const fail = (why: string) => {
    const remedy = 'correct the path, or make the file readable for this user';
    return { text: '', problem: `names a file that cannot be read: ${why}; ${remedy}` };
  };
  try {
    const stats = statSync(path);
    if (!stats.isFile()) return fail('not a regular file');
    return stats.size > LARGEST_FILE_BYTES ? fail('over 1 MiB') : { text: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return fail(REASONS[code] ?? code);
  }
}

const text = z
  .union([z.string(), z.array(z.string()).transform((all) => all.join(','))], 'is not a string or a list')
  .optional();

/** A token is in a file of its own: who may read the settings need not know it. */
const INSTANCE_NAMES = Object.keys(instanceSettings.shape).map((name) =>
  name === 'LOSANT_API_TOKEN' ? 'LOSANT_API_TOKEN_FILE' : name,
);

const instance = z.strictObject(Object.fromEntries(INSTANCE_NAMES.map((name) => [name, text])), {
  error: onlyWith(INSTANCE_NAMES),
});

/** All data is stored by the instance's id. */
const hasOwnIds = (instances: readonly z.output<typeof instance>[]) => {
  const ids = instances.flatMap((each) => each['LOSANT_INSTANCE_ID']?.trim().toLowerCase() ?? []);
  return new Set(ids).size === ids.length;
};

/** The settings file: a list of instances, each in the names of the variables. All else is in the environment. */
const structure = z.strictObject(
  {
    instances: z
      .array(instance, 'is not a list')
      .min(1, 'is empty; list at least one')
      .refine(hasOwnIds, 'has an id twice; describe each instance once'),
  },
  { error: onlyWith(['instances']) },
);

function onlyWith(names: readonly string[]): z.core.$ZodErrorMap {
  return (issue) => {
    if (issue.code !== 'unrecognized_keys') return 'is not a map';
    const [unknown = ''] = issue.keys;
    const near = findNearestName(unknown, names);
    const advice = `known keys are ${names.join(', ')}; everything else is set in the environment`;
    // An unknown key may be a secret by mistake.
    return `has an unknown key: ${unknown.slice(0, 40)}; ${near === null ? advice : `did you mean ${near}?`}`;
  };
}

/** Returns the instances of the settings file that `name` gives; none once its problems are reported. */
export function readSettingsFile(
  { name, path }: { readonly name: string; readonly path: string },
  { problems }: ReadContext,
): readonly Source[] {
  const read = readNamedFile(path);
  if (read.problem !== undefined) {
    problems.push(describeValueProblem(name, path, read.problem));
    return [];
  }
  let content: unknown;
  try {
    // Without types, an id is no number.
    content = parse(read.text, { schema: 'failsafe', logLevel: 'error' });
  } catch (error) {
    // The parser's messages quote the file, which may contain a secret by mistake: only codes and places are shown.
    const isSyntax = error instanceof YAMLParseError;
    if (!isSyntax && !(error instanceof ReferenceError)) throw error;
    const position = isSyntax
      ? `in line ${error.linePos?.[0].line ?? 1} (${error.code})`
      : '(* begins an alias)';
    problems.push(`${path} is not valid YAML ${position}; fix it there`);
    return [];
  }
  const { data, error } = structure.safeParse(content);
  for (const issue of error?.issues ?? []) {
    const keyPath = [path, z.core.toDotPath(issue.path)].filter((part) => part !== '').join(': ');
    problems.push(
      describeValueProblem(keyPath, null, issue.message, 'compare with deploy/losant-usage.example.yaml'),
    );
  }
  return (data?.instances ?? []).map((texts, index) => {
    return { texts, prefix: `${path}: instances[${index}].`, folder: dirname(path) };
  });
}
