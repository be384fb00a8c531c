/**
 * Schemas of values. A message completes the sentence that a setting's name begins; the text after a
 * `;` is the remedy, in place of the setting's own.
 */
import { validateDetailed } from 'node-cron';
import { z } from 'zod';
import type { OrgSelection } from '../usage/organization.ts';
import { nearestName, oneOf } from './problems.ts';

const COMPARE = 'compare with deploy/losant-usage.example.yaml';

/** The length to which an unknown key is cut; no key of the settings file is as long. */
const LONGEST_KEY = 40;

export const line = z.string(`is not a text; ${COMPARE}`).trim();

/** `last` returns the options of a rule after which no further rule makes sense. */
function last(error: string) {
  return { error, abort: true };
}

export function list<T>(entry: z.ZodType<T>): z.ZodType<T[]> {
  return z.array(entry, `is not a list; ${COMPARE}`);
}

export function map<S extends z.ZodRawShape>(shape: S) {
  const error = (issue: { readonly code?: string; readonly keys?: readonly string[] }) => {
    if (issue.code !== 'unrecognized_keys') return `is not a map; ${COMPARE}`;
    // Keys are cut because one may be a secret by mistake.
    const keys = (issue.keys ?? []).map((key) => key.slice(0, LONGEST_KEY));
    const near = keys.flatMap((key) => nearestName(key, Object.keys(shape)) ?? []).join(', ');
    const problem = `has ${keys.length === 1 ? 'an unknown key' : 'unknown keys'}: ${keys.join(', ')}`;
    return `${problem}; ${near === '' ? 'remove it' : `did you mean ${near}?`}`;
  };
  return z.strictObject(shape, { error }).partial();
}

export function set<T>(entry: z.ZodType<T>): z.ZodType<T[]> {
  return list(entry).check(({ value, issues }) => {
    const input = value.find((each, i) => value.indexOf(each) !== i);
    const message = 'is listed twice; list each once';
    if (input !== undefined) issues.push({ code: 'custom', input, message });
  });
}

export function choice<T extends string>(choices: readonly T[]): z.ZodType<T> {
  const error = ({ input }: { input?: unknown }) => {
    const near = nearestName(String(input), choices);
    return `is not known; ${near === null ? `use ${oneOf(choices)}` : `did you mean ${near}?`}`;
  };
  return line.pipe(z.enum(choices, { error }));
}

/** `number` returns the schema of a number. It is an integer if `min` is. */
export function number(min: number, max: number, unit: string): z.ZodType<number> {
  const isWhole = Number.isInteger(min);
  const error = `is not a ${isWhole ? 'whole ' : ''}number from ${min} to ${max} (${unit})`;
  return line
    .regex(isWhole ? /^\d{1,9}$/ : /^\d{1,9}(\.\d{1,9})?$/, error)
    .transform(Number)
    .refine((value) => value >= min && value <= max, error);
}

/** The form of an id: https://docs.losant.com/rest-api/instance-org */
const ID = /^[0-9a-f]{24}$/i;

export const instanceId = line.regex(ID, 'is not an instance id').toLowerCase();

export const EVERY_ORG: OrgSelection = { kind: 'all', names: null, tags: null, exclude: [] };

const orgIds = set(line.regex(/^([0-9a-f]{24}|all)$/i, 'is not an organization id').toLowerCase())
  .refine((ids) => ids.length === 1 || !ids.includes('all'), 'mixes all with ids; use either all or ids')
  .transform((ids): OrgSelection => (ids.includes('all') ? EVERY_ORG : { kind: 'ids', orgIds: ids }));

const EMPTY = 'is empty; write something there, or remove it';
const some = z.string('is not a text').regex(/\S/, EMPTY);
const tag = some.regex(/^\s*[^\s=]/, 'has no key; write key=value, or key for any value');
const oneOrMore = (entry: z.ZodType<string>) => list(entry).refine(({ length }) => length > 0, EMPTY);
const orgRules = map({ names: oneOrMore(some), tags: oneOrMore(tag), exclude: list(some) }).transform(
  ({ names = null, tags = null, exclude = [] }): OrgSelection => {
    const excluded = exclude.map((entry) => (ID.test(entry) ? entry.toLowerCase() : entry));
    return { kind: 'all', names, tags, exclude: excluded };
  },
);

/** The selection of organizations: `all`, ids, or rules in the settings file. */
export const orgSelection = z.unknown().transform((raw, { issues }): OrgSelection => {
  const isRules = typeof raw === 'object' && !Array.isArray(raw);
  const kind: z.ZodType<OrgSelection> = isRules ? orgRules : orgIds;
  const { success, data, error } = kind.safeParse(typeof raw === 'string' ? [raw] : raw, {
    reportInput: true,
  });
  if (success) return data;
  for (const { path, message, input } of error.issues) issues.push({ code: 'custom', path, message, input });
  return z.NEVER;
});

