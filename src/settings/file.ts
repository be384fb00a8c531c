/** The settings file: its structure, and the texts in it. What they mean is checked with those of the environment. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type * as Yaml from 'yaml';
import { z } from 'zod';
import { type ReadFile, readNamedFile } from '../files/named-file.ts';
import { nearestName } from '../terminal/spelling.ts';
import { type Problem, showSteps } from './problems.ts';
import { sharedSettings } from './settings.ts';

/** Texts by the variables that they stand for: the environment, or a part of the settings file. */
export interface Source {
  readonly texts: Readonly<Record<string, string | undefined>>;
  /** The places in the file, for messages; a variable without one is in the environment. */
  readonly places: Readonly<Record<string, string>>;
  /** The folder that relative paths start from; empty for the current one. */
  readonly folder: string;
}

export interface SettingsFile {
  /** The settings for all instances: those of the file, and the environment for all others. */
  readonly top: Source;
  readonly instances: readonly Source[];
  /** The variables that instances name for their tokens. */
  readonly tokenVariables: readonly string[];
}

/** The keys of an instance, with the variables that they stand for. `tokenVariable` names a variable of any name. */
const INSTANCE_KEYS = {
  id: 'LOSANT_INSTANCE_ID',
  tokenFile: 'LOSANT_API_TOKEN_FILE',
  tokenVariable: 'LOSANT_API_TOKEN',
  apiUrl: 'LOSANT_API_URL',
  domain: 'LOSANT_DOMAIN',
  orgs: 'LOSANT_ORG_IDS',
  streams: 'STREAMS',
  requestsPerSecond: 'REQUESTS_PER_SECOND',
  requestConcurrency: 'REQUEST_CONCURRENCY',
} as const;

/** The keys beside `instances`; every other setting stays in the environment. */
const TOP_KEYS = {
  schedule: 'SCHEDULE',
  readAtHours: 'READ_AT_HOURS',
  finalAtHours: 'FINAL_AT_HOURS',
  horizonDays: 'HORIZON_DAYS',
  controlTotals: 'CONTROL_TOTALS',
} as const;

type Texts = Readonly<Record<string, string | undefined>>;

const text = z
  .union([z.string(), z.array(z.string()).transform((all) => all.join(','))], 'is not a text or a list')
  .refine((given) => given.trim() !== '', 'is empty; remove it, or give a value');

/** The other secrets are no tokens of instances, and would be sent to Losant if one named them. */
const isTokenVariable = ({ tokenVariable: name = 'TOKEN' }: Texts) =>
  /^[A-Z_]\w*$/i.test(name) && !(name in sharedSettings.shape);

const entry = mapOf(INSTANCE_KEYS)
  .refine(isTokenVariable, {
    path: ['tokenVariable'],
    error: 'is not the name of a variable for tokens; use e.g. LOSANT_API_TOKEN_EU',
  })
  .refine(
    ({ tokenFile, tokenVariable }) => tokenFile === undefined || tokenVariable === undefined,
    'has both tokenFile and tokenVariable; keep one of them',
  );

/** All data is stored by the instance's id. */
const hasOwnIds = (entries: readonly Texts[]) => {
  const ids = entries.flatMap(({ id }) => id?.trim().toLowerCase() ?? []);
  return new Set(ids).size === ids.length;
};

const structure = mapOf({ ...TOP_KEYS, instances: '' }).extend({
  instances: z
    .array(entry, 'is not a list')
    .min(1, 'is empty; list at least one')
    .refine(hasOwnIds, 'has an id twice; describe each instance once'),
});

/** Returns the schema of a map of texts with these keys and no others. */
function mapOf<K extends string>(keys: Readonly<Record<K, string>>) {
  const names = Object.keys(keys) as K[];
  const error: z.core.$ZodErrorMap = (issue) => {
    if (issue.code !== 'unrecognized_keys') return 'is not a map';
    const [unknown = ''] = issue.keys;
    const near = nearestName(unknown, names);
    const remedy = near === null ? `known are ${names.join(', ')}` : `did you mean ${near}?`;
    // An unknown key may be a secret by mistake.
    return `has an unknown key: ${unknown.slice(0, 40)}; ${remedy}`;
  };
  const optional = text.optional();
  return z.strictObject(
    Object.fromEntries(names.map((key) => [key, optional])) as Record<K, typeof optional>,
    {
      error,
    },
  );
}

