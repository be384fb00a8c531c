import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type * as Yaml from 'yaml';
import { z } from 'zod';
import { line, list, map } from './kinds.ts';
import { type Problem, showSteps, splitMessage } from './problems.ts';
import { type ReadFile, readNamedFile, type Source } from './reader.ts';
import { INSTANCE_SETTINGS, SETTINGS, variablesOf } from './table.ts';

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

function keysOf(settings: typeof SETTINGS): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const setting of settings.filter(({ file }) => file !== undefined)) {
    const endings = setting.isSecret ? ['Variable', 'File'] : [''];
    for (const [i, name] of variablesOf(setting).entries()) keys.set(name, `${setting.file}${endings[i]}`);
  }
  return keys;
}

const OTHERS = SETTINGS.filter((each) => !INSTANCE_SETTINGS.includes(each));

/** Variables of other secrets, whose values would be sent to Losant if they named an instance's token. */
const OTHER_SECRETS = OTHERS.filter(({ isSecret }) => isSecret).map(({ env }) => env);

const anyValues = (settings: typeof SETTINGS) =>
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
  ...anyValues(OTHERS),
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
