/**
 * Schemas of values. A message completes the sentence that a setting's name begins; the text after a `;` is the
 * remedy, in place of the setting's own.
 */
import { validateDetailed } from 'node-cron';
import { z } from 'zod';
import { nearestName, oneOf } from '../terminal/spelling.ts';
import type { OrgSelection } from '../usage/organization.ts';

export const line = z.string().trim();

/** Returns the options of a rule after which no further rule makes sense. */
export function last(error: string) {
  return { error, abort: true };
}

/** Returns the schema of a list that is written with commas between its entries. */
export function list<T>(entry: z.ZodType<T, string>) {
  return z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(entry));
}

export function listedOnce({ value, issues }: z.core.ParsePayload<readonly unknown[]>): void {
  const input = value.find((each, i) => value.indexOf(each) !== i);
  if (input !== undefined) issues.push({ code: 'custom', input, message: 'is listed twice; list each once' });
}

export function choice<T extends string>(choices: readonly T[]): z.ZodType<T, string> {
  const error = ({ input }: { input?: unknown }) => {
    const near = nearestName(String(input), choices);
    return `is not known; ${near === null ? `use ${oneOf(choices)}` : `did you mean ${near}?`}`;
  };
  return line.pipe(z.enum(choices, { error }));
}

/** Returns the schema of a number, which is an integer if `min` is. */
export function number(min: number, max: number, unit: string): z.ZodType<number, string> {
  const isWhole = Number.isInteger(min);
  const error = `is not a ${isWhole ? 'whole ' : ''}number from ${min} to ${max} (${unit})`;
  return line
    .regex(isWhole ? /^\d{1,9}$/ : /^\d{1,9}(\.\d{1,9})?$/, error)
    .transform(Number)
    .refine((value) => value >= min && value <= max, error);
}

/** The form of an id: https://docs.losant.com/rest-api/instance-org */
export const instanceId = line.regex(/^[0-9a-f]{24}$/i, 'is not an instance id').toLowerCase();

/** `all`, or ids. */
export const orgSelection = list(
  line.regex(/^([0-9a-f]{24}|all)$/i, 'is not an organization id').toLowerCase(),
)
  .check(listedOnce)
  .refine((ids) => ids.length === 1 || !ids.includes('all'), 'mixes all with ids; use either all or ids')
  .transform((ids): OrgSelection => (ids.includes('all') ? { kind: 'all' } : { kind: 'ids', orgIds: ids }));

const ALONE = 'give the token alone, without quotes, spaces or line breaks';

/** Returns the schema of a secret that a header carries as it is, so that nothing around it is dropped. */
export function token(minLength: number): z.ZodType<string> {
  return z
    .string()
    .refine((text) => text.trim() === text, last(`begins or ends with a space; ${ALONE}`))
    .regex(/^[\x21-\x7e]+$/, last(`contains whitespace, control or non-ASCII characters; ${ALONE}`))
    .refine((text) => !isQuoted(text), last(`is in quotes, which would be sent along; ${ALONE}`))
    .min(minLength, `is shorter than ${minLength} characters`);
}

export function isQuoted(text: string): boolean {
  return /^(["'`]).*\1$/s.test(text);
}

/** Returns whether a host of HTTP_HOST or of a URL is this machine alone. */
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

const NAME = '[a-z\\d_]([a-z\\d._-]*[a-z\\d])?';

export const host = line.regex(new RegExp(`^(${NAME}|[\\da-f]*:[\\da-f:.]*)$`, 'i'), 'is not a host name');

export const domain = line.regex(new RegExp(`^${NAME}(:\\d{1,5})?$`, 'i'), 'is not a host name');

const LOCAL =
  'has a time zone, but wake-ups are in UTC: a local zone skips or repeats an hour each year; ' +
  'remove it and write the hours in UTC';

/** The usual names of schedules, each with its five fields. */
const NAMED: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
};

export const schedule = line
  .transform((text) => NAMED[text.toLowerCase()] ?? text.replace(/\s+/g, ' '))
  .refine((text) => !/(^| )(CRON_)?TZ=/i.test(text), last(LOCAL))
  .refine((text) => text.split(' ').length === 5 && validateDetailed(text).valid, {
    error: ({ input }) => {
      const text = String(input);
      const [error] = text.split(' ').length === 5 ? validateDetailed(text).errors : [];
      return `is not a cron expression of five fields${error ? `: see ${error.field}` : ''}`;
    },
  });
