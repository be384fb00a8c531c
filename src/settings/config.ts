import { isAbsolute, resolve } from 'node:path';
import type { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { type ReadFile, readFileFromDisk, readNamedFile } from '../files/named-file.ts';
import { nearestName, quote } from '../terminal/spelling.ts';
import { warnOfPlainText } from './database-url.ts';
import { readSettingsFile, type SettingsFile, type Source } from './file.ts';
import { isLoopback } from './kinds.ts';
import { describeProblem, type Problem, settingsError, showSteps } from './problems.ts';
import {
  aboutSetting,
  instanceSettings,
  type Need,
  type SettingName,
  settingNames,
  settings,
  sharedSettings,
  usualValue,
} from './settings.ts';

export type Config = ReturnType<typeof readConfig>;
export type InstanceConfig = Config['instances'][number];

export interface ConfigOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The path given with `--config`, which takes precedence over `LOSANT_USAGE_CONFIG`; null without it. */
  readonly configFile: string | null;
  readonly readFile?: ReadFile;
  /** What the command cannot do without. Settings that only other commands need are not checked. */
  readonly needs: readonly Need[];
}

/** Throws one SettingsError that lists all problems, one per line, without any secret. */
export function readConfig({ env, configFile, readFile = readFileFromDisk, needs }: ConfigOptions) {
  const problems: Problem[] = [];
  const openFiles = new Set<string>();
  const watchedRead: ReadFile = (path) => {
    const content = readFile(path);
    if (((content.mode ?? 0) & 0o022) !== 0) openFiles.add(path);
    return content;
  };
  const reading: Reading = { needs, readFile: watchedRead, problems };
  const { top, instances } = findSources(env, configFile, reading);
  const parsed = instances.map((source) => {
    const values = parseTexts(instanceSettings, source, reading);
    return values === null ? [] : [toInstance(values, source, readFile)];
  });
  const shared = parseTexts(sharedSettings, top, reading);
  if (shared !== null) problems.push(...contradictionsOf(shared, top));
  if (problems.length > 0 || shared === null) throw settingsError(problems);
  const harm = 'can be written by other users, who could send tokens elsewhere';
  return {
    /** The instances; empty only if none is set and the command does not need Losant. */
    instances: parsed.flat(),
    databaseUrl: shared.DATABASE_URL,
    /** Reads DATABASE_URL again, so that a new password needs no restart. Throws SettingsError. */
    readDatabaseUrl: () => readAgain('DATABASE_URL', top, readFile),
    autoMigrate: shared.AUTO_MIGRATE,
    schedule: shared.SCHEDULE,
    policy: {
      readAtHours: shared.READ_AT_HOURS as readonly number[],
      finalAtHours: shared.FINAL_AT_HOURS,
      horizonDays: shared.HORIZON_DAYS,
    },
    controlTotals: shared.CONTROL_TOTALS,
    statementKeyFile: shared.STATEMENT_KEY_FILE,
    request: { timeoutMs: shared.REQUEST_TIMEOUT_MS, attempts: shared.REQUEST_ATTEMPTS },
    http: { host: shared.HTTP_HOST, port: shared.HTTP_PORT, token: shared.HTTP_TOKEN },
    heartbeatUrl: shared.HEARTBEAT_URL,
    logLevel: shared.LOG_LEVEL,
    adminToken: shared.LOSANT_ADMIN_TOKEN,
    warnings: [
      ...[...openFiles].map((each) => `${each} ${harm}; run: chmod go-w ${each}`),
      ...warnOfMisspelt(env),
      ...warningsOf(shared),
    ],
    /** The settings that hold for all instances and where each comes from, without secrets. */
    origins: settingNames.filter((name) => name in sharedSettings.shape).map((name) => originOf(name, top)),
  };
}

function toInstance(values: z.output<typeof instanceSettings>, source: Source, readFile: ReadFile) {
  return {
    instanceId: values.LOSANT_INSTANCE_ID,
    apiUrl: values.LOSANT_API_URL,
    domain: values.LOSANT_DOMAIN,
    orgs: values.LOSANT_ORG_IDS,
    streams: values.STREAMS as readonly string[],
    requestsPerSecond: values.REQUESTS_PER_SECOND,
    requestConcurrency: values.REQUEST_CONCURRENCY,
    /** Reads the current token, so that a new one needs no restart. Throws SettingsError. */
    readToken: () => readAgain('LOSANT_API_TOKEN', source, readFile),
  };
}

export function requireDatabaseUrl({ databaseUrl }: Pick<Config, 'databaseUrl'>): string {
  if (databaseUrl !== null) return databaseUrl;
  throw new SettingsError('DATABASE_URL is not set', { hint: aboutSetting('DATABASE_URL').remedy });
}

