import { SettingsError } from '../errors.ts';
import type { Policy } from '../usage/policy.ts';
import { checkPolicy, type ReadFile, readFileFromDisk, warningsOf } from './checks.ts';
import { warnOfPlainText } from './database-url.ts';
import { instanceSource, readSettingsFile, type SettingsFile } from './file.ts';
import { warnOfMisspelt } from './misspelt.ts';
import { type Origin, originOf } from './origins.ts';
import { describeProblem, type Problem, settingsError } from './problems.ts';
import { type Reading, readGroup, readSetting, type Source } from './reader.ts';
import { type Group, HTTP, INSTANCE, type Need, POLICY, REQUEST, SERVICE, type Values } from './table.ts';
import { checkVariables, type Environment, environmentSource, topSource } from './variables.ts';

/** All settings, checked. */
export interface Config extends Values<typeof SERVICE> {
  /** The instances; empty only if none is set and the command does not need Losant. */
  readonly instances: readonly InstanceConfig[];
  readonly policy: Policy;
  readonly request: Values<typeof REQUEST>;
  readonly http: Values<typeof HTTP>;
  /** Warnings for the operator, without secrets. */
  readonly warnings: readonly string[];
  /** The settings that hold for all instances and where each comes from, without secrets. */
  readonly origins: readonly Origin[];
}

export interface ConfigOptions {
  readonly env: Environment;
  /** The path given with `--config`, which takes precedence over `LOSANT_USAGE_CONFIG`; null without it. */
  readonly configFile: string | null;
  readonly readFile?: ReadFile;
  /**
   * The settings that the command cannot do without. Settings that only other commands need are not
   * checked.
   */
  readonly needs: readonly Need[];
}

/** The settings that hold for all instances. */
const SHARED: readonly Group[] = [SERVICE, POLICY, REQUEST, HTTP];

/**
 * Reads and checks every setting. Throws one SettingsError that lists all problems, one per line,
 * without any secret. Reads files, changes nothing.
 */
export function readConfig({ env, configFile, readFile = readFileFromDisk, needs }: ConfigOptions): Config {
  const problems: Problem[] = [];
  const reading = { needs, readFile, problems };
  const path = configFile ?? env['LOSANT_USAGE_CONFIG'] ?? '';
  const name = configFile === null ? 'LOSANT_USAGE_CONFIG' : '--config';
  const isNamed = configFile !== null || path.trim() !== '';
  const file = isNamed ? readSettingsFile({ name, path }, readFile, problems) : null;
  const source = topSource(env, file);
  checkVariables(env, file, problems);
  const instances = readInstances(file, environmentSource(env), reading);
  const service = readGroup(SERVICE, source, reading);
  const policy = readGroup(POLICY, source, reading);
  const request = readGroup(REQUEST, source, reading);
  const http = readGroup(HTTP, source, reading);
  if (policy !== null) problems.push(...checkPolicy(policy, source));
  if (problems.length > 0 || !service || !policy || !request || !http) throw settingsError(problems);
  const config = { ...service, instances: instances.filter((each) => each !== null), policy, request, http };
  const plainText = warnOfPlainText(config.databaseUrl);
  const warnings = [
    ...warningsOf(config, file, source),
    ...warnOfMisspelt(env),
    ...(plainText === null ? [] : [plainText]),
  ];
  const origins = SHARED.flatMap((group) => Object.values(group)).map((each) => originOf(each, source));
  return { ...config, warnings, origins };
}

/** Returns the database's URL. Throws SettingsError if it is missing. */
export function requireDatabaseUrl({ databaseUrl }: Pick<Config, 'databaseUrl'>): string {
  if (databaseUrl !== null) return databaseUrl;
  throw new SettingsError('DATABASE_URL is not set', { hint: SERVICE.databaseUrl.remedy });
}

/** The settings of one Losant instance. */
export interface InstanceConfig extends Omit<Values<typeof INSTANCE>, 'token'> {
  /** Reads the current token, so that a new one needs no restart. Throws SettingsError. */
  readonly readToken: () => string;
  /** The origin of the token, for hints: a variable, or a key of the settings file. */
  readonly tokenSource: string;
}

/** Returns the configured instances; null for each that has a problem. */
function readInstances(
  file: SettingsFile | null,
  environment: Source,
  reading: Reading,
): (InstanceConfig | null)[] {
  if (file !== null) {
    return file.instances.map((_, i) => readInstance(instanceSource(file, i, environment), reading));
  }
  const isGiven = environment(INSTANCE.instanceId.env).raw !== undefined;
  return isGiven || reading.needs.includes('losant') ? [readInstance(environment, reading)] : [];
}

function readInstance(source: Source, reading: Reading): InstanceConfig | null {
  const values = readGroup(INSTANCE, source, reading);
  if (values === null) return null;
  const { token: _, ...rest } = values;
  const { env } = INSTANCE.token;
  const [direct, named] = [source(env), source(`${env}_FILE`)];
  const readToken = () => {
    const problems: Problem[] = [];
    const token = readSetting(INSTANCE.token, source, { ...reading, needs: ['losant'], problems });
    if (token !== null) return token;
    const [problem = { name: env, problem: 'is not set', remedy: INSTANCE.token.remedy }] = problems;
    throw new SettingsError(describeProblem(problem), { hint: problem.remedy });
  };
  return { ...rest, readToken, tokenSource: (named.raw === undefined ? direct : named).name };
}
