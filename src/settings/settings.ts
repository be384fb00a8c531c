/** Every setting, as one schema: types, errors, docs/settings.md and .env.example (`npm run schema`) come from it. */
import { z } from 'zod';
import { defaultStreamNames, streamNames } from '../usage/streams/catalog.ts';
import * as kinds from './kinds.ts';

/** What a command needs settings for: reading Losant, the database, or changing organizations in Losant. */
export type Need = 'losant' | 'database' | 'admin';

/** What the schema of a setting does not say. */
interface SettingInfo {
  readonly description: string;
  /** The remedy for an invalid value; by default, the example. */
  readonly remedy?: string;
  /** A value for the documents; by default, the default of the setting. */
  readonly example?: string;
  /** Whether a variable with the suffix `_FILE` may name a file that contains it. */
  readonly isSecret?: true;
  /** The commands that require it. For all others a token is null, and the instance and the database may be. */
  readonly neededBy?: Need;
}

const descriptions = z.registry<SettingInfo>();

const optional = <T>(schema: z.ZodType<T>) => schema.nullable().default(null);

/** Catches typos. Losant retains about 90 days of detail: https://docs.losant.com/references/data-retention */
const LONGEST_HORIZON_DAYS = 3650;

const hours = kinds.number(0, LONGEST_HORIZON_DAYS * 24, 'hours after the end of a day');
const readAtHours = kinds.list(hours).transform((all) => all.toSorted((a, b) => a - b));
const streams = kinds
  .list(kinds.choice(streamNames))
  .transform((all) => streamNames.filter((each) => all.includes(each)));
/** The formats of a message; `json` is the document of `digest --json`. */
export const NOTIFY_FORMATS = ['slack', 'teams', 'discord', 'json'] as const;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export const settings = z.object({
  LOSANT_INSTANCE_ID: kinds.idText('instance').nullable().register(descriptions, {
    description: 'instance whose organizations are loaded',
    neededBy: 'losant',
    remedy: 'copy it from the URL of the instance in Losant',
    example: '575ec8687ae143cd83dc4a97',
  }),
  LOSANT_API_TOKEN: kinds.token(1).nullable().register(descriptions, {
    description: 'instance API token that can read the instance, its organizations and their usage',
    isSecret: true,
    neededBy: 'losant',
    remedy: 'create an instance API token in Losant',
  }),
  /** Without a trailing slash; may have a path. */
  LOSANT_API_URL: kinds.apiUrl.prefault('https://api.losant.com').register(descriptions, {
    description: 'base URL of the API, for private installs; https, or http on this machine only',
  }),
  LOSANT_DOMAIN: optional(kinds.domain).register(descriptions, {
    description: 'domain of a white-label install, sent with each request',
    example: 'usage.example.com',
  }),
  LOSANT_ORG_IDS: kinds.orgSelection.prefault('all').register(descriptions, {
    description: 'organizations to track: `all`, or comma-separated IDs',
    remedy: 'use all, or list the ID of each organization',
  }),
  /** In the order of the catalog. */
  STREAMS: streams.prefault(defaultStreamNames.join(',')).register(descriptions, {
    description: 'streams to load, comma-separated',
  }),
  REQUESTS_PER_SECOND: kinds.number(0.1, 10_000, 'requests per second').prefault('20').register(descriptions, {
    description: 'maximum requests started per second, evenly spaced; can be a fraction',
  }),
  REQUEST_CONCURRENCY: kinds.number(1, 1000, 'requests at once').prefault('8').register(descriptions, {
    description: 'maximum requests in flight',
  }),
  DATABASE_URL: kinds.databaseUrl.nullable().register(descriptions, {
    description: '`postgres://…`, or `embedded:DIR` to try the program without a server',
    isSecret: true,
    neededBy: 'database',
    remedy:
      'set it to postgres://USER:PASSWORD@HOST:5432/NAME, or to embedded:DIR to try the program without a server; ' +
      'in user and password, percent-encode @ : / ? # and spaces',
    example: 'postgres://usage:PASSWORD@db.example.com:5432/billing?sslmode=verify-full',
  }),
  AUTO_MIGRATE: kinds.booleanText.prefault('false').register(descriptions, {
    description: '`true` migrates an existing database at startup; otherwise only `migrate` does',
  }),
  SCHEDULE: kinds.schedule.prefault('15 * * * *').register(descriptions, {
    description: 'when the worker wakes up: five-field cron expression, in UTC',
  }),
  READ_AT_HOURS: readAtHours.prefault('0,6,24,48,72,168,720').register(descriptions, {
    description: 'checkpoints: hours after the end of a usage day at which it is read',
  }),
  FINAL_AFTER_HOURS: hours.prefault('72').register(descriptions, {
    description: 'a read at least this many hours after the end of a day makes it final; at most the last checkpoint',
  }),
  HORIZON_DAYS: kinds.number(1, LONGEST_HORIZON_DAYS, 'days').prefault('90').register(descriptions, {
    description: 'days of detail that Losant retains; older days are never requested',
  }),
  CONTROL_TOTALS: kinds.choice(['block', 'show']).prefault('block').register(descriptions, {
    description: 'what a difference between settled numbers does: `block` the month, or only `show`',
  }),
  REQUEST_TIMEOUT_MS: kinds.number(100, 300_000, 'milliseconds').prefault('30000').register(descriptions, {
    description: 'timeout of one attempt in milliseconds, including the response body',
  }),
  REQUEST_ATTEMPTS: kinds.number(1, 20, 'attempts').prefault('5').register(descriptions, {
    description: 'attempts per request; pauses that Losant requests (429, Retry-After) do not count',
  }),
  HTTP_HOST: kinds.host.prefault('127.0.0.1').register(descriptions, {
    description: 'address on which the worker serves health probes, metrics and the console',
    remedy: 'use 127.0.0.1, or 0.0.0.0 to accept requests from other machines',
  }),
  HTTP_PORT: kinds.number(0, 65_535, '0 turns the server off').prefault('9464').register(descriptions, {
    description: 'port of that server; `0` turns it off',
  }),
  // A token of 16 characters cannot be guessed over the network.
  HTTP_TOKEN: optional(kinds.token(16)).register(descriptions, {
    description: 'token required to read metrics and the console; at least 16 characters',
    isSecret: true,
    remedy: 'use a longer random one, e.g. from: openssl rand -hex 32',
  }),
  HEARTBEAT_URL: optional(kinds.secretUrl).register(descriptions, {
    description: 'URL of a heartbeat monitor, such as Healthchecks; treated as a secret',
    isSecret: true,
    example: 'https://hc.example.com/ping/UUID',
  }),
  NOTIFY_URL: optional(kinds.secretUrl).register(descriptions, {
    description: 'incoming webhook to which the worker sends the digest; treated as a secret',
    isSecret: true,
    example: 'https://hooks.slack.com/services/…',
  }),
  NOTIFY_FORMAT: optional(kinds.choice(NOTIFY_FORMATS)).register(descriptions, {
    description:
      'format of the digest: `slack`, `teams`, `discord` or `json`; by default that of the host, otherwise `json`',
  }),
  NOTIFY_AT: kinds.notifyTime.prefault('08:00 UTC').register(descriptions, {
    description: 'when the digest is due: a time and its time zone',
    remedy: 'use e.g. 08:00 Europe/Berlin',
  }),
  CONSOLE_URL: optional(kinds.consoleUrl).register(descriptions, {
    description: 'address at which people open the console, for the links of the digest',
    example: 'https://usage.example.com',
  }),
  LOG_LEVEL: kinds.choice(LOG_LEVELS).prefault('info').register(descriptions, {
    description: 'log level: `fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
  }),
  LOSANT_ADMIN_TOKEN: kinds.token(1).nullable().register(descriptions, {
    description: 'token that can change and delete organizations; only `org set` and `org delete` read it',
    isSecret: true,
    neededBy: 'admin',
    remedy: 'create a token in Losant that can change organizations, and provide it only to this command',
  }),
});