interface Reading {
  readonly needs: readonly Need[];
  readonly readFile: ReadFile;
  readonly problems: Problem[];
}

/** Returns the environment, or the settings file with it: an instance is described by one of both. */
function findSources(
  env: Source['texts'],
  configFile: string | null,
  { needs, readFile, problems }: Reading,
): Pick<SettingsFile, 'top' | 'instances'> {
  const top = { texts: env, places: {}, folder: '' };
  const path = configFile ?? env['LOSANT_USAGE_CONFIG'] ?? '';
  if (configFile === null && path.trim() === '') {
    problems.push(...unknownOf(env, []));
    const isDescribed = needs.includes('losant') || env['LOSANT_INSTANCE_ID'] !== undefined;
    return { top, instances: isDescribed ? [top] : [] };
  }
  const name = configFile === null ? 'LOSANT_USAGE_CONFIG' : '--config';
  const file = readSettingsFile({ name, path, env }, readFile, problems);
  // An invalid file leaves open which variables it names.
  if (file !== null) problems.push(...unknownOf(env, file.tokenVariables));
  return file ?? { top, instances: [] };
}

/** Parses the texts of a source. Returns null once the problems are reported. */
function parseTexts<S extends z.ZodRawShape>(schema: z.ZodObject<S>, source: Source, reading: Reading) {
  const before = reading.problems.length;
  const names = settingNames.filter((name) => name in schema.shape);
  const raw = Object.fromEntries(names.map((name) => [name, readText(name, source, reading)]));
  const reported = reading.problems.slice(before).map(({ name }) => name);
  const { data, error } = schema.safeParse(raw, { reportInput: true });
  const found = (error?.issues ?? []).map((issue) => describeIssue(issue, source));
  reading.problems.push(...found.filter(({ name }) => !reported.includes(name)));
  return reading.problems.length > before || data === undefined ? null : data;
}

/** Returns a text for the schema: null if it is not needed, undefined if it is not given, or wrong and reported. */
function readText(
  name: SettingName,
  source: Source,
  { needs, ...reading }: Reading,
): string | null | undefined {
  const { isSecret, refusesEmpty, neededBy } = aboutSetting(name);
  if (neededBy !== undefined && !needs.includes(neededBy)) return null;
  const text = source.texts[name]?.replace(/[\r\n]+$/, '');
  const path = source.texts[`${name}_FILE`];
  const isGiven = text !== undefined && (refusesEmpty === true || text.trim() !== '');
  if (!isSecret || path === undefined || path.trim() === '') return isGiven ? text : undefined;
  const place = placeOf(`${name}_FILE`, source);
  if (isGiven) {
    const message = `and ${place} are both set; keep one of them`;
    reading.problems.push({ name: placeOf(name, source), message });
    return undefined;
  }
  const read = readNamedFile(resolve(source.folder, path), reading.readFile);
  const content = 'text' in read ? read.text.replace(/[\r\n]+$/, '') : '';
  if (content.trim() !== '') return content;
  // The value is shown only if it looks like a path: it might be the secret itself, given instead of its file.
  const value = !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path)) ? path : null;
  const [message, remedy] =
    'problem' in read ? [read.problem, read.remedy] : ['names an empty file', 'write the secret into it'];
  reading.problems.push({ name: place, value, message, remedy });
  return undefined;
}

/** Returns where a variable has its value, or would have it. */
function placeOf(variable: string, { places }: Source): string {
  return places[variable] ?? variable;
}

