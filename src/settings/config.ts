/** The settings of a process as one value, and the messages about settings that are missing, invalid or misspelled. */
import { z } from 'zod';
import { SettingsError } from '../errors.ts';
import { findNearestName, quote } from '../terminal/words.ts';
import { describeValueProblem, isLoopback, isPlainText } from './kinds.ts';
import { type Environment, type ReadContext, readSettingText } from './setting-text.ts';
import {
  findContradictions,
  getSettingInfo,
  NOTIFY_FORMATS,
  policySettings,
  type SettingIssue,
  type SettingName,
  type Settings,
  settingNames,
  settings,
} from './settings.ts';

export type Config = ReturnType<typeof readConfig>;
export type NotifyFormat = (typeof NOTIFY_FORMATS)[number];

/** Throws one SettingsError that lists all problems, one per line, without secrets. */
export function readConfig({ env, needs }: Omit<ReadContext, 'problems'>) {
  const context: ReadContext = { env, needs, problems: findUnknownVariables(env) };
  const { problems } = context;
  const values = parseSettings(settings, context);
  // By themselves, because zod would not look for them if any other setting is invalid.
  const policy = parseSettings(policySettings, { ...context, problems: [] });
  const contradictions = policy === undefined ? [] : findContradictions(policy);
  problems.push(...contradictions.map((issue) => describeIssue(issue, env)));
  if (problems.length > 0 || values === undefined) {
    const title = problems.length === 1 ? '1 invalid setting:' : `${problems.length} invalid settings:`;
    throw new SettingsError([title, ...problems.map((each) => `- ${each}`)].join('\n'), {
      hint: 'Nothing was started. See docs/settings.md.',
    });
  }
  return {
    /** Empty only if it is not set, for a command that does not need Losant. */
    instanceId: values.LOSANT_INSTANCE_ID ?? '',
    apiUrl: values.LOSANT_API_URL,
    domain: values.LOSANT_DOMAIN,
    /** The organizations to track; null for all. */
    selection: values.LOSANT_ORG_IDS,
    streams: values.STREAMS as readonly string[],
    requestsPerSecond: values.REQUESTS_PER_SECOND,
    concurrency: values.REQUEST_CONCURRENCY,
    request: { timeoutMs: values.REQUEST_TIMEOUT_MS, attempts: values.REQUEST_ATTEMPTS },
    /** Reads the current token, so that a new one needs no restart. Throws SettingsError. */
    readToken: () => rereadSecret('LOSANT_API_TOKEN', env),
    adminToken: values.LOSANT_ADMIN_TOKEN,
    databaseUrl: values.DATABASE_URL,
    /** Reads DATABASE_URL again, so that a new password needs no restart. Throws SettingsError. */
    readDatabaseUrl: () => rereadSecret('DATABASE_URL', env),
    autoMigrate: values.AUTO_MIGRATE,
    schedule: values.SCHEDULE,
    policy: {
      readAtHours: values.READ_AT_HOURS as readonly number[],
      finalAfterHours: values.FINAL_AFTER_HOURS,
      horizonDays: values.HORIZON_DAYS,
    },
    controlTotals: values.CONTROL_TOTALS,
    http: { host: values.HTTP_HOST, port: values.HTTP_PORT, token: values.HTTP_TOKEN },
    heartbeatUrl: values.HEARTBEAT_URL,
    notifyAt: values.NOTIFY_AT,
    notify:
      values.NOTIFY_URL === null
        ? null
        : { url: values.NOTIFY_URL, format: values.NOTIFY_FORMAT ?? findFormat(values.NOTIFY_URL) },
    consoleUrl: values.CONSOLE_URL,
    logLevel: values.LOG_LEVEL,
    warnings: findWarnings(env, values),
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

/** Parses the texts of settings and adds their problems; undefined if there are any. */
function parseSettings<S extends z.ZodRawShape>(schema: z.ZodObject<S>, context: ReadContext) {
  const names = Object.keys(schema.shape) as SettingName[];
  const texts = Object.fromEntries(names.map((name) => [name, readSettingText(name, context)]));
  const { data, error } = schema.safeParse(texts, { reportInput: true });
  for (const issue of error?.issues ?? []) context.problems.push(describeIssue(issue, context.env));
  return data;
}

function describeIssue({ path, input, message }: SettingIssue, env: Environment): string {
  const setting = path[0] as SettingName;
  const { isSecret, remedy } = getSettingInfo(setting);
  if (input === undefined) {
    const orFile = isSecret ? `; or put the path of a file that contains it in ${setting}_FILE` : '';
    const misspelling = listMisspellings(env).find(([, suggestion]) => suggestion.replace(/_FILE$/, '') === setting);
    if (misspelling !== undefined) return `${setting} is not set, but ${misspelling[0]} is; correct its name`;
    return `${setting} is not set; ${remedy}${orFile}`;
  }
  const isInFile = isSecret && Boolean(env[`${setting}_FILE`]?.trim());
  const name = isInFile ? `${setting}_FILE` : setting;
  // Part of a URL may be a password or token.
  const value = typeof input === 'string' || typeof input === 'number' ? `${input}` : '';
  const isPrintable = !isSecret && value !== '' && !/[@?#]/.test(value);
  return describeValueProblem(name, isPrintable ? value : null, message, remedy);
}

function rereadSecret(name: 'DATABASE_URL' | 'LOSANT_API_TOKEN', env: Environment): string {
  const context: ReadContext = { env, needs: ['losant', 'database'], problems: [] };
  const value = parseSettings(z.object({ [name]: settings.shape[name] }), context)?.[name];
  const [problem] = context.problems;
  if (typeof value === 'string' && problem === undefined) return value;
  throw new SettingsError(problem ?? '', { hint: 'the next run reads it again' });
}

const VARIABLES = settingNames.flatMap((name) => (getSettingInfo(name).isSecret ? [name, `${name}_FILE`] : [name]));
const LOSANT_VARIABLES = VARIABLES.filter((name) => name.startsWith('LOSANT_'));

/** Returns a problem for each `LOSANT_*` variable that is not a setting; without values, which may be tokens. */
function findUnknownVariables(env: Environment): string[] {
  const unknown = Object.keys(env).filter((name) => name.startsWith('LOSANT_') && !LOSANT_VARIABLES.includes(name));
  return unknown.sort().map((name) => {
    const suffix = name.slice('LOSANT_'.length);
    const nearest = VARIABLES.includes(suffix) ? suffix : findNearestName(name, LOSANT_VARIABLES);
    const advice = `remove it; known variables: ${LOSANT_VARIABLES.join(', ')}`;
    return `${name} is not a setting; ${nearest === null ? advice : `did you mean ${nearest}?`}`;
  });
}

/** Returns the variables whose names are almost those of a setting, each with that name. */
function listMisspellings(env: Environment): (readonly [name: string, suggestion: string])[] {
  const otherNames = Object.keys(env).filter((name) => !name.startsWith('LOSANT_') && !VARIABLES.includes(name));
  return otherNames.sort().flatMap((name) => {
    const suggestion = findNearestName(name, VARIABLES, 1);
    return suggestion === null ? [] : [[name, suggestion] as const];
  });
}

function findWarnings(env: Environment, values: Settings): string[] {
  const warnings = listMisspellings(env).map(
    ([name, suggestion]) => `${name} is not a setting and has no effect; did you mean ${suggestion}?`,
  );
  const { HTTP_HOST: host, HTTP_PORT: port, HTTP_TOKEN: token, DATABASE_URL: url } = values;
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
