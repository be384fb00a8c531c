import { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { findNearestName, quote } from '../terminal/words.ts';
import { describeValueProblem, isLoopback, isPlainText } from './kinds.ts';
import {
  findContradictions,
  getSettingInfo,
  instanceSettings,
  type Need,
  NOTIFY_FORMATS,
  policySettings,
  type SettingIssue,
  type SettingName,
  settingNames,
  settings,
  sharedSettings,
} from './settings.ts';
import { type ReadContext, readSettingsFile, readText, type Source } from './sources.ts';

export type Config = ReturnType<typeof readConfig>;
export type NotifyFormat = (typeof NOTIFY_FORMATS)[number];
export type InstanceConfig = Config['instances'][number];

interface ConfigOptions {
  readonly env: Source['texts'];
  /** The path of `--config`, which takes precedence over `LOSANT_USAGE_CONFIG`; null without that option. */
  readonly configFile: string | null;
  /** The settings that the command needs. Tokens that only other commands need are not read. */
  readonly needs: readonly Need[];
}

/** Throws one SettingsError that lists all problems, one per line, without secrets. */
export function readConfig({ env, configFile, needs }: ConfigOptions) {
  const problems = findUnknownVariables(env);
  const context: ReadContext = { needs, problems };
  const environment = { texts: env, prefix: '', folder: '' };
  const instances = findInstanceSources(environment, configFile, context).flatMap((source) => {
    const values = parseTexts(instanceSettings, source, context);
    return values === undefined ? [] : [toInstance(values, source)];
  });
  const shared = parseTexts(sharedSettings, environment, context);
  // On their own, because zod would not look for them if any other setting is invalid.
  const policy = parseTexts(policySettings, environment, { ...context, problems: [] });
  const contradictions = policy === undefined ? [] : findContradictions(policy);
  problems.push(...contradictions.map((issue) => describeIssue(issue, environment)));
  if (problems.length > 0 || shared === undefined) {
    const title = problems.length === 1 ? '1 invalid setting:' : `${problems.length} invalid settings:`;
    throw new SettingsError([title, ...problems.map((each) => `- ${each}`)].join('\n'), {
      hint: 'Nothing was started. See docs/settings.md.',
    });
  }
  return {
    /** Empty only if no instance is set and the command does not need Losant. */
    instances,
    databaseUrl: shared.DATABASE_URL,
    /** Reads DATABASE_URL again, so that a new password needs no restart. Throws SettingsError. */
    readDatabaseUrl: () => rereadSecret('DATABASE_URL', environment),
    autoMigrate: shared.AUTO_MIGRATE,
    schedule: shared.SCHEDULE,
    policy: {
      readAtHours: shared.READ_AT_HOURS as readonly number[],
      finalAfterHours: shared.FINAL_AFTER_HOURS,
      horizonDays: shared.HORIZON_DAYS,
    },
    controlTotals: shared.CONTROL_TOTALS,
    statementKeyFile: shared.STATEMENT_KEY_FILE,
    request: { timeoutMs: shared.REQUEST_TIMEOUT_MS, attempts: shared.REQUEST_ATTEMPTS },
    http: { host: shared.HTTP_HOST, port: shared.HTTP_PORT, token: shared.HTTP_TOKEN },
    heartbeatUrl: shared.HEARTBEAT_URL,
    notifyAt: shared.NOTIFY_AT,
    notify:
      shared.NOTIFY_URL === null
        ? null
        : { url: shared.NOTIFY_URL, format: shared.NOTIFY_FORMAT ?? findFormat(shared.NOTIFY_URL) },
    consoleUrl: shared.CONSOLE_URL,
    logLevel: shared.LOG_LEVEL,
    adminToken: shared.LOSANT_ADMIN_TOKEN,
    warnings: findWarnings(env, shared),
  };
}

const FORMAT_HOSTS: Readonly<Record<string, RegExp>> = {
  slack: /(^|\.)slack\.com$/,
  discord: /(^|\.)discord(app)?\.com$/,
  teams: /\.(office|logic\.azure|powerplatform)\.com$/,
};

function findFormat(url: string): NotifyFormat {
  const { hostname } = new URL(url);
  return NOTIFY_FORMATS.find((format) => FORMAT_HOSTS[format]?.test(hostname)) ?? 'json';
}

function toInstance(values: z.output<typeof instanceSettings>, source: Source) {
  return {
    instanceId: values.LOSANT_INSTANCE_ID,
    apiUrl: values.LOSANT_API_URL,
    domain: values.LOSANT_DOMAIN,
    /** The organizations to track; null for all. */
    selection: values.LOSANT_ORG_IDS,
    streams: values.STREAMS as readonly string[],
    requestsPerSecond: values.REQUESTS_PER_SECOND,
    concurrency: values.REQUEST_CONCURRENCY,
    /** Reads the current token, so that a new one needs no restart. Throws SettingsError. */
    readToken: () => rereadSecret('LOSANT_API_TOKEN', source),
  };
}

/** Returns the sources of the instances: the environment, or the entries of the settings file. */
function findInstanceSources(environment: Source, configFile: string | null, context: ReadContext): readonly Source[] {
  const { texts: env } = environment;
  const path = configFile ?? (env['LOSANT_USAGE_CONFIG'] ?? '').trim();
  if (configFile === null && path === '') {
    const isConfigured = context.needs.includes('losant') || (env['LOSANT_INSTANCE_ID'] ?? '').trim() !== '';
    return isConfigured ? [environment] : [];
  }
  for (const variable of VARIABLES.filter((each) => each.replace(/_FILE$/, '') in instanceSettings.shape)) {
    const message = `cannot be combined with the settings file ${path}; remove it, or set it there`;
    if (env[variable]?.trim()) context.problems.push(`${variable} ${message}`);
  }
  return readSettingsFile({ name: configFile === null ? 'LOSANT_USAGE_CONFIG' : '--config', path }, context);
}

/** Parses the texts of a source and adds their problems; undefined if there are any. */
function parseTexts<S extends z.ZodRawShape>(schema: z.ZodObject<S>, source: Source, context: ReadContext) {
  const names = Object.keys(schema.shape) as SettingName[];
  const raw = Object.fromEntries(names.map((name) => [name, readText(name, source, context)]));
  const { data, error } = schema.safeParse(raw, { reportInput: true });
  for (const issue of error?.issues ?? []) context.problems.push(describeIssue(issue, source));
  return data;
}

function describeIssue({ path, input, message }: SettingIssue, { texts, prefix }: Source): string {
  const setting = path[0] as SettingName;
  const { isSecret, remedy } = getSettingInfo(setting);
  const isInFile = isSecret && (prefix !== '' || Boolean(texts[`${setting}_FILE`]?.trim()));
  const name = `${prefix}${setting}${isInFile ? '_FILE' : ''}`;
  if (input === undefined) {
    const orFile = isSecret && !isInFile ? `; or put the path of a file that contains it in ${setting}_FILE` : '';
    const misspelling = listMisspellings(texts).find(([, suggestion]) => suggestion.replace(/_FILE$/, '') === setting);
    if (misspelling !== undefined) return `${name} is not set, but ${misspelling[0]} is; correct its name`;
    return `${name} is not set; ${remedy}${orFile}`;
  }
  // Part of a URL may be a password or token.
  const value = typeof input === 'string' || typeof input === 'number' ? `${input}` : '';
  const isPrintable = !isSecret && value !== '' && !/[@?#]/.test(value);
  return describeValueProblem(name, isPrintable ? value : null, message, remedy);
}

function rereadSecret(name: 'DATABASE_URL' | 'LOSANT_API_TOKEN', source: Source): string {
  const context: ReadContext = { needs: ['losant', 'database'], problems: [] };
  const value = parseTexts(z.object({ [name]: settings.shape[name] }), source, context)?.[name];
  const [problem] = context.problems;
  if (typeof value === 'string' && problem === undefined) return value;
  throw new SettingsError(problem ?? '', { hint: 'the next run reads it again' });
}

const VARIABLES = settingNames.flatMap((name) => (getSettingInfo(name).isSecret ? [name, `${name}_FILE`] : [name]));
const LOSANT_VARIABLES = ['LOSANT_USAGE_CONFIG', ...VARIABLES.filter((name) => name.startsWith('LOSANT_'))];

/** Returns a problem for each `LOSANT_*` variable that is not a setting; without values, which may be tokens. */
function findUnknownVariables(env: Source['texts']): string[] {
  const unknown = Object.keys(env).filter((name) => name.startsWith('LOSANT_') && !LOSANT_VARIABLES.includes(name));
  return unknown.sort().map((name) => {
    const suffix = name.slice('LOSANT_'.length);
    const nearest = VARIABLES.includes(suffix) ? suffix : findNearestName(name, LOSANT_VARIABLES);
    const advice = `remove it; known variables: ${LOSANT_VARIABLES.join(', ')}`;
    return `${name} is not a setting; ${nearest === null ? advice : `did you mean ${nearest}?`}`;
  });
}

/** Returns the variables whose names are almost those of a setting, each with that name. */
function listMisspellings(env: Source['texts']): (readonly [name: string, suggestion: string])[] {
  const otherNames = Object.keys(env).filter((name) => !name.startsWith('LOSANT_') && !VARIABLES.includes(name));
  return otherNames.sort().flatMap((name) => {
    const suggestion = findNearestName(name, VARIABLES, 1);
    return suggestion === null ? [] : [[name, suggestion] as const];
  });
}

function findWarnings(env: Source['texts'], shared: z.output<typeof sharedSettings>): string[] {
  const warnings = listMisspellings(env).map(
    ([name, suggestion]) => `${name} is not a setting and has no effect; did you mean ${suggestion}?`,
  );
  const { HTTP_HOST: host, HTTP_PORT: port, HTTP_TOKEN: token, DATABASE_URL: url } = shared;
  if (port !== 0 && token === null && !isLoopback(host)) {
    const effect = 'other machines can only reach /healthz and /readyz; set HTTP_TOKEN';
    warnings.push(`HTTP_HOST=${quote(host)} without HTTP_TOKEN: ${effect}`);
  }
  if (url !== null && isPlainText(url)) {
    const remedy = 'add ?sslmode=verify-full, unless the network path is trusted';
    warnings.push(`DATABASE_URL: the password and all data are sent unencrypted; ${remedy}`);
  }
  return warnings;
}
