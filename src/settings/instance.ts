import { dirname } from 'node:path';
import { streamNames } from '../usage/streams/catalog.ts';
import { type FileInstance, settingName } from './file.ts';
import { type OrgSelection, readOrgRules, readOrgs } from './orgs.ts';
import { type Problem, type Setting, settingsError } from './problems.ts';
import {
  type Environment,
  OTHER_SECRETS,
  type ReadFile,
  readSecret,
  readSecretFile,
  type SecretReading,
  tokenProblem,
} from './secrets.ts';
import type { OpenFile } from './sources.ts';
import { readApiUrl, readHost, readId, readNumber, readStreams } from './values.ts';

/** One Losant instance: what is exported of it, and how fast. */
export interface InstanceConfig {
  /** Lower-case hex. */
  readonly instanceId: string;
  /** Without a trailing slash; may have a path. */
  readonly apiUrl: string;
  /** White-label installs: the domain that Losant is told. */
  readonly domain: string | null;
  /**
   * The token as it is now: a file is read again each time, so that a new
   * token needs no restart. Throws SettingsError.
   */
  readonly readToken: () => string;
  readonly orgs: OrgSelection;
  /** In the order of the catalog. */
  readonly streams: readonly string[];
  /** May be a fraction. */
  readonly requestsPerSecond: number;
  /** Most requests under way at once. */
  readonly requestConcurrency: number;
}

/** What reading settings needs from outside, and where problems go. */
export interface Reading {
  readonly env: Environment;
  readonly readFile: ReadFile;
  /** Whether the token must be there now. */
  readonly needsToken: boolean;
  readonly problems: Problem[];
}

const API_URL = 'https://api.losant.com';
const REQUESTS_PER_SECOND = 20;
const REQUEST_CONCURRENCY = 8;

/** The settings of an instance that are one text wherever they come from. */
interface InstanceSettings {
  readonly apiUrl: Setting;
  readonly domain: Setting;
  readonly id: Setting;
  readonly streams: Setting;
  readonly requestsPerSecond: Setting;
  readonly requestConcurrency: Setting;
}

/** The one instance that the environment describes; null for a wrong one, whose problems are reported. */
export function readInstanceFromEnv(reading: Reading): InstanceConfig | null {
  const { env, readFile, problems } = reading;
  const given = (name: string): Setting => ({ name, text: env[name] });
  const readToken = (): SecretReading =>
    readSecret('LOSANT_API_TOKEN', { env, readFile, emptyIsUnset: false });
  const orgs = readOrgs(given('LOSANT_ORG_IDS'), problems);
  const settings = {
    id: given('LOSANT_INSTANCE_ID'),
    apiUrl: given('LOSANT_API_URL'),
    domain: given('LOSANT_DOMAIN'),
    streams: given('STREAMS'),
    requestsPerSecond: given('REQUESTS_PER_SECOND'),
    requestConcurrency: given('REQUEST_CONCURRENCY'),
  };
  return readInstance({ ...reading, settings, readToken, orgs });
}

/** The instances of a settings file; an id may be there once only, as all data is kept by it. */
export function readInstancesFromFile({ path, settings }: OpenFile, reading: Reading): InstanceConfig[] {
  const instances = (settings?.instances ?? []).map((instance, index) => {
    return readInstanceFromFile(instance, { ...reading, path, index });
  });
  for (const [index, instance] of instances.entries()) {
    const first = instances.findIndex((each) => each !== null && each.instanceId === instance?.instanceId);
    if (first === -1 || first === index) continue;
    reading.problems.push({
      name: settingName(path, ['instances', index, 'id']),
      value: instance?.instanceId,
      problem: `is also the id of instances[${first}]`,
      remedy: 'describe each instance once',
    });
  }
  return instances.filter((instance) => instance !== null);
}

function readInstanceFromFile(
  instance: FileInstance,
  { path, index, ...reading }: Reading & { readonly path: string; readonly index: number },
): InstanceConfig | null {
  const name = (key: string) => settingName(path, ['instances', index, key]);
  const given = (key: Exclude<keyof FileInstance, 'orgs' | 'streams'>): Setting => {
    return { name: name(key), text: instance[key] };
  };
  const settings = {
    id: given('id'),
    apiUrl: given('apiUrl'),
    domain: given('domain'),
    streams: { name: name('streams'), text: instance.streams?.join(',') },
    requestsPerSecond: given('requestsPerSecond'),
    requestConcurrency: given('requestConcurrency'),
  };
  const tokenFile = given('tokenFile');
  const tokenVariable = given('tokenVariable');
  const source = { path, tokenFile, tokenVariable, owner: settingName(path, ['instances', index]) };
  const readToken = () => readTokenOfFile(source, reading);
  const orgs = readOrgsOfFile(name('orgs'), instance.orgs, reading.problems);
  return readInstance({ ...reading, settings, readToken, orgs });
}

