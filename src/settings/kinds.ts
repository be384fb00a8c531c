/**
 * Schemas of values in settings and command-line options. A message continues the sentence that begins with the name;
 * the text after a `;` is the remedy, which replaces the setting's general one.
 */
import { validate } from 'node-cron';
import { z } from 'zod';
import { findNearestName, joinWithOr, quote } from '../terminal/words.ts';
import { isLosantId } from '../usage/organization.ts';
import { parseNotifyTime } from './notify-time.ts';

/** Returns the sentence about an invalid value. `remedy` is added unless the message has one after a `;`. */
export function describeValueProblem(name: string, value: string | null, message: string, remedy = ''): string {
  const sentence = `${name}${value === null ? '' : `=${quote(value)}`} ${message}`;
  return message.includes('; ') || remedy === '' ? sentence : `${sentence}; ${remedy}`;
}

export const line = z.string().trim();

/** Returns the schema of a comma-separated list without duplicates. */
export function list<T>(entry: z.ZodType<T, string>) {
  return z
    .string()
    .transform((text) => text.split(','))
    .refine((texts) => texts.length === 1 || texts.every((each) => each.trim() !== ''), {
      error: 'has an extra comma; remove it',
      abort: true,
    })
    .pipe(z.array(entry))
    .refine((all) => new Set(all).size === all.length, 'lists an entry twice; list each once');
}

export function choice<T extends string>(choices: readonly T[]): z.ZodType<T, string> {
  const error = ({ input }: { input?: unknown }) => {
    const nearest = findNearestName(String(input), choices);
    return `is not a known value; ${nearest === null ? `use ${joinWithOr(choices)}` : `did you mean ${nearest}?`}`;
  };
  return line.pipe(z.enum(choices, { error }));
}

export const booleanText = choice(['true', 'false']).transform((value) => value === 'true');

/** Returns the schema of a number; it is an integer if `min` is one. */
export function number(min: number, max: number, unit: string): z.ZodType<number, string> {
  const isWhole = Number.isInteger(min);
  const error = `is not a ${isWhole ? 'whole ' : ''}number from ${min} to ${max} (${unit})`;
  return line
    .regex(isWhole ? /^\d{1,9}$/ : /^\d{1,9}(\.\d{1,9})?$/, error)
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error, abort: true });
}

/** Returns the schema of an ID in lower case, in the form of https://docs.losant.com/rest-api/instance-org. */
export function idText(noun: 'instance' | 'organization') {
  return line.toLowerCase().refine(isLosantId, `is not an ${noun} ID (24 hex characters)`);
}

/** `all`, which becomes null, or IDs. */
export const orgSelection = list(
  line
    .toLowerCase()
    .refine((text) => text === 'all' || isLosantId(text), 'is not an organization ID (24 hex characters)'),
)
  .refine((ids) => ids.length === 1 || !ids.includes('all'), 'mixes all with IDs; use either all or IDs')
  .transform((ids): readonly string[] | null => (ids.includes('all') ? null : ids));