/** Reads the file. Returns null once its problems are reported, by which no value of it can be judged. */
export function readSettingsFile(
  { name, path, env }: { readonly name: string; readonly path: string; readonly env: Source['texts'] },
  readFile: ReadFile,
  problems: Problem[],
): SettingsFile | null {
  const read = readNamedFile(path, readFile);
  if ('problem' in read) {
    problems.push({ name, value: path, message: read.problem, remedy: read.remedy });
    return null;
  }
  const parsed = parseYaml(read.text);
  if ('problem' in parsed) {
    problems.push({ name: path, message: parsed.problem, remedy: 'correct the file there' });
    return null;
  }
  const { data, error } = structure.safeParse(parsed.content);
  for (const issue of error?.issues ?? []) {
    const place = showSteps(issue.path).replace(/^\./, '');
    const remedy = 'compare with deploy/losant-usage.example.yaml';
    problems.push({ name: place === '' ? path : `${path}: ${place}`, message: issue.message, remedy });
  }
  if (data === undefined) return null;
  const { instances, ...shared } = data;
  const tokenVariables = instances.flatMap(({ tokenVariable }) => tokenVariable ?? []);
  for (const [key, variable] of Object.entries({ ...INSTANCE_KEYS, ...TOP_KEYS })) {
    const isGiven = env[variable]?.trim() && !tokenVariables.includes(variable);
    if (!isGiven || (key in TOP_KEYS && !(key in shared))) continue;
    const message = `is set, but instances are described by ${path}; remove it and use ${key} there`;
    problems.push({ name: variable, message });
  }
  const given = sourceOf(shared, { keys: TOP_KEYS, path, prefix: '' });
  const places = Object.entries(given.places).filter(([variable]) => given.texts[variable] !== undefined);
  return {
    top: { texts: { ...env, ...given.texts }, places: Object.fromEntries(places), folder: '' },
    instances: instances.map((texts, i) => {
      const source = sourceOf(texts, { keys: INSTANCE_KEYS, path, prefix: `instances[${i}].` });
      const { LOSANT_API_TOKEN: variable } = source.texts;
      if (variable === undefined) return source;
      const place = `${source.places['LOSANT_API_TOKEN']} (${variable})`;
      return {
        ...source,
        texts: { ...source.texts, LOSANT_API_TOKEN: env[variable] },
        places: { ...source.places, LOSANT_API_TOKEN: place },
      };
    }),
    tokenVariables,
  };
}

/** Returns the texts of a map by their variables. */
function sourceOf(
  map: Texts,
  { keys, path, prefix }: { keys: Readonly<Record<string, string>>; path: string; prefix: string },
): Source {
  const entries = Object.entries(keys);
  const texts = entries.flatMap(([key, variable]) => (map[key] === undefined ? [] : [[variable, map[key]]]));
  const places = entries.map(([key, variable]) => [variable, `${path}: ${prefix}${key}`]);
  return {
    texts: Object.fromEntries(texts) as Texts,
    places: Object.fromEntries(places) as Record<string, string>,
    folder: dirname(path),
  };
}

/** Returns the content, in which an id is no number, or the place of the first mistake. */
function parseYaml(yaml: string): { readonly content: unknown } | { readonly problem: string } {
  // The parser is loaded only here, because few installs have a settings file.
  const { LineCounter, parseDocument } = createRequire(import.meta.url)('yaml') as typeof Yaml;
  const lineCounter = new LineCounter();
  const document = parseDocument(yaml, { schema: 'failsafe', prettyErrors: false, lineCounter });
  // The parser's messages quote the file, which may contain a secret by mistake: only codes and places are shown.
  const [mistake] = [...document.errors, ...document.warnings];
  if (mistake !== undefined) {
    return {
      problem: `is no plain YAML in line ${lineCounter.linePos(mistake.pos[0]).line} (${mistake.code})`,
    };
  }
  try {
    return { content: document.toJS() };
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    return { problem: 'has an alias (*) that cannot be followed' };
  }
}