function describeIssue({ path, input, message }: z.core.$ZodIssue, source: Source): Problem {
  const [first, ...steps] = path;
  const name = first as SettingName;
  const { isSecret, remedy } = aboutSetting(name);
  const file = `${name}_FILE`;
  const isInFile = isSecret && !source.texts[name]?.trim() && source.texts[file]?.trim();
  const place = placeOf(isInFile ? file : name, source);
  if (input === undefined) {
    const orFile = isSecret ? `; or name its file in ${placeOf(file, source)}` : '';
    return { name: place, message: 'is not set', remedy: `${remedy}${orFile}` };
  }
  // A part of a URL may be a password or token.
  const value = typeof input === 'string' || typeof input === 'number' ? `${input}` : '';
  const isShown = !isSecret && value !== '' && !/[@?#]/.test(value);
  // An entry of a list is identified by its value.
  return {
    name: isShown ? place : `${place}${showSteps(steps)}`,
    value: isShown ? value : null,
    message,
    remedy,
  };
}

/** Reads one secret again, from where it was. Throws SettingsError. */
function readAgain(name: 'DATABASE_URL' | 'LOSANT_API_TOKEN', source: Source, readFile: ReadFile): string {
  const problems: Problem[] = [];
  const text = readText(name, source, { needs: ['losant', 'database'], readFile, problems });
  const { data, error } = settings.shape[name].safeParse(text, { reportInput: true });
  if (typeof data === 'string') return data;
  const issues = (error?.issues ?? []).map((issue) => describeIssue({ ...issue, path: [name] }, source));
  const [problem = { name, message: 'is not set' }] = [...problems, ...issues];
  throw new SettingsError(describeProblem(problem), { hint: 'it is read again at the next run' });
}

/** Returns what is wrong with settings that are each valid but contradict one another. */
function contradictionsOf(shared: z.output<typeof sharedSettings>, source: Source): Problem[] {
  const { READ_AT_HOURS: readAtHours, FINAL_AT_HOURS: finalAtHours, HORIZON_DAYS: horizonDays } = shared;
  const lastHours = readAtHours.at(-1) ?? 0;
  // The day must still be inside the horizon on the date on which the checkpoint comes.
  const neededDays = Math.floor(lastHours / 24) + 1;
  const after = `the last checkpoint of ${placeOf('READ_AT_HOURS', source)}, ${lastHours} hours`;
  const problems: Problem[] = [];
  if (finalAtHours > lastHours) {
    const message = `is later than ${after}: no day would become final; use at most ${lastHours}`;
    problems.push({ name: placeOf('FINAL_AT_HOURS', source), value: `${finalAtHours}`, message });
  }
  if (horizonDays < neededDays) {
    const message = `ends before ${after}; use at least ${neededDays}`;
    problems.push({ name: placeOf('HORIZON_DAYS', source), value: `${horizonDays}`, message });
  }
  return problems;
}

const VARIABLES = settingNames.flatMap((name) =>
  aboutSetting(name).isSecret ? [name, `${name}_FILE`] : [name],
);
const LOSANT_VARIABLES = ['LOSANT_USAGE_CONFIG', ...VARIABLES.filter((name) => name.startsWith('LOSANT_'))];

/** Returns the `LOSANT_*` variables that are no settings, most likely misspelt. */
function unknownOf(env: Source['texts'], known: readonly string[]): Problem[] {
  const all = [...LOSANT_VARIABLES, ...known];
  const unknown = Object.keys(env).filter((name) => name.startsWith('LOSANT_') && !all.includes(name));
  return unknown.sort().map((name) => {
    const rest = name.slice('LOSANT_'.length);
    const near = VARIABLES.includes(rest) ? rest : nearestName(name, LOSANT_VARIABLES);
    const remedy =
      near === null ? `remove it; known are ${LOSANT_VARIABLES.join(', ')}` : `did you mean ${near}?`;
    // The value is not shown, because it may well be a token.
    return { name, message: 'is not a setting', remedy };
  });
}

/** Warns of variables one slip away from a setting; `LOSANT_*` are refused instead. */
function warnOfMisspelt(env: Source['texts']): string[] {
  const given = Object.keys(env).filter((name) => !name.startsWith('LOSANT_') && !VARIABLES.includes(name));
  return given.toSorted().flatMap((name) => {
    const meant = nearestName(name, VARIABLES, 1);
    return meant === null ? [] : [`${name} is not a setting and has no effect; did you mean ${meant}?`];
  });
}

function warningsOf(shared: z.output<typeof sharedSettings>): string[] {
  const { HTTP_HOST: host, HTTP_PORT: port, HTTP_TOKEN: token } = shared;
  const what = 'readers get nothing but the probes /healthz and /readyz; set HTTP_TOKEN';
  const isShut = port !== 0 && token === null && !isLoopback(host);
  const plainText = warnOfPlainText(shared.DATABASE_URL);
  return [
    ...(isShut ? [`HTTP_HOST=${quote(host)} without HTTP_TOKEN: ${what}`] : []),
    ...(plainText === null ? [] : [plainText]),
  ];
}

/** Returns the value of a setting and where it comes from: `default`, `environment`, or the place in the file. */
function originOf(name: SettingName, source: Source) {
  const { isSecret } = aboutSetting(name);
  const text = source.texts[name]?.trim();
  const path = isSecret ? source.texts[`${name}_FILE`]?.trim() : undefined;
  if (!text && !path) return { name, value: usualValue(name) ?? 'not set', from: 'default' };
  const shown = isSecret ? 'set' : text;
  return { name, value: (text && shown) || `in ${path}`, from: source.places[name] ?? 'environment' };
}
