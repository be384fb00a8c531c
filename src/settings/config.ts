import { isAbsolute, resolve } from 'node:path';
import { validateDetailed } from 'node-cron';
import type { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { type ReadFile, readFileFromDisk, readNamedFile } from '../files/named-file.ts';
import { nearestName, quote } from '../terminal/spelling.ts';
import { LATE_AFTER_HOURS } from '../usage/policy.ts';
import { warnOfPlainText } from './database-url.ts';
import { readSettingsFile, type SettingsFile, type Source } from './file.ts';
import { isLoopback } from './kinds.ts';
import { describeProblem, type Problem, settingsError, showSteps, splitMessage } from './problems.ts';
import {
  aboutSetting,
  instanceSettings,
  type Need,
  type SettingName,
  settingNames,
  settings,
  sharedSettings,
  usualValue,
  variablesOf,
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
  const parsed = instances.map((source) => ({
    source,
    values: parseTexts(instanceSettings, source, reading),
  }));
  const shared = parseTexts(sharedSettings, top, reading);
  if (shared !== null) checkPolicy(shared, top, problems);
  if (problems.length > 0 || shared === null) throw settingsError(problems);
  const harm = 'can be written by other users, who could send tokens elsewhere';
  return {
    /** The instances; empty only if none is set and the command does not need Losant. */
    instances: parsed.flatMap(({ values, source }) =>
      values === null ? [] : [toInstance(values, source, readFile)],
    ),
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
      ...parsed.flatMap(({ values }) => warnOfVersion(values?.LOSANT_API_URL ?? '')),
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
    reportUnknown(env, [], problems);
    const isDescribed = needs.includes('losant') || env['LOSANT_INSTANCE_ID'] !== undefined;
    return { top, instances: isDescribed ? [top] : [] };
  }
  const name = configFile === null ? 'LOSANT_USAGE_CONFIG' : '--config';
  const file = readSettingsFile({ name, path, env }, readFile, problems);
  // An invalid file leaves open which variables it names.
  if (file !== null) reportUnknown(env, file.tokenVariables, problems);
  return file ?? { top, instances: [] };
}

/** Parses the texts of a source. Returns null once the problems are reported. */
function parseTexts<S extends z.ZodRawShape>(schema: z.ZodObject<S>, source: Source, reading: Reading) {
  const before = reading.problems.length;
  const names = settingNames.filter((name) => name in schema.shape);
  const raw = Object.fromEntries(names.map((name) => [name, readText(name, source, reading)]));
  const reported = reading.problems.slice(before).map(({ name }) => name);
  const { data, error } = schema.safeParse(raw, { reportInput: true });
  for (const issue of error?.issues ?? []) {
    const problem = describeIssue(issue, source);
    if (!reported.includes(problem.name)) reading.problems.push(problem);
  }
  return reading.problems.length > before || data === undefined ? null : data;
}

/** Returns a text for the schema: null if it is not needed, undefined if it is not given, or wrong and reported. */
function readText(name: SettingName, source: Source, reading: Reading): string | null | undefined {
  const { isSecret, refusesEmpty, neededBy, remedy } = aboutSetting(name);
  if (neededBy !== undefined && !reading.needs.includes(neededBy)) return null;
  const text = isSecret ? readSecret(name, source, reading) : source.texts[name];
  if (text === undefined || text.trim() !== '') return text;
  if (refusesEmpty) {
    reading.problems.push({
      name: placeOf(name, source),
      problem: 'is empty',
      remedy: `${remedy}${orFile(name, source)}`,
    });
  }
  return undefined;
}

/** Reads a secret, or the file that is named in its place; a variable that is empty does not stand against a file. */
function readSecret(name: SettingName, source: Source, { readFile, problems }: Reading): string | undefined {
  const path = source.texts[`${name}_FILE`];
  const text = source.texts[name]?.replace(/[\r\n]+$/, '');
  const place = source.places[`${name}_FILE`] ?? `${name}_FILE`;
  const isEmpty = path?.trim() === '';
  if (path === undefined || (isEmpty && !aboutSetting(name).refusesEmpty)) return text;
  if (text !== undefined && text.trim() !== '') {
    const problem = `and ${place} are both set`;
    problems.push({ name: source.places[name] ?? name, problem, remedy: 'keep one of them' });
    return undefined;
  }
  if (isEmpty) {
    const remedy = 'give the path of a file, or remove the setting';
    problems.push({ name: place, problem: 'is empty', remedy });
    return undefined;
  }
  const read = readNamedFile(resolve(source.folder, path), readFile);
  const content = 'text' in read ? read.text.replace(/[\r\n]+$/, '') : '';
  if (content.trim() !== '') return content;
  // The value is shown only if it looks like a path: it might be the secret itself, given instead of its file.
  const value = !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path)) ? path : null;
  const fault = { problem: 'names an empty file', remedy: 'write the secret into it' };
  problems.push({ name: place, value, ...('problem' in read ? read : fault) });
  return undefined;
}