/** `token` returns the schema of a secret that a header carries as it is: spaces around it are wrong. */
export function token(minLength: number): z.ZodType<string> {
  const alone = 'give the token alone, without quotes, spaces or line breaks';
  return z
    .string('is not a text')
    .regex(/^[\x21-\x7e]+$/, last(`contains whitespace, control or non-ASCII characters; ${alone}`))
    .refine((text) => !/^["'`].*["'`]$/.test(text), last(`is in quotes, which would be sent along; ${alone}`))
    .min(minLength, `is shorter than ${minLength} characters`);
}

/** `isLoopback` returns whether a host of HTTP_HOST or of a URL is this machine alone. */
export function isLoopback(host: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|\[::1\]|::1|localhost)$/i.test(host);
}

const isHttp = (text: string) => /^https?:$/.test(URL.parse(text)?.protocol ?? '');
const hasNoLogin = (text: string) => URL.parse(text)?.username === '' && URL.parse(text)?.password === '';
const isEncrypted = (text: string) => /^https:/i.test(text) || isLoopback(URL.parse(text)?.hostname ?? '');

export const apiUrl = line
  .refine((text) => URL.canParse(text), last('is not a URL'))
  .refine(isHttp, last('is neither https nor http'))
  .refine(hasNoLogin, last('has a user name or password in it; remove them: the token is enough'))
  .refine((text) => !/[?#]/.test(text), last('has a query or fragment; end the URL before the ? or #'))
  .refine(isEncrypted, 'would send the token unencrypted; use https; plain http is only for this machine')
  .transform((text) => new URL(text).href.replace(/\/+$/, ''));

export const heartbeatUrl = line
  .refine(isHttp, last('is not an http or https URL (not shown)'))
  .refine(hasNoLogin, 'has a login in it, which cannot be sent; use an address that needs no login');

/** A database URL. Its form and parameters are checked; connecting yields a better message about the rest. */
export const databaseUrl = line
  .regex(/^(postgres(ql)?:\/\/\S+|embedded:[^\r\n]+)$/, 'is not a database URL (not shown)')
  .superRefine((text, context) => {
    const message = describeUrlProblem(text);
    if (message !== null) context.addIssue({ code: 'custom', message });
  });

const NAME = '[a-z\\d_]([a-z\\d._-]*[a-z\\d])?';

export const host = line.regex(new RegExp(`^(${NAME}|[\\da-f]*:[\\da-f:.]*)$`, 'i'), 'is not a host name');

export const domain = line.regex(new RegExp(`^${NAME}(:\\d{1,5})?$`, 'i'), 'is not a host name');

const LOCAL =
  'has a time zone, but wake-ups are in UTC: a local zone skips or repeats an hour each year; ' +
  'remove it and write the hours in UTC';

export const schedule = line
  .transform((text) => text.replace(/\s+/g, ' '))
  .refine((text) => !/(^| )(CRON_)?TZ=/i.test(text), last(LOCAL))
  .refine((text) => validateDetailed(text).valid && (text.startsWith('@') || text.split(' ').length === 5), {
    error: ({ input }) => {
      const text = String(input);
      const [error] = text.split(' ').length === 5 ? validateDetailed(text).errors : [];
      return `is not a cron expression of five fields${error ? `: see ${error.field}` : ''}`;
    },
  });

/** The parameters that have an effect. The driver ignores all others, and with a misspelt sslmode connects without TLS. */
const PARAMETERS: readonly string[] = [
  ...['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'uselibpqcompat'],
  ...['host', 'options', 'application_name', 'client_encoding'],
];

const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];

/** A URL that is readable: with an unencoded / ? or # in its password, what follows is none of these parts. */
const PARTS =
  /^postgres(?:ql)?:\/\/(?:[^/?#\s@]*@)?(?<hosts>[^/?#\s@]*)(?:\/[^?#\s@]*)?(?:\?(?<query>[^#\s@]*))?$/i;

function partsOf(url: string): { hosts: string; parameters: URLSearchParams } | null {
  const groups = PARTS.exec(url)?.groups;
  if (groups === undefined) return null;
  return { hosts: groups['hosts'] ?? '', parameters: new URLSearchParams(groups['query'] ?? '') };
}

/** `describeUrlProblem` returns the problem of a database URL and its remedy, without the URL; null if it has none. */
export function describeUrlProblem(url: string): string | null {
  const parts = partsOf(url);
  if (parts === null) return null;
  if (parts.hosts.includes(',')) {
    return 'names several hosts, of which the program would use none; name the one that writes, or a name that follows it';
  }
  const unknown = [...parts.parameters.keys()].find((each) => !PARAMETERS.includes(each));
  if (unknown !== undefined) {
    if (unknown === 'ssl') return 'has the parameter ssl, which says not enough; use sslmode=verify-full';
    const near = nearestName(unknown, PARAMETERS);
    // What is not nearly a parameter may be a part of a password.
    return near === null
      ? `has a parameter (not shown) that has no effect; remove it: known are ${oneOf(PARAMETERS)}`
      : `has the parameter ${unknown}, which has no effect; did you mean ${near}?`;
  }
  const mode = parts.parameters.get('sslmode');
  if (mode === null || SSL_MODES.includes(mode)) return null;
  return `has an sslmode that is not known, which would mean no encryption; use ${oneOf(SSL_MODES)}`;
}

/** How the connection to the server of a URL is protected; `local` never leaves this machine. */
export type Encryption = 'verified' | 'unverified' | 'none' | 'local';

/** `encryptionOf` returns what a URL asks for. With TLS asked for, nothing connects without. */
export function encryptionOf(url: string): Encryption {
  const parts = partsOf(url);
  const parameters = parts?.parameters ?? new URLSearchParams();
  const mode = parameters.get('sslmode') ?? 'disable';
  if (mode === 'no-verify') return 'unverified';
  if (mode !== 'disable') {
    return parameters.has('uselibpqcompat') && mode !== 'verify-full' ? 'unverified' : 'verified';
  }
  const host = (parts?.hosts ?? '').replace(/:\d*$/, '');
  const isSocket = host === '' || host.startsWith('%2F') || (parameters.get('host') ?? '').startsWith('/');
  return url.startsWith('embedded:') || isSocket || isLoopback(host) ? 'local' : 'none';
}

/** The warning about a connection that others can read; null for every other. */
export function warnOfPlainText(url: string | null): string | null {
  if (url === null || encryptionOf(url) !== 'none') return null;
  return 'DATABASE_URL: password and numbers are sent unencrypted; add ?sslmode=verify-full, unless nobody can listen in between';
}
