/** The settings file: its structure, and the texts in it. What they mean is checked with those of the environment. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type * as Yaml from 'yaml';
import { type ReadFile, readNamedFile } from '../files/named-file.ts';
import { nearestName } from '../terminal/spelling.ts';
import type { Problem } from './problems.ts';
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

type Keys = Readonly<Record<string, string>>;

/** The keys of an instance, with the variables that they stand for. `tokenVariable` names a variable of any name. */
const INSTANCE_KEYS: Keys = {
  id: 'LOSANT_INSTANCE_ID',
  tokenFile: 'LOSANT_API_TOKEN_FILE',
  tokenVariable: 'LOSANT_API_TOKEN',
  apiUrl: 'LOSANT_API_URL',
  domain: 'LOSANT_DOMAIN',
  orgs: 'LOSANT_ORG_IDS',
  streams: 'STREAMS',
  requestsPerSecond: 'REQUESTS_PER_SECOND',
  requestConcurrency: 'REQUEST_CONCURRENCY',
};

/** The keys beside `instances`; every other setting stays in the environment. */
const TOP_KEYS: Keys = {
  schedule: 'SCHEDULE',
  readAtHours: 'READ_AT_HOURS',
  finalAtHours: 'FINAL_AT_HOURS',
  horizonDays: 'HORIZON_DAYS',
  controlTotals: 'CONTROL_TOTALS',
};

const COMPARE = 'compare with deploy/losant-usage.example.yaml';

/** Reports a problem at a place in the file. */
type Report = (place: string, problem: string, remedy: string) => void;

/** Reads the file. Returns null once its problems are reported, by which no value of it can be judged. */
export function readSettingsFile(
  { name, path, env }: { readonly name: string; readonly path: string; readonly env: Source['texts'] },
  readFile: ReadFile,
  problems: Problem[],
): SettingsFile | null {
  const before = problems.length;
  const report: Report = (place, problem, remedy) => {
    problems.push({ name: place === '' ? path : `${path}: ${place}`, problem, remedy });
  };
  const read = readNamedFile(path, readFile);
  if ('problem' in read) problems.push({ name, value: path, ...read });
  const parsed = 'text' in read ? parseYaml(path, read.text, problems) : null;
  if (problems.length > before) return null;
  const { instances: listed, ...shared } = readMap(parsed, '', report);
  if (problems.length > before) return null;
  const top = readTexts(shared, TOP_KEYS, '', report);
  if (!Array.isArray(listed)) report('instances', 'is not a list', COMPARE);
  else if (listed.length === 0) report('instances', 'is empty', 'list at least one');
  const entries = Array.isArray(listed) ? listed.map((entry, i) => readEntry(entry, i, report)) : [];
  requireOwnIds(entries, report);
  if (problems.length > before) return null;
  const inFile = Object.entries(TOP_KEYS).filter(([, each]) => each in top || env[each] === undefined);
  const places = Object.fromEntries(inFile.map(([key, variable]) => [variable, `${path}: ${key}`]));
  reportBoth(env, { top, entries, places }, problems);
  return {
    top: { texts: { ...env, ...top }, places, folder: '' },
    instances: entries.map((texts, i) => sourceOf(texts, { path, i, env })),
    tokenVariables: entries.flatMap(({ LOSANT_API_TOKEN: variable }) => variable ?? []),
  };
}

type Texts = Readonly<Record<string, string>>;

/** The secrets that are no tokens of instances, and would be sent to Losant if one named them. */
const OTHERS: readonly string[] = Object.keys(sharedSettings.shape);

function readEntry(entry: unknown, index: number, report: Report): Texts {
  const place = `instances[${index}]`;
  const { token, ...given } = readMap(entry, place, report);
  const texts = readTexts(given, INSTANCE_KEYS, place, report);
  const { LOSANT_API_TOKEN: variable = 'TOKEN', LOSANT_API_TOKEN_FILE: file } = texts;
  const remedy = 'name its file in tokenFile, or a variable in tokenVariable';
  if (token !== undefined) report(`${place}.token`, 'is a secret and may not be in this file', remedy);
  if (variable !== 'TOKEN' && file !== undefined) {
    report(place, 'has both tokenFile and tokenVariable', 'keep one of them');
  }
  if (!/^[A-Z_]\w*$/i.test(variable) || OTHERS.includes(variable)) {
    const problem = 'is not the name of a variable for tokens';
    report(`${place}.tokenVariable`, problem, 'use e.g. LOSANT_API_TOKEN_EU');
  }
  return texts;
}

/** All data is stored by the instance's id. */
function requireOwnIds(entries: readonly Texts[], report: Report): void {
  const ids = entries.map(({ LOSANT_INSTANCE_ID: id }) => id?.trim().toLowerCase());
  for (const [i, id] of ids.entries()) {
    const first = ids.indexOf(id);
    if (id === undefined || first === i) continue;
    report(`instances[${i}].id`, `is also the id of instances[${first}]`, 'describe each instance once');
  }
}