/** Returns the schema of a secret, which a header carries unchanged, so it is not trimmed. */
export function token(minLength: number): z.ZodType<string> {
  const error = 'contains quotes, spaces, line breaks or non-ASCII characters; give only the token';
  return z
    .string()
    .regex(/^(?!["'`])[\x21-\x7e]+$/, { error, abort: true })
    .min(minLength, `is shorter than ${minLength} characters`);
}

export function isLoopback(host: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|\[::1\]|::1|localhost)$/i.test(host);
}

const HTTP = /^https?$/;
const isEncrypted = (text: string) => /^https:/i.test(text) || isLoopback(URL.parse(text)?.hostname ?? '');

/** Returns the schema of an address on the web; `error` is the message for any other text. */
const address = (error: string) => line.pipe(z.url({ protocol: HTTP, error, abort: true }));

const plainAddress = (error: string) =>
  address(error).refine((text) => !/[@?#]/.test(text), {
    error: 'contains credentials, a query or a fragment; give only the address',
    abort: true,
  });

export const apiUrl = plainAddress('is not an https URL')
  .refine(isEncrypted, 'would send the token unencrypted; use https (plain http is allowed only for this machine)')
  .transform((text) => new URL(text).href.replace(/\/+$/, ''));

export const consoleUrl = plainAddress('is not an http or https URL').transform((text) => text.replace(/\/+$/, ''));

/** An address that is a secret. Those of Teams have an @ in their path. */
export const secretUrl = address('is not an http or https URL (not shown)').refine((text) => {
  const { username, password } = new URL(text);
  return username === '' && password === '';
}, 'contains credentials, which cannot be sent; remove them');

export const notifyTime = line.transform((text, context) => {
  const time = parseNotifyTime(text.replace(/\s+/g, ' '));
  if (time !== null) return time;
  context.addIssue({ code: 'custom', input: text, message: 'is not a time HH:MM with a time zone' });
  return z.NEVER;
});

const NAME = '[a-z\\d_]([a-z\\d._-]*[a-z\\d])?';

export const host = line.regex(new RegExp(`^(${NAME}|[\\da-f]*:[\\da-f:.]*)$`, 'i'), 'is not a host name');

export const domain = line.regex(new RegExp(`^${NAME}(:\\d{1,5})?$`, 'i'), 'is not a host name');

export const schedule = line
  .transform((text) => text.replace(/\s+/g, ' '))
  .refine((text) => text.split(' ').length === 5 && validate(text), 'is not a five-field cron expression (UTC)');

/** The parameters that have an effect. The driver ignores a misspelled sslmode and connects without TLS. */
const PARAMETERS =
  'sslmode, sslrootcert, sslcert, sslkey, uselibpqcompat, host, options, application_name, client_encoding';
const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];

/**
 * The URL of a server, or `embedded:DIR`. Only what connecting would not report well is checked. An unencoded / ? or #
 * in a password would end the host part there and show the rest in messages, so no @ may follow it.
 */
export const databaseUrl = line
  .regex(/^(postgres(ql)?:\/\/[^/?#\s]*([/?][^#@\s]*)?|embedded:[^\r\n]+)$/, {
    error: 'is not a database URL, or has quotes around it (value not shown)',
    abort: true,
  })
  .refine((url) => !splitDatabaseUrl(url).hosts.includes(','), {
    error: 'names several hosts; use the primary, or a name that always points to it',
    abort: true,
  })
  .refine((url) => listParameters(url).every((each) => PARAMETERS.split(', ').includes(each)), {
    error:
      'has a parameter after the ? that this program does not know (not shown, because it may be part of a password)' +
      `; supported parameters are ${PARAMETERS}; in user and password, write ? as %3F`,
    abort: true,
  })
  .refine(
    (url) => new Set(listParameters(url)).size === listParameters(url).length,
    'has a parameter twice, of which the driver would use the last one; keep one of them',
  )
  .refine(
    (url) => url.startsWith('embedded:') || URL.canParse(url.replace('@/', '@host/')),
    'has a host or port that is not valid (value not shown)',
  )
  .refine(
    (url) => SSL_MODES.includes(splitDatabaseUrl(url).parameters.get('sslmode') ?? 'disable'),
    `has an unknown sslmode, which would disable encryption; use ${joinWithOr(SSL_MODES)}`,
  )
  // The driver treats these modes as verify-full too, but warns about them in eight lines. With uselibpqcompat they
  // have libpq's weaker meaning.
  .transform((url) =>
    url.includes('uselibpqcompat=') ? url : url.replace(/(?<=sslmode=)(prefer|require|verify-ca)/, 'verify-full'),
  );

function splitDatabaseUrl(url: string): { hosts: string; parameters: URLSearchParams } {
  const [, hosts = '', query = ''] = /^postgres(?:ql)?:\/\/(?:[^/?]*@)?([^/?]*)[^?]*\??(.*)$/.exec(url) ?? [];
  return { hosts, parameters: new URLSearchParams(query) };
}

const listParameters = (url: string) => [...splitDatabaseUrl(url).parameters.keys()];

/** Returns whether data goes to the database unencrypted. With TLS in the URL, the driver never connects without. */
export function isPlainText(url: string): boolean {
  const { hosts, parameters } = splitDatabaseUrl(url);
  const host = parameters.get('host') || hosts.replace(/:\d*$/, '');
  const isSocket = host === '' || host.startsWith('/') || host.startsWith('%2F');
  const isTls = [...parameters].some(([name, value]) => name.startsWith('ssl') && value !== '');
  return !isSocket && !isLoopback(host) && (!isTls || parameters.get('sslmode') === 'disable');
}
