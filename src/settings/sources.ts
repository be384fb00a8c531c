/** The sources of settings: the environment, files of secrets, the settings file. */
import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { codeOf } from '../errors.ts';
import { findNearestName, joinParts } from '../terminal/words.ts';
import { describeValueProblem } from './kinds.ts';
import { getSettingInfo, instanceSettings, type Need, type SettingName } from './settings.ts';

/** Texts by setting: the environment, or an instance of the settings file. */
export interface Source {
  readonly texts: Readonly<Record<string, string | undefined>>;
  /** The text before a name in messages: the position in the settings file, or ''. */
  readonly prefix: string;
  /** The folder of relative paths; '' for the current one. */
  readonly folder: string;
}

export interface ReadContext {
  readonly needs: readonly Need[];
  readonly problems: string[];
}

/** Returns a text for the schema: undefined if it is missing; null if it is not needed, or its problem is reported. */
export function readText(
  name: SettingName,
  { texts, prefix, folder }: Source,
  { needs, problems }: ReadContext,
): string | null | undefined {
  const { isSecret, neededBy } = getSettingInfo(name);
  const isNeeded = neededBy === undefined || needs.includes(neededBy);
  if (!isNeeded && neededBy !== 'database') return null;
  const text = texts[name]?.replace(/[\r\n]+$/, '');
  // An empty list of organizations is a mistake, and must not become the default: all.
  const isSet = text !== undefined && (text.trim() !== '' || name === 'LOSANT_ORG_IDS');
  const path = isSecret ? (texts[`${name}_FILE`] ?? '').trim() : '';
  const absent = isNeeded ? undefined : null;
  if (path === '') return isSet ? text : absent;
  if (isSet) {
    problems.push(`${name} and ${name}_FILE are both set; keep one of them`);
    return null;
  }
  const file = readNamedFile(resolve(folder, path));
  const content = file.text.replace(/[\r\n]+$/, '');
  if (content.trim() !== '') return content;
  const problem = file.problem ?? 'names an empty file; write the secret into it';
  // The value is shown only if it looks like a path: it might be the secret itself.
  const value = !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path)) ? path : null;
  problems.push(describeValueProblem(`${prefix}${name}_FILE`, value, problem));
  return null;
}

/** A wrong path, such as that of a disk, must not be read into memory. */
const MAX_FILE_BYTES = 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'this user is not allowed to read it',
};

/** Returns the text of a file, or its problem without its path. A pipe could block forever, and be read only once. */
function readNamedFile(path: string): { readonly text: string; readonly problem?: string } {
  let cause: string;
  try {
    const stats = statSync(path);
    if (stats.isFile() && stats.size <= MAX_FILE_BYTES) return { text: readFileSync(path, 'utf8') };
    cause = stats.isFile() ? 'over 1 MiB' : 'not a regular file';
  } catch (error) {
    const code = codeOf(error) ?? 'unknown error';
    cause = REASONS[code] ?? code;
  }
  const remedy = 'correct the path, or make the file readable for this user';
  return { text: '', problem: `names a file that cannot be read: ${cause}; ${remedy}` };
}

const text = z
  .union([z.string(), z.array(z.string()).transform((all) => all.join(','))], 'is not a string or a list')
  .optional();

/** A token has its own file, so that readers of the settings file do not see it. */
const INSTANCE_NAMES = Object.keys(instanceSettings.shape).map((name) =>
  name === 'LOSANT_API_TOKEN' ? 'LOSANT_API_TOKEN_FILE' : name,
);

const instance = z.strictObject(Object.fromEntries(INSTANCE_NAMES.map((name) => [name, text])), {
  error: createKeyErrors(INSTANCE_NAMES),
});

/** Data is stored by instance ID, so two entries must not share one. */
const hasDistinctIds = (instances: readonly z.output<typeof instance>[]) => {
  const ids = instances.flatMap((each) => each['LOSANT_INSTANCE_ID']?.trim().toLowerCase() ?? []);
  return new Set(ids).size === ids.length;
};

/** The settings file: a list of instances with the names of variables as keys. */
const structure = z.strictObject(
  {
    instances: z
      .array(instance, 'is not a list')
      .min(1, 'is empty; list at least one')
      .refine(hasDistinctIds, 'lists an instance ID twice; list each instance once'),
  },
  { error: createKeyErrors(['instances']) },
);

function createKeyErrors(names: readonly string[]): z.core.$ZodErrorMap {
  return (issue) => {
    if (issue.code !== 'unrecognized_keys') return 'is not a map';
    let advice = '';
    const keys = issue.keys.map((key) => {
      const nearest = findNearestName(key, names);
      if (nearest === null) advice = `; known keys: ${names.join(', ')}; everything else is set in the environment`;
      // An unknown key may be a secret by mistake.
      return `${key.slice(0, 40)}${nearest === null ? '' : ` (did you mean ${nearest}?)`}`;
    });
    return `has ${keys.length === 1 ? 'an unknown key' : 'unknown keys'}: ${keys.join(', ')}${advice}`;
  };
}

/** Returns the instances of the settings file; none once its problems are reported. `name` is what names its path. */
export function readSettingsFile(
  { name, path }: { name: string; path: string },
  { problems }: ReadContext,
): readonly Source[] {
  const file = readNamedFile(path);
  if (file.problem !== undefined) {
    problems.push(describeValueProblem(name, path, file.problem));
    return [];
  }
  let content: unknown;
  try {
    // With types, an ID of digits would become a number.
    content = parse(file.text, { schema: 'failsafe', logLevel: 'error' });
  } catch (error) {
    // The parser's messages quote the file, which may contain a secret by mistake: only code and position are shown.
    const isSyntax = error instanceof YAMLParseError;
    if (!isSyntax && !(error instanceof ReferenceError)) throw error;
    const position = isSyntax ? `in line ${error.linePos?.[0].line ?? 1} (${error.code})` : '(* begins an alias)';
    problems.push(`${path} is not valid YAML ${position}; fix it there`);
    return [];
  }
  const { data, error } = structure.safeParse(content);
  for (const issue of error?.issues ?? []) {
    const keyPath = joinParts(': ', path, z.core.toDotPath(issue.path));
    problems.push(describeValueProblem(keyPath, null, issue.message, 'compare with deploy/losant-usage.example.yaml'));
  }
  return (data?.instances ?? []).map((texts, index) => {
    return { texts, prefix: `${path}: instances[${index}].`, folder: dirname(path) };
  });
}
