import { SettingsError } from '../errors.ts';
import {
  type InstanceConfig,
  type Reading,
  readInstanceFromEnv,
  readInstancesFromFile,
} from './instance.ts';
import { type Problem, settingsError } from './problems.ts';
import { type Environment, type ReadFile, readFileFromDisk } from './secrets.ts';
import {
  DATABASE_REMEDY,
  type HttpConfig,
  readDatabaseUrl,
  readHeartbeatUrl,
  readHttp,
} from './service.ts';
import { checkVariables, given, openFile, type Sources } from './sources.ts';
import { type PolicyConfig, readPolicy, readSchedule, warnOfLateReads } from './timing.ts';
import { readChoice, readNumber } from './values.ts';

export type LogLevel = (typeof LOG_LEVELS)[number];

/** All settings, checked. */
export interface Config {
  /** Empty only for commands that do not need Losant, when none is set. */
  readonly instances: readonly InstanceConfig[];
  /** `postgres://…` or `embedded:DIR`; null when unset: see {@link requireDatabaseUrl}. */
  readonly databaseUrl: string | null;
  readonly policy: PolicyConfig;
  /** Cron expression of five fields, UTC. */
  readonly schedule: string;
  readonly request: { readonly timeoutMs: number; readonly attempts: number };
  readonly http: HttpConfig;
  readonly heartbeatUrl: string | null;
  readonly autoMigrate: boolean;
  readonly logLevel: LogLevel;
  /** What the operator should know though nothing is wrong; without secrets. */
  readonly warnings: readonly string[];
}

export interface ConfigOptions {
  readonly env: Environment;
  /** The path given with `--config`, which wins over `LOSANT_USAGE_CONFIG`; null without. */
  readonly configFile: string | null;
  readonly readFile?: ReadFile;
  /** What the command cannot do without. A token is only read where `losant` is needed. */
  readonly needs?: readonly ('losant' | 'database')[];
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const REQUEST_TIMEOUT_MS = 30_000;
const REQUEST_ATTEMPTS = 5;

/**
 * Reads and checks every setting. Throws one SettingsError that lists all
 * problems, one per line, and holds no secret. Reads files, changes nothing.
 */
export function readConfig(options: ConfigOptions): Config {
  const { env, configFile, readFile = readFileFromDisk, needs = ['losant'] } = options;
  const problems: Problem[] = [];
  const reading: Reading = { env, readFile, problems, needsToken: needs.includes('losant') };
  const file = openFile(configFile, reading);
  const sources: Sources = { env, file, problems };
  checkVariables(sources);
  const instances = file === null ? readOwnInstance(reading) : readInstancesFromFile(file, reading);
  const databaseUrl = readDatabaseUrl(reading, needs.includes('database'));
  const { schedule, warning } = readSchedule(sources);
  const policy = readPolicy(sources);
  const request = readRequest(sources);
  const { http, warning: httpWarning } = readHttp(reading);
  const heartbeatUrl = readHeartbeatUrl(reading);
  const autoMigrate = readChoice(given(env, 'AUTO_MIGRATE'), ['true', 'false'], problems) === 'true';
  const logLevel = readChoice(given(env, 'LOG_LEVEL'), LOG_LEVELS, problems) ?? 'info';
  if (problems.length > 0) throw settingsError(problems);
  const warnings = [file?.warning, warning, warnOfLateReads(policy), httpWarning].filter(
    (each) => each != null,
  );
  const service = { request, http, heartbeatUrl, autoMigrate, logLevel };
  return { instances, databaseUrl, policy, schedule, ...service, warnings };
}

/** The database's URL, for commands that cannot do without. Throws SettingsError. */
export function requireDatabaseUrl({ databaseUrl }: Pick<Config, 'databaseUrl'>): string {
  if (databaseUrl !== null) return databaseUrl;
  throw new SettingsError('DATABASE_URL is not set', { hint: DATABASE_REMEDY });
}

function readOwnInstance(reading: Reading): InstanceConfig[] {
  if (!reading.needsToken && reading.env['LOSANT_INSTANCE_ID'] === undefined) return [];
  const instance = readInstanceFromEnv(reading);
  return instance === null ? [] : [instance];
}

function readRequest({ env, problems }: Sources): Config['request'] {
  const timeout = { min: 100, max: 600_000, remedy: 'use milliseconds, e.g. 30000' };
  const attempts = { min: 1, max: 20, remedy: 'use e.g. 5' };
  return {
    timeoutMs: readNumber(given(env, 'REQUEST_TIMEOUT_MS'), timeout, problems) ?? REQUEST_TIMEOUT_MS,
    attempts: readNumber(given(env, 'REQUEST_ATTEMPTS'), attempts, problems) ?? REQUEST_ATTEMPTS,
  };
}