/** The settings that can contradict each other. */
export const policySettings = settings.pick({ READ_AT_HOURS: true, FINAL_AFTER_HOURS: true, HORIZON_DAYS: true });

export type Settings = z.output<typeof settings>;

export type SettingName = keyof typeof settings.shape;

export const settingNames = Object.keys(settings.shape) as readonly SettingName[];

/** Returns the default as the text of a variable; null if there is none. */
export function getDefault(name: SettingName): string | null {
  const schema = settings.shape[name];
  return schema instanceof z.ZodPrefault ? schema.def.defaultValue : null;
}

export function getSettingInfo(name: SettingName): SettingInfo & { readonly remedy: string } {
  const info = descriptions.get(settings.shape[name]) as SettingInfo;
  return { remedy: `use e.g. ${info.example ?? getDefault(name) ?? ''}`, ...info };
}

/** The problem of a setting, as far as a message needs it. */
export type SettingIssue = Pick<z.core.$ZodIssue, 'path' | 'input' | 'message'>;

/** Returns the problems of settings that are valid alone but contradict each other. */
export function findContradictions(policy: z.output<typeof policySettings>): readonly SettingIssue[] {
  const { READ_AT_HOURS: readAtHours, FINAL_AFTER_HOURS: finalAfter, HORIZON_DAYS: horizonDays } = policy;
  const issues: SettingIssue[] = [];
  const last = readAtHours.at(-1) ?? 0;
  const lastCheckpoint = `the last checkpoint of READ_AT_HOURS, ${last} hours`;
  if (finalAfter > last) {
    const message = `is later than ${lastCheckpoint}, so no day would become final; use at most ${last}`;
    issues.push({ path: ['FINAL_AFTER_HOURS'], input: finalAfter, message });
  }
  // The day must still be inside the horizon when its last checkpoint comes.
  const neededDays = Math.floor(last / 24) + 1;
  if (horizonDays < neededDays) {
    const message = `is too short for ${lastCheckpoint}; use at least ${neededDays}`;
    issues.push({ path: ['HORIZON_DAYS'], input: horizonDays, message });
  }
  return issues;
}