function readOrgsOfFile(name: string, orgs: FileInstance['orgs'], problems: Problem[]): OrgSelection {
  if (typeof orgs === 'object' && !Array.isArray(orgs)) return readOrgRules(name, orgs, problems);
  return readOrgs({ name, text: Array.isArray(orgs) ? orgs.join(',') : orgs }, problems);
}

interface TokenSource {
  readonly path: string;
  /** The instance, in messages. */
  readonly owner: string;
  readonly tokenFile: Setting;
  readonly tokenVariable: Setting;
}

function readTokenOfFile(
  { path, owner, tokenFile, tokenVariable }: TokenSource,
  { env, readFile }: Pick<Reading, 'env' | 'readFile'>,
): SecretReading {
  const failed = (name: string, problem: string, remedy: string): SecretReading => {
    return { ok: false, problem: { name, problem, remedy } };
  };
  if (tokenFile.text !== undefined && tokenVariable.text !== undefined) {
    return failed(owner, 'has both tokenFile and tokenVariable', 'keep one of them');
  }
  if (tokenFile.text !== undefined) {
    return readSecretFile(tokenFile.name, tokenFile.text, { readFile, folder: dirname(path) });
  }
  if (tokenVariable.text === undefined) {
    return failed(owner, 'has no token', 'name a file in tokenFile, or a variable in tokenVariable');
  }
  const { name, text: variable } = tokenVariable;
  if (!/^[A-Z_][A-Z0-9_]*$/i.test(variable) || OTHER_SECRETS.includes(variable)) {
    return failed(name, 'is not the name of a variable for tokens', 'use e.g. LOSANT_API_TOKEN_EU');
  }
  const remedy = 'set it to the token of this instance';
  if ((env[variable] ?? '').trim() === '') return failed(name, `names ${variable}, which is not set`, remedy);
  return { ok: true, name: variable, text: env[variable]?.replace(/[\r\n]+$/, '') ?? null };
}

interface InstanceReading extends Reading {
  readonly settings: InstanceSettings;
  readonly orgs: OrgSelection;
  readonly readToken: () => SecretReading;
}

function readInstance(reading: InstanceReading): InstanceConfig | null {
  const { settings, orgs, problems, needsToken } = reading;
  const instanceId = readId(settings.id, 'instance', problems);
  const token = checkToken(reading.readToken());
  if (needsToken && !token.ok) problems.push(token.problem);
  const apiUrl = readApiUrl(settings.apiUrl, problems);
  const remedy = 'use the bare name, e.g. usage.example.com';
  const domain = readHost(settings.domain, { port: true, remedy }, problems);
  const streams = readStreams(settings.streams, problems);
  const perSecond = { min: 0.1, max: 10_000, fraction: true, remedy: 'use e.g. 20 (requests per second)' };
  const requestsPerSecond = readNumber(settings.requestsPerSecond, perSecond, problems);
  const atOnce = { min: 1, max: 1000, remedy: 'use e.g. 8 (requests at once)' };
  const requestConcurrency = readNumber(settings.requestConcurrency, atOnce, problems);
  if (instanceId === null) return null;
  return {
    instanceId,
    apiUrl: apiUrl ?? API_URL,
    domain,
    readToken: () => {
      const current = checkToken(reading.readToken());
      if (!current.ok) throw settingsError([current.problem]);
      return current.token;
    },
    orgs,
    streams: streams ?? streamNames,
    requestsPerSecond: requestsPerSecond ?? REQUESTS_PER_SECOND,
    requestConcurrency: requestConcurrency ?? REQUEST_CONCURRENCY,
  };
}

type TokenReading =
  | { readonly ok: true; readonly token: string }
  | { readonly ok: false; readonly problem: Problem };

function checkToken(secret: SecretReading): TokenReading {
  if (!secret.ok) return secret;
  const { name, text } = secret;
  if (text === null) {
    const remedy =
      'create an instance API token in Losant and give it here, or its file in LOSANT_API_TOKEN_FILE';
    return { ok: false, problem: { name, problem: 'is not set', remedy } };
  }
  const problem = tokenProblem(name, text, 1);
  return problem === null ? { ok: true, token: text } : { ok: false, problem };
}