/** Reports what is both in the environment and in the file. */
function reportBoth(
  env: Source['texts'],
  { top, entries, places }: { top: Texts; entries: readonly Texts[]; places: Texts },
  problems: Problem[],
): void {
  const tokens = entries.map(({ LOSANT_API_TOKEN: variable }) => variable);
  const isSet = (name: string) => (env[name] ?? '').trim() !== '' && !tokens.includes(name);
  for (const [key, name] of Object.entries(INSTANCE_KEYS)) {
    const remedy = `remove it and use ${key} there`;
    const problem = 'is set, but instances are described by the settings file';
    if (isSet(name)) problems.push({ name, problem, remedy });
  }
  for (const name of Object.keys(top).filter(isSet)) {
    problems.push({ name, problem: `is set, but so is ${places[name]}`, remedy: 'keep one of them' });
  }
}

/** Returns the source of an instance, whose token comes from the variable that its entry names. */
function sourceOf(
  texts: Texts,
  { path, i, env }: { readonly path: string; readonly i: number; readonly env: Source['texts'] },
): Source {
  const entries = Object.entries(INSTANCE_KEYS);
  const places = Object.fromEntries(entries.map(([key, name]) => [name, `${path}: instances[${i}].${key}`]));
  const { LOSANT_API_TOKEN: variable } = texts;
  const folder = dirname(path);
  if (variable === undefined) return { texts, places, folder };
  const token = env[variable];
  const place = token === undefined ? `${places['LOSANT_API_TOKEN']} (${variable})` : variable;
  return {
    texts: { ...texts, LOSANT_API_TOKEN: token },
    places: { ...places, LOSANT_API_TOKEN: place },
    folder,
  };
}

function readMap(value: unknown, place: string, report: Report): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  report(place, 'is not a map', COMPARE);
  return {};
}

/** The length to which an unknown key is cut, because it may be a secret by mistake; no key is as long. */
const LONGEST_KEY = 40;

/** Returns the texts of a map by their variables, lists with commas; reports unknown keys and other values. */
function readTexts(map: Readonly<Record<string, unknown>>, keys: Keys, place: string, report: Report): Texts {
  const unknown = Object.keys(map).filter((key) => !Object.hasOwn(keys, key));
  if (unknown.length > 0) {
    const near = unknown.flatMap((key) => nearestName(key, Object.keys(keys)) ?? []).join(', ');
    const shown = unknown.map((key) => key.slice(0, LONGEST_KEY)).join(', ');
    const problem = `has ${unknown.length === 1 ? 'an unknown key' : 'unknown keys'}: ${shown}`;
    report(place, problem, near === '' ? 'remove it' : `did you mean ${near}?`);
  }
  const texts: Record<string, string> = {};
  for (const [key, variable] of Object.entries(keys)) {
    const value = map[key];
    const entries: unknown[] = Array.isArray(value) ? value : [value];
    if (entries.every((each) => typeof each === 'string')) texts[variable] = entries.join(',');
    else if (value !== undefined)
      report(place === '' ? key : `${place}.${key}`, 'is not a text or a list', COMPARE);
  }
  return texts;
}

const ALIGN = 'align it with its neighbours';

/** Common mistakes with their remedy; the parser's own guess is often wrong. */
const MISTAKES: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  TAB_AS_INDENT: ['a tab as indentation', 'use spaces'],
  BAD_INDENT: ['wrong indentation', `${ALIGN}, or close a bracket before it`],
  BLOCK_AS_IMPLICIT_KEY: ['wrong indentation', `${ALIGN}, or quote a text that has a colon`],
  MULTILINE_IMPLICIT_KEY: ['wrong indentation', `${ALIGN}, and write key: value`],
  MISSING_CHAR: ['wrong indentation', `${ALIGN}, or close a quote or bracket before it`],
  DUPLICATE_KEY: ['a key that occurs twice', 'keep one of them'],
  BAD_ALIAS: ['a text that begins with *', 'put it in quotes'],
  MULTIPLE_DOCS: ['a second document', 'remove the ---'],
  TAG_RESOLVE_FAILED: ['a text that begins with !', 'put it in quotes'],
};

/** Makes no id a number. Returns undefined once the first mistake of each line is reported. */
function parseYaml(path: string, text: string, problems: Problem[]): unknown {
  // The parser is loaded only here, because few installs have a settings file.
  const { LineCounter, parseDocument } = createRequire(import.meta.url)('yaml') as typeof Yaml;
  const lineCounter = new LineCounter();
  // The parser's messages quote the file, which may contain a secret by mistake: only codes and places are shown.
  const document = parseDocument(text, { schema: 'failsafe', prettyErrors: false, lineCounter });
  const mistakes = [...document.errors, ...document.warnings];
  const lines = mistakes.map(({ pos }) => lineCounter.linePos(pos[0]).line);
  for (const [i, { code }] of mistakes.entries()) {
    if (lines.indexOf(lines[i] ?? 0) < i) continue;
    const [problem, remedy] = MISTAKES[code] ?? [`not plain YAML (${code})`, 'correct the file there'];
    problems.push({ name: `${path}, line ${lines[i]}:`, problem, remedy });
  }
  try {
    return mistakes.length > 0 ? undefined : document.toJS();
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    const remedy = 'define each anchor before its alias, or write the value out';
    problems.push({ name: path, problem: 'has an alias (*) that cannot be followed', remedy });
    return undefined;
  }
}