/** Returns where a value was given, or would be: for a secret, perhaps where its file is named. */
function placeOf(name: SettingName, { texts, places }: Source): string {
  const { isSecret, refusesEmpty } = aboutSetting(name);
  const file = texts[`${name}_FILE`];
  const isNamed = file !== undefined && (refusesEmpty || file.trim() !== '');
  const variable = isSecret && isNamed && !texts[name]?.trim() ? `${name}_FILE` : name;
  return places[variable] ?? variable;
}

function orFile(name: SettingName, { places }: Source): string {
  const variable = `${name}_FILE`;
  return aboutSetting(name).isSecret ? `; or name its file in ${places[variable] ?? variable}` : '';
}

function describeIssue({ path, input, message }: z.core.$ZodIssue, source: Source): Problem {
  const [first, ...steps] = path;
  const name = first as SettingName;
  const { isSecret, remedy } = aboutSetting(name);
  const place = placeOf(name, source);
  if (input === undefined)
    return { name: place, problem: 'is not set', remedy: `${remedy}${orFile(name, source)}` };
  const isShown = !isSecret && input !== '' && (typeof input === 'string' || typeof input === 'number');
  return {
    remedy,
    ...splitMessage(message),
    ...(input === '' && { problem: 'is empty' }),
    // An entry of a list is identified by its value.
    name: isShown ? place : `${place}${showSteps(steps)}`,
    value: isShown ? withoutSecrets(`${input}`) : null,
  };
}

