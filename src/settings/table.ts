/**
 * Every setting. A new one needs a row here and a line in docs/settings.md; the name of its row is the
 * name of its value in the configuration.
 */
import type { z } from 'zod';
import {
  CONTROL_TOTAL_USES,
  type ControlTotalUse,
  PERIOD_SOURCES,
  type PeriodSource,
} from '../usage/period.ts';
import { streamNames, usualStreamNames } from '../usage/streams/catalog.ts';
import * as kinds from './kinds.ts';

/** What a command cannot do without: reading Losant, the database, or changing things in Losant. */
export type Need = 'losant' | 'database' | 'admin';

export interface Setting<T> {
  /** The environment variable. A secret may also be in the file that `<env>_FILE` names. */
  readonly env: string;
  readonly kind: z.ZodType<T>;
  readonly fallback: T | undefined;
  readonly remedy: string;
  /**
   * The key in the settings file; without one, it is only in the environment. A secret `x` is never in
   * that file: `xFile` names the file that has it, `xVariable` the variable.
   */
  readonly file?: string;
  readonly isSecret?: true;
  /** Whether a variable's text is a list separated by commas. */
  readonly isList?: true;
  /** Whether empty text is wrong; otherwise it counts as not given. */
  readonly refusesEmpty?: true;
  /** The need of the only commands that read it, and must have it. */
  readonly neededBy?: Need;
}

/** Settings that belong together, by the names of their values. */
export type Group = Readonly<Record<string, Setting<unknown>>>;

export type Values<G extends Group> = {
  readonly [K in keyof G]: G[K] extends Setting<infer T> ? T : never;
};

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/**
 * The longest horizon, against typing mistakes. Losant keeps the detail for about 90 days:
 * https://docs.losant.com/references/data-retention
 */
const LONGEST_HORIZON_DAYS = 3650;

/** The least length of an HTTP token, beyond guessing over the network. */
const SHORTEST_HTTP_TOKEN = 16;

const LIST = { isList: true, refusesEmpty: true } as const;
const SECRET = { isSecret: true } as const;
const TOKEN = { isSecret: true, refusesEmpty: true } as const;

const hours = kinds.number(0, LONGEST_HORIZON_DAYS * 24, 'hours after the end of a day');
const readAtHours = kinds.list(hours).transform((all) => [...new Set(all)].sort((a, b) => a - b));
const streams = kinds
  .set(kinds.choice(streamNames))
  .transform((all) => streamNames.filter((each) => all.includes(each)));

/** The settings of one Losant instance, from the environment or an entry of the settings file. */
export const INSTANCE = inFile({
  instanceId: row('LOSANT_INSTANCE_ID', kinds.instanceId, undefined, {
    file: 'id',
    refusesEmpty: true,
    remedy: 'copy the 24 hex characters of the instance from its address in Losant',
  }),
  token: row('LOSANT_API_TOKEN', kinds.token(1), undefined, {
    ...TOKEN,
    neededBy: 'losant',
    remedy: 'create an instance API token in Losant',
  }),
  /** The address of the API, without a trailing slash; may have a path. */
  apiUrl: row('LOSANT_API_URL', kinds.apiUrl, 'https://api.losant.com'),
  orgs: row('LOSANT_ORG_IDS', kinds.orgSelection, kinds.EVERY_ORG, {
    ...LIST,
    remedy: 'use all, or list the 24 hex characters of each organization',
  }),
  /** The domain sent to Losant, for white-label installs. */
  domain: row<string | null>('LOSANT_DOMAIN', kinds.domain, null, {
    remedy: 'use the bare name, e.g. usage.example.com',
  }),
  /** The streams in the order of the catalog. Hours are exported only where they are named. */
  streams: row<readonly string[]>('STREAMS', streams, usualStreamNames, LIST),
  requestsPerSecond: row('REQUESTS_PER_SECOND', kinds.number(0.1, 10_000, 'requests per second'), 20),
  requestConcurrency: row('REQUEST_CONCURRENCY', kinds.number(1, 1000, 'requests at once'), 8),
});

/** The rules for when usage days are read and how long they can be. */
export const POLICY = inFile({
  readAtHours: row<readonly number[]>('READ_AT_HOURS', readAtHours, [0, 6, 24, 48, 72, 168, 720], LIST),
  finalAtHours: row('FINAL_AT_HOURS', hours, 72),
  horizonDays: row('HORIZON_DAYS', kinds.number(1, LONGEST_HORIZON_DAYS, 'days'), 90),
});

