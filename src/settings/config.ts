import { isAbsolute, resolve } from 'node:path';
import type { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { type ReadFile, readFileFromDisk, readNamedFile } from '../files/named-file.ts';
import { nearestName, quote } from '../terminal/spelling.ts';
import { warnOfPlainText } from './database-url.ts';
import { readSettingsFile, type Source } from './file.ts';
import { isLoopback } from './kinds.ts';
import { describeProblem, type Problem, settingsError } from './problems.ts';
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

/** What all readings of one configuration share; problems and warnings are added. */
interface Reading {
  readonly needs: readonly Need[];
  readonly readFile: ReadFile;
  readonly problems: Problem[];
  readonly warnings: string[];
}

/** Throws one SettingsError that lists all problems, one per line, without any secret. */
export function readConfig({ env, configFile, readFile = readFileFromDisk, needs }: ConfigOptions) {
  const reading: Reading = { needs, readFile, problems: unknownOf(env), warnings: [] };
  const { problems, warnings } = reading;
  const environment = { texts: env, prefix: '', folder: '' };
  const instances = findInstances(environment, configFile, reading).flatMap((source) => {
    const values = parseTexts(instanceSettings, source, reading);
    return values === undefined ? [] : [toInstance(values, source, readFile)];
  });
  const shared = parseTexts(sharedSettings, environment, reading);
  if (problems.length > 0 || shared === undefined) throw settingsError(problems);
  return {
    /** The instances; empty only if none is set and the command does not need Losant. */
    instances,
    databaseUrl: shared.DATABASE_URL,
    /** Reads DATABASE_URL again, so that a new password needs no restart. Throws SettingsError. */
    readDatabaseUrl: () => readAgain('DATABASE_URL', environment, readFile),
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
    warnings: [...warnings, ...warnOfMisspelt(env), ...warningsOf(shared)],
    /** The settings that hold for all instances and where each comes from, without secrets. */
    origins: settingNames.filter((name) => name in sharedSettings.shape).map((name) => originOf(name, env)),
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

/** Returns where instances are described: in the environment, or in the settings file. */
function findInstances(environment: Source, configFile: string | null, reading: Reading): readonly Source[] {
  const { texts: env } = environment;
  const path = configFile ?? env['LOSANT_USAGE_CONFIG'] ?? '';
  if (configFile === null && path.trim() === '') {
    const isDescribed = reading.needs.includes('losant') || env['LOSANT_INSTANCE_ID'] !== undefined;
    return isDescribed ? [environment] : [];
  }
  const name = configFile === null ? 'LOSANT_USAGE_CONFIG' : '--config';
  for (const variable of VARIABLES.filter((each) => each.replace(/_FILE$/, '') in instanceSettings.shape)) {
    const message = `is set, but instances are described by ${path}; remove it, or set it there`;
    if (env[variable]?.trim()) reading.problems.push({ name: variable, message });
  }
  return readSettingsFile({ name, path, readFile: reading.readFile }, reading);
}

/** Parses the texts of a source, and reports what is wrong with them; undefined where values are. */
function parseTexts<S extends z.ZodRawShape>(schema: z.ZodObject<S>, source: Source, reading: Reading) {
  const { problems } = reading;
  const before = problems.length;
  const names = settingNames.filter((name) => name in schema.shape);
  const raw = Object.fromEntries(names.map((name) => [name, readText(name, source, reading)]));
  const reported = problems.slice(before).map(({ name }) => name);
  const { data, error } = schema.safeParse(raw, { reportInput: true });
  const found = (error?.issues ?? []).map((issue) => describeIssue(issue, source));
  problems.push(...found.filter(({ name }) => !reported.includes(name)));
  return data;
}

/** Returns a text for the schema: null if it is not needed, undefined if it is not given, or wrong and reported. */
function readText(
  name: SettingName,
  source: Source,
  { needs, readFile, problems }: Omit<Reading, 'warnings'>,
): string | null | undefined {
  const { isSecret, refusesEmpty, neededBy } = aboutSetting(name);
  if (neededBy !== undefined && !needs.includes(neededBy)) return null;
  const text = source.texts[name]?.replace(/[\r\n]+$/, '');
  const path = source.texts[`${name}_FILE`];
  const isGiven = text !== undefined && (refusesEmpty === true || text.trim() !== '');
  if (!isSecret || path === undefined || path.trim() === '') return isGiven ? text : undefined;
  if (isGiven) {
    problems.push({ name, message: `and ${name}_FILE are both set; keep one of them` });
    return undefined;
  }
  const read = readNamedFile(resolve(source.folder, path), readFile);
  const content = 'text' in read ? read.text.replace(/[\r\n]+$/, '') : '';
  if (content.trim() !== '') return content;
  // The value is shown only if it looks like a path: it might be the secret itself, given instead of its file.
  const value = !path.includes('://') && (isAbsolute(path) || /^\.\.?[/\\]/.test(path)) ? path : null;
  const [message, remedy] =
    'problem' in read ? [read.problem, read.remedy] : ['names an empty file', 'write the secret into it'];
  problems.push({ name: `${source.prefix}${name}_FILE`, value, message, remedy });
  return undefined;
}

function describeIssue({ path, input, message }: z.core.$ZodIssue, { texts, prefix }: Source): Problem {
  const setting = path[0] as SettingName;
  const { isSecret, remedy } = aboutSetting(setting);
  const isInFile = !texts[setting]?.trim() && (prefix !== '' || texts[`${setting}_FILE`]?.trim());
  const name = `${prefix}${setting}${isSecret && isInFile ? '_FILE' : ''}`;
  if (input === undefined) {
    const orFile = isSecret && !isInFile ? `; or name its file in ${setting}_FILE` : '';
    return { name, message: 'is not set', remedy: `${remedy}${orFile}` };
  }
  // A part of a URL may be a password or token.
  const value = typeof input === 'string' || typeof input === 'number' ? `${input}` : '';
  const isShown = !isSecret && value !== '' && !/[@?#]/.test(value);
  return { name, value: isShown ? value : null, message, remedy };
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

const VARIABLES = settingNames.flatMap((name) =>
  aboutSetting(name).isSecret ? [name, `${name}_FILE`] : [name],
);
const LOSANT_VARIABLES = ['LOSANT_USAGE_CONFIG', ...VARIABLES.filter((name) => name.startsWith('LOSANT_'))];

/** Returns the `LOSANT_*` variables that are no settings, most likely misspelt. */
function unknownOf(env: Source['texts']): Problem[] {
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith('LOSANT_') && !LOSANT_VARIABLES.includes(name),
  );
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

/** Returns the value of a setting of the environment, and whether it is set there. */
function originOf(name: SettingName, env: Source['texts']) {
  const text = env[name]?.trim();
  const path = aboutSetting(name).isSecret ? env[`${name}_FILE`]?.trim() : undefined;
  if (!text && !path) return { name, value: usualValue(name) ?? 'not set', from: 'default' };
  const shown = aboutSetting(name).isSecret ? 'set' : text;
  return { name, value: (text && shown) || `in ${path}`, from: 'environment' };
}