/** Returns the text without the part of a URL that may be a password or token. */
function withoutSecrets(text: string): string {
  return text.replace(/[?#].*$/s, '?…').replace(/^([^/]*\/\/)?.+@/s, '$1…@');
}

/** Reads one secret again, from where it was. Throws SettingsError. */
function readAgain(name: 'DATABASE_URL' | 'LOSANT_API_TOKEN', source: Source, readFile: ReadFile): string {
  const problems: Problem[] = [];
  const text = readText(name, source, { needs: ['losant', 'database'], readFile, problems });
  const { data, error } = settings.shape[name].safeParse(text, { reportInput: true });
  if (typeof data === 'string') return data;
  const issues = (error?.issues ?? []).map((issue) => describeIssue({ ...issue, path: [name] }, source));
  const [problem] = [...problems, ...issues];
  throw new SettingsError(problem ? describeProblem(problem) : `${name} is not set`, {
    hint: problem?.remedy ?? '',
  });
}

/** Reports settings that are each valid but contradict one another. */
function checkPolicy(shared: z.output<typeof sharedSettings>, source: Source, problems: Problem[]): void {
  const { READ_AT_HOURS: readAtHours, FINAL_AT_HOURS: finalAtHours, HORIZON_DAYS: horizonDays } = shared;
  const lastHours = readAtHours.at(-1) ?? 0;
  const checkpoints = source.places['READ_AT_HOURS'] ?? 'READ_AT_HOURS';
  const show = (name: SettingName, value: number) => {
    const place = placeOf(name, source);
    return source.texts[name]?.trim()
      ? { name: place, value: `${value}` }
      : { name: `${place} (not set: ${value})` };
  };
  if (finalAtHours > lastHours) {
    problems.push({
      ...show('FINAL_AT_HOURS', finalAtHours),
      problem: `is later than the last checkpoint, ${lastHours} hours: no day would become final`,
      remedy: `use at most ${lastHours}, or add ${finalAtHours} to ${checkpoints}`,
    });
  }
  // The day must still be inside the horizon on the date on which the checkpoint comes.
  const neededDays = Math.floor(lastHours / 24) + 1;
  if (horizonDays < neededDays) {
    problems.push({
      ...show('HORIZON_DAYS', horizonDays),
      problem: `ends before the last checkpoint, ${lastHours} hours`,
      remedy: `use at least ${neededDays}, or remove checkpoints from ${checkpoints}`,
    });
  }
}

const VARIABLES = settingNames.flatMap(variablesOf);
const LOSANT_VARIABLES = ['LOSANT_USAGE_CONFIG', ...VARIABLES.filter((name) => name.startsWith('LOSANT_'))];

/** Reports `LOSANT_*` variables that are no settings, most likely misspelt. */
function reportUnknown(env: Source['texts'], known: readonly string[], problems: Problem[]): void {
  const given = Object.keys(env).filter((name) => name.startsWith('LOSANT_') && !known.includes(name));
  for (const name of given.filter((each) => !LOSANT_VARIABLES.includes(each)).sort()) {
    const rest = name.slice('LOSANT_'.length);
    const near = VARIABLES.includes(rest) ? rest : nearestName(name, LOSANT_VARIABLES);
    const remedy =
      near === null ? `remove it; known are ${LOSANT_VARIABLES.join(', ')}` : `did you mean ${near}?`;
    // The value is not shown, because it may well be a token.
    problems.push({ name, problem: 'is not a setting', remedy });
  }
}

/** Warns of variables one slip away from a setting; `LOSANT_*` are refused instead. */
export function warnOfMisspelt(env: Source['texts']): string[] {
  const given = Object.keys(env).filter((name) => !name.startsWith('LOSANT_') && !VARIABLES.includes(name));
  return given.toSorted().flatMap((name) => {
    const meant = nearestName(name, VARIABLES, 1);
    return meant === null ? [] : [`${name} is not a setting and has no effect; did you mean ${meant}?`];
  });
}

function warningsOf(shared: z.output<typeof sharedSettings>): string[] {
  const { SCHEDULE: schedule, READ_AT_HOURS: readAtHours, HTTP_HOST: host } = shared;
  const warnings: string[] = [];
  if (validateDetailed(schedule).fields?.month.length !== 12) {
    const harm = 'leaves out whole months: a day is lost if none wakes within the horizon';
    warnings.push(`SCHEDULE=${quote(schedule)} ${harm}`);
  }
  const [firstHours = 0] = readAtHours;
  if (firstHours > LATE_AFTER_HOURS) {
    const what = `each day shows as a gap from ${LATE_AFTER_HOURS} hours after its end until it is read`;
    warnings.push(`READ_AT_HOURS begins at ${firstHours}: ${what}`);
  }
  if (shared.HTTP_PORT !== 0 && shared.HTTP_TOKEN === null && !isLoopback(host)) {
    const what = 'readers get nothing but the probes /healthz and /readyz';
    warnings.push(`HTTP_HOST=${quote(host)} without HTTP_TOKEN: ${what}; set HTTP_TOKEN`);
  }
  const plainText = warnOfPlainText(shared.DATABASE_URL);
  return plainText === null ? warnings : [...warnings, plainText];
}

function warnOfVersion(apiUrl: string): string[] {
  const version = /\/v\d+$/.exec(apiUrl)?.[0];
  return version === undefined
    ? []
    : [`LOSANT_API_URL ends in ${version}, a path that Losant's own API does not have`];
}

/** Returns the value of a setting and where it comes from: `default`, `environment`, or the place in the file. */
function originOf(name: SettingName, source: Source) {
  const { isSecret } = aboutSetting(name);
  const text = source.texts[name]?.trim();
  const path = isSecret ? source.texts[`${name}_FILE`] : undefined;
  if (!text && !path) return { name, value: usualValue(name) ?? 'not set', from: 'default' };
  const value = text ? (isSecret ? 'set' : text) : `in ${path}`;
  return { name, value, from: source.places[name] ?? 'environment' };
}