export const REQUEST = {
  timeoutMs: row('REQUEST_TIMEOUT_MS', kinds.number(100, 600_000, 'milliseconds'), 30_000),
  attempts: row('REQUEST_ATTEMPTS', kinds.number(1, 20, 'attempts'), 5),
};

export const HTTP = {
  host: row('HTTP_HOST', kinds.host, '127.0.0.1', {
    remedy: 'use 127.0.0.1, or 0.0.0.0 to be reached from elsewhere',
  }),
  port: row('HTTP_PORT', kinds.number(0, 65_535, '0: no server'), 9464),
  token: row<string | null>('HTTP_TOKEN', kinds.token(SHORTEST_HTTP_TOKEN), null, {
    ...TOKEN,
    remedy: 'use a longer random one, e.g. from: openssl rand -hex 32',
  }),
};

export const SERVICE = {
  ...inFile({
    /** A cron expression of five fields, in UTC. */
    schedule: row('SCHEDULE', kinds.schedule, '15 * * * *', {
      remedy: 'use e.g. "15 * * * *": a quarter past every hour, UTC',
    }),
    /** The billing periods: calendar months in UTC, or the periods that Losant has for each organization. */
    billingPeriods: row<PeriodSource>('BILLING_PERIODS', kinds.choice(PERIOD_SOURCES), 'calendar'),
    /** Whether a control total of Losant that differs from final numbers blocks their period, or is only shown. */
    controlTotals: row<ControlTotalUse>('CONTROL_TOTALS', kinds.choice(CONTROL_TOTAL_USES), 'block'),
  }),
  /** `postgres://…` or `embedded:DIR`; null for commands that do not need it. */
  databaseUrl: row<string | null>('DATABASE_URL', kinds.databaseUrl, undefined, {
    ...SECRET,
    neededBy: 'database',
    remedy:
      'set it to postgres://USER:PASSWORD@HOST:5432/NAME, or to embedded:DIR for trying out without a server; ' +
      'in user and password, percent-encode @ : / ? # and spaces',
  }),
  heartbeatUrl: row<string | null>('HEARTBEAT_URL', kinds.heartbeatUrl, null, {
    ...SECRET,
    remedy: 'use the complete address that your monitor gives, beginning with https://',
  }),
  /** The file of the Ed25519 key (PEM) that signs statements; only `close` reads it. */
  statementKeyFile: row<string | null>('STATEMENT_KEY_FILE', kinds.line, null, {
    remedy: 'name the file of an Ed25519 key: openssl genpkey -algorithm ed25519 -out FILE',
  }),
  autoMigrate: row(
    'AUTO_MIGRATE',
    kinds.choice(['true', 'false']).transform((given) => given === 'true'),
    false,
  ),
  logLevel: row<Choice<typeof LOG_LEVELS>>('LOG_LEVEL', kinds.choice(LOG_LEVELS), 'info'),
  /** The token that can change organizations in Losant; null for commands that do not. */
  adminToken: row<string | null>('LOSANT_ADMIN_TOKEN', kinds.token(1), undefined, {
    ...TOKEN,
    neededBy: 'admin',
    remedy: 'create a token in Losant that may change organizations, and give it to this command only',
  }),
};

type Choice<T extends readonly string[]> = T[number];

export const INSTANCE_SETTINGS: readonly Setting<unknown>[] = Object.values(INSTANCE);

/** The settings that hold for all instances. */
export const SHARED_SETTINGS: readonly Setting<unknown>[] = [SERVICE, POLICY, REQUEST, HTTP].flatMap(
  (group: Group) => Object.values(group),
);

export const SETTINGS = [...INSTANCE_SETTINGS, ...SHARED_SETTINGS];

export function variablesOf({ env, isSecret }: Setting<unknown>): string[] {
  return isSecret ? [env, `${env}_FILE`] : [env];
}

function row<T>(
  env: string,
  kind: z.ZodType<T>,
  fallback: T | undefined,
  rest: Partial<Setting<T>> = {},
): Setting<T> {
  return { env, kind, fallback, remedy: `use e.g. ${String(fallback)}`, ...rest };
}

/** `inFile` allows settings in the settings file, under the names of their values if they have none. */
function inFile<G extends Group>(group: G): G {
  const entries = Object.entries(group).map(([name, setting]) => [name, { file: name, ...setting }]);
  return Object.fromEntries(entries) as G;
}
