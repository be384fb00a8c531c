/** The settings file: a list of instances, each in the names of the variables. All else is in the environment. */
import { dirname } from 'node:path';
import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { type ReadFile, readNamedFile } from '../files/named-file.ts';
import { nearestName } from '../terminal/spelling.ts';
import type { Problem } from './problems.ts';
import { instanceSettings } from './settings.ts';

/** Texts by setting: the environment, or an instance of the settings file. */
export interface Source {
  readonly texts: Readonly<Record<string, string | undefined>>;
  /** The text before a name in messages: the place in the file, or nothing. */
  readonly prefix: string;
  /** The folder that relative paths start from; empty for the current one. */
  readonly folder: string;
}

const text = z
  .union([z.string(), z.array(z.string()).transform((all) => all.join(','))], 'is not a text or a list')
  .refine((given) => given.trim() !== '', 'is empty; remove it, or give a value')
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
    const near = nearestName(unknown, names);
    const known = `known are ${names.join(', ')}; all else is in the environment`;
    // An unknown key may be a secret by mistake.
    return `has an unknown key: ${unknown.slice(0, 40)}; ${near === null ? known : `did you mean ${near}?`}`;
  };
}

/** Returns the instances of the file that `name` gives; none once its problems are reported. */
export function readSettingsFile(
  { name, path, readFile }: { readonly name: string; readonly path: string; readonly readFile: ReadFile },
  { problems, warnings }: { readonly problems: Problem[]; readonly warnings: string[] },
): readonly Source[] {
  const read = readNamedFile(path, readFile);
  if ('problem' in read) {
    problems.push({ name, value: path, message: read.problem, remedy: read.remedy });
    return [];
  }
  if (((read.mode ?? 0) & 0o022) !== 0) {
    const harm = 'can be written by other users, who could send tokens elsewhere';
    warnings.push(`${path} ${harm}; run: chmod go-w ${path}`);
  }
  const parsed = parseYaml(read.text);
  if ('problem' in parsed) {
    problems.push({ name: path, message: parsed.problem, remedy: 'correct the file there' });
    return [];
  }
  const { data, error } = structure.safeParse(parsed.content);
  for (const issue of error?.issues ?? []) {
    const place = z.core.toDotPath(issue.path);
    const remedy = 'compare with deploy/losant-usage.example.yaml';
    problems.push({ name: place === '' ? path : `${path}: ${place}`, message: issue.message, remedy });
  }
  return (data?.instances ?? []).map((texts, index) => {
    return { texts, prefix: `${path}: instances[${index}].`, folder: dirname(path) };
  });
}

/** Returns the content, in which an id is no number, or the place of the first mistake. */
function parseYaml(yaml: string): { readonly content: unknown } | { readonly problem: string } {
  try {
    return { content: parse(yaml, { schema: 'failsafe', logLevel: 'error' }) };
  } catch (error) {
    // The parser's messages quote the file, which may contain a secret by mistake: only codes and places are shown.
    if (error instanceof ReferenceError) return { problem: 'has an alias (*) that cannot be followed' };
    if (!(error instanceof YAMLParseError)) throw error;
    return { problem: `is no plain YAML in line ${error.linePos?.[0].line ?? 1} (${error.code})` };
  }
}
