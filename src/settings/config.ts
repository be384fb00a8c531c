import { validateDetailed } from 'node-cron';
import { SettingsError } from '../errors.ts';
import { LATE_AFTER_HOURS, type Policy } from '../usage/policy.ts';
import { isLoopback, warnOfPlainText } from './kinds.ts';
import { describeProblem, nearestName, type Problem, quote, settingsError } from './problems.ts';
import {
  FILE_KEYS,
  instanceSource,
  placeIn,
  type ReadFile,
  type Reading,
  readFileFromDisk,
  readGroup,
  readSetting,
  readSettingsFile,
  type SettingsFile,
  type Source,
} from './reader.ts';
import {
  HTTP,
  INSTANCE,
  INSTANCE_SETTINGS,
  type Need,
  POLICY,
  REQUEST,
  SERVICE,
  SETTINGS,
  type Setting,
  SHARED_SETTINGS,
  type Values,
  variablesOf,
} from './table.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface Config extends Values<typeof SERVICE> {
  /** The instances; empty only if none is set and the command does not need Losant. */
  readonly instances: readonly InstanceConfig[];
  readonly policy: Policy;
  readonly request: Values<typeof REQUEST>;
  readonly http: Values<typeof HTTP>;
  readonly warnings: readonly string[];
  /** The settings that hold for all instances and where each comes from, without secrets. */
  readonly origins: readonly Origin[];
}

interface Origin {
  /** The variable, also for a setting of the file. */
  readonly name: string;
  /** The value, or `set` and `not set` for a secret. */
  readonly value: string;
  /** `default`, `environment`, or the place in the settings file. */
  readonly from: string;
}

export interface ConfigOptions {
  readonly env: Environment;
  /** The path given with `--config`, which takes precedence over `LOSANT_USAGE_CONFIG`; null without it. */
  readonly configFile: string | null;
  readonly readFile?: ReadFile;
  /** What the command cannot do without. Settings that only other commands need are not checked. */
  readonly needs: readonly Need[];
}

/** `readConfig` throws one SettingsError that lists all problems, one per line, without any secret. */
export function readConfig(options: ConfigOptions): Config {
  const { env, configFile, readFile: read = readFileFromDisk, needs } = options;
  const problems: Problem[] = [];
  const openFiles = new Set<string>();
  const readFile: ReadFile = (path) => {
    const content = read(path);
    if (((content.mode ?? 0) & 0o022) !== 0) openFiles.add(path);
    return content;
  };
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
  const harm = 'can be written by other users, who could send tokens elsewhere';
  const warnings = [
    ...[...openFiles].map((open) => `${open} ${harm}; run: chmod go-w ${open}`),
    ...warningsOf(config, source),
    ...warnOfMisspelt(env),
    ...(plainText === null ? [] : [plainText]),
  ];
  const origins = SHARED_SETTINGS.map((each) => originOf(each, source));
  return { ...config, warnings, origins };
}

export function requireDatabaseUrl({ databaseUrl }: Pick<Config, 'databaseUrl'>): string {
  if (databaseUrl !== null) return databaseUrl;
  throw new SettingsError('DATABASE_URL is not set', { hint: SERVICE.databaseUrl.remedy });
}

export interface InstanceConfig extends Omit<Values<typeof INSTANCE>, 'token'> {
  /** `readToken` reads the current token, so that a new one needs no restart. Throws SettingsError. */
  readonly readToken: () => string;
}

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
  const { env, remedy } = INSTANCE.token;
  const readToken = () => {
    const problems: Problem[] = [];
    const token = readSetting(INSTANCE.token, source, { ...reading, needs: ['losant'], problems });
    if (token !== null) return token;
    const [problem = { name: env, problem: 'is not set', remedy }] = problems;
    throw new SettingsError(describeProblem(problem), { hint: problem.remedy });
  };
  return { ...rest, readToken };
}

const OF_INSTANCE = INSTANCE_SETTINGS.flatMap(variablesOf);
const VARIABLES = SETTINGS.flatMap(variablesOf);
const LOSANT_VARIABLES = ['LOSANT_USAGE_CONFIG', ...VARIABLES.filter((name) => name.startsWith('LOSANT_'))];

function environmentSource(env: Environment): Source {
  return (name) => ({ name, raw: env[name], isVariable: true });
}

/** `topSource` returns a source that reads the settings file's top or the environment, not both. */
function topSource(env: Environment, file: SettingsFile | null): Source {
  const environment = environmentSource(env);
  return (variable) => {
    const key = FILE_KEYS.get(variable);
    if (file === null || key === undefined) return environment(variable);
    const name = placeIn(file.path, key);
    const raw = file.top[key];
    return raw === undefined && env[variable] !== undefined ? environment(variable) : { name, raw };
  };
}

function isSet(text: string | undefined): boolean {
  return text !== undefined && text.trim() !== '';
}

