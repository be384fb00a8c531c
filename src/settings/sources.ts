import { type FileReading, readSettingsFile, settingName } from './file.ts';
import { nearestName, type Problem, type Setting } from './problems.ts';
import type { Environment, ReadFile } from './secrets.ts';

export interface OpenFile extends FileReading {
  readonly path: string;
}

/** Where settings come from, and where problems go. */
export interface Sources {
  readonly env: Environment;
  readonly file: OpenFile | null;
  readonly problems: Problem[];
}

/** Settings of one instance: by environment, or in the settings file. */
const INSTANCE_VARIABLES: Readonly<Record<string, string>> = {
  LOSANT_INSTANCE_ID: 'id',
  LOSANT_API_TOKEN: 'tokenVariable',
  LOSANT_API_TOKEN_FILE: 'tokenFile',
  LOSANT_API_URL: 'apiUrl',
  LOSANT_ORG_IDS: 'orgs',
  LOSANT_DOMAIN: 'domain',
  STREAMS: 'streams',
  REQUESTS_PER_SECOND: 'requestsPerSecond',
  REQUEST_CONCURRENCY: 'requestConcurrency',
};

/** Settings that no `LOSANT_` precedes, though people may expect it. */
const OTHER_VARIABLES = [
  ...['STREAMS', 'SCHEDULE', 'READ_AT_HOURS', 'FINAL_AT_HOURS', 'HORIZON_DAYS', 'LOG_LEVEL', 'AUTO_MIGRATE'],
  ...['REQUESTS_PER_SECOND', 'REQUEST_CONCURRENCY', 'REQUEST_TIMEOUT_MS', 'REQUEST_ATTEMPTS'],
  ...['DATABASE_URL', 'DATABASE_URL_FILE', 'HEARTBEAT_URL', 'HEARTBEAT_URL_FILE'],
  ...['HTTP_HOST', 'HTTP_PORT', 'HTTP_TOKEN', 'HTTP_TOKEN_FILE'],
];

const LOSANT_VARIABLES = [
  'LOSANT_USAGE_CONFIG',
  ...Object.keys(INSTANCE_VARIABLES).filter((name) => name.startsWith('LOSANT_')),
];

/** Reads the settings file named by `--config` or else `LOSANT_USAGE_CONFIG`; null if none is named. */
export function openFile(
  configFile: string | null,
  { env, readFile, problems }: Pick<Sources, 'env' | 'problems'> & { readonly readFile: ReadFile },
): OpenFile | null {
  const named = env['LOSANT_USAGE_CONFIG'];
  const path = configFile ?? (named?.trim() === '' ? undefined : named);
  if (path === undefined) return null;
  const name = configFile === null ? 'LOSANT_USAGE_CONFIG' : '--config';
  return { path, ...readSettingsFile(name, { path, readFile }, problems) };
}

export function given(env: Environment, name: string): Setting {
  return { name, text: env[name] };
}

/** A setting that may be in the environment or in the settings file, but not in both. */
export function pick(
  variable: string,
  key: 'schedule' | 'readAtHours' | 'finalAtHours' | 'horizonDays',
  { env, file, problems }: Sources,
): Setting {
  const inFile = file?.settings?.[key];
  if (file === null || inFile === undefined) return given(env, variable);
  const name = settingName(file.path, [key]);
  if (isSet(env[variable])) {
    problems.push({ name: variable, problem: `is set, but so is ${name}`, remedy: 'keep one of them' });
  }
  return { name, text: typeof inFile === 'string' ? inFile : inFile.join(',') };
}

/** Reports unknown `LOSANT_*` variables, and variables of an instance beside a settings file. */
export function checkVariables({ env, file, problems }: Sources): void {
  const named = file?.settings?.instances.map((instance) => instance.tokenVariable) ?? [];
  if (file !== null) {
    for (const [name, key] of Object.entries(INSTANCE_VARIABLES)) {
      if (!isSet(env[name]) || named.includes(name)) continue;
      const problem = 'is set, but instances are described by the settings file';
      problems.push({ name, problem, remedy: `remove it and use ${key} there` });
    }
  }
  // With a file that cannot be read it is unknown which variables it names.
  if (file !== null && file.settings === null) return;
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith('LOSANT_') || LOSANT_VARIABLES.includes(name) || named.includes(name)) continue;
    // Its value is not shown: it may well be a token.
    problems.push({ name, problem: 'is not a setting', remedy: describeNearest(name) });
  }
}

function describeNearest(name: string): string {
  const rest = name.slice('LOSANT_'.length);
  const near = OTHER_VARIABLES.includes(rest) ? rest : nearestName(name, LOSANT_VARIABLES);
  return near === null ? `remove it; known are ${LOSANT_VARIABLES.join(', ')}` : `did you mean ${near}?`;
}

function isSet(text: string | undefined): boolean {
  return text !== undefined && text.trim() !== '';
}