/** `checkVariables` reports unknown `LOSANT_*` variables, and those whose setting is in the settings file. */
function checkVariables(env: Environment, file: SettingsFile | null, problems: Problem[]): void {
  const named = file?.instances.flatMap((entries) => Object.values(entries)) ?? [];
  const free = Object.keys(env).filter((name) => !named.includes(name));
  for (const name of OF_INSTANCE.filter((each) => file !== null && free.includes(each) && isSet(env[each]))) {
    const remedy = `remove it and use ${FILE_KEYS.get(name)} there`;
    problems.push({ name, problem: 'is set, but instances are described by the settings file', remedy });
  }
  for (const name of VARIABLES.filter((each) => isSet(env[each]))) {
    const key = FILE_KEYS.get(name) ?? '';
    if (file?.top[key] === undefined) continue;
    const problem = `is set, but so is ${placeIn(file.path, key)}`;
    problems.push({ name, problem, remedy: 'keep one of them' });
  }
  // An invalid file leaves open which variables it names.
  if (file?.isRight === false) return;
  for (const name of free.filter((each) => each.startsWith('LOSANT_')).sort()) {
    // The value is not shown, because it may well be a token.
    if (!LOSANT_VARIABLES.includes(name))
      problems.push({ name, problem: 'is not a setting', remedy: guess(name) });
  }
}

function guess(name: string): string {
  const rest = name.slice('LOSANT_'.length);
  const near = VARIABLES.includes(rest) ? rest : nearestName(name, LOSANT_VARIABLES);
  return near === null ? `remove it; known are ${LOSANT_VARIABLES.join(', ')}` : `did you mean ${near}?`;
}

/** `checkPolicy` returns the problems of settings that are each valid but contradict one another. */
function checkPolicy({ readAtHours, finalAtHours, horizonDays }: Policy, source: Source): Problem[] {
  const problems: Problem[] = [];
  const lastHours = readAtHours.at(-1) ?? 0;
  const checkpoints = source(POLICY.readAtHours.env).name;
  if (finalAtHours > lastHours) {
    problems.push({
      ...shown(POLICY.finalAtHours.env, finalAtHours, source),
      problem: `is later than the last checkpoint, ${lastHours} hours: no day would become final`,
      remedy: `use at most ${lastHours}, or add ${finalAtHours} to ${checkpoints}`,
    });
  }
  // The day must still be inside the horizon on the date on which the checkpoint comes.
  const neededDays = Math.floor(lastHours / 24) + 1;
  if (horizonDays < neededDays) {
    problems.push({
      ...shown(POLICY.horizonDays.env, horizonDays, source),
      problem: `ends before the last checkpoint, ${lastHours} hours`,
      remedy: `use at least ${neededDays}, or remove checkpoints from ${checkpoints}`,
    });
  }
  return problems;
}

/** `shown` returns the place and value of a number that may be the default. */
function shown(variable: string, value: number, source: Source): Pick<Problem, 'name' | 'value'> {
  const { name, raw } = source(variable);
  return raw === undefined || raw === ''
    ? { name: `${name} (not set: ${value})` }
    : { name, value: `${value}` };
}

function warningsOf(config: Pick<Config, 'policy' | 'schedule' | 'http'>, source: Source): string[] {
  const { schedule, http } = config;
  const [firstHours = 0] = config.policy.readAtHours;
  const warnings: string[] = [];
  if ((validateDetailed(schedule).fields?.month.length ?? 12) < 12) {
    const place = `${source(SERVICE.schedule.env).name}=${quote(schedule)}`;
    warnings.push(`${place} leaves out whole months: a day is lost if none wakes within the horizon`);
  }
  if (firstHours > LATE_AFTER_HOURS) {
    const what = `each day shows as a gap from ${LATE_AFTER_HOURS} hours after its end until it is read`;
    warnings.push(`${source(POLICY.readAtHours.env).name} begins at ${firstHours}: ${what}`);
  }
  if (http.port !== 0 && http.token === null && !isLoopback(http.host)) {
    const what = 'readers get nothing but the probes /healthz and /readyz';
    warnings.push(`HTTP_HOST=${quote(http.host)} without HTTP_TOKEN: ${what}; set HTTP_TOKEN`);
  }
  return warnings;
}

/** `warnOfMisspelt` warns of variables one slip away from a setting; `LOSANT_*` are refused elsewhere. */
export function warnOfMisspelt(env: Environment): string[] {
  const given = Object.keys(env).filter((name) => !name.startsWith('LOSANT_') && !VARIABLES.includes(name));
  return given.toSorted().flatMap((name) => {
    const meant = nearestName(name, VARIABLES, 1);
    return meant === null ? [] : [`${name} is not a setting and has no effect; did you mean ${meant}?`];
  });
}

function originOf(setting: Setting<unknown>, source: Source): Origin {
  const { env, fallback, isSecret } = setting;
  const given = variablesOf(setting)
    .map(source)
    .find(({ raw }) => raw !== undefined && raw !== '');
  if (given === undefined)
    return { name: env, value: isSecret ? 'not set' : showValue(fallback), from: 'default' };
  const isFile = isSecret && given.name.endsWith('File');
  const isNamed = isSecret && (given.name === `${env}_FILE` || isFile);
  return {
    name: env,
    value: isNamed ? `in ${String(given.raw)}` : isSecret ? 'set' : showValue(given.raw),
    from: given.isVariable ? 'environment' : given.name,
  };
}

function showValue(value: unknown): string {
  if (value === undefined || value === null) return 'not set';
  return typeof value === 'string' ? value : Array.isArray(value) ? value.join(',') : JSON.stringify(value);
}
