/**
 * Schemas of values. A message completes the sentence that a setting's name begins; the text after a `;` is the
 * remedy, in place of the setting's own.
 */
import { validate } from 'node-cron';
import { z } from 'zod';
import { nearestName, oneOf } from '../terminal/spelling.ts';
import type { OrgSelection } from '../usage/organization.ts';

export const line = z.string().trim();

/** Returns the schema of a list that is written with commas between its entries, of which none may come twice. */
export function list<T>(entry: z.ZodType<T, string>) {
  return z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(entry))
    .refine((all) => new Set(all).size === all.length, 'lists an entry twice; list each once');
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
    .refine((value) => value >= min && value <= max, { error, abort: true });
}

/** The form of an id: https://docs.losant.com/rest-api/instance-org */
export const instanceId = line.regex(/^[0-9a-f]{24}$/i, 'is not an instance id').toLowerCase();

/** `all`, or ids. */
export const orgSelection = list(
  line.regex(/^([0-9a-f]{24}|all)$/i, 'is not an organization id').toLowerCase(),
)
  .refine((ids) => ids.length === 1 || !ids.includes('all'), 'mixes all with ids; use either all or ids')
  .transform((ids): OrgSelection => (ids.includes('all') ? { kind: 'all' } : { kind: 'ids', orgIds: ids }));

/** Returns the schema of a secret that a header carries as it is, so that nothing around it is dropped. */
export function token(minLength: number): z.ZodType<string> {
  return z
    .string()
    .regex(/^(?!["'`])[\x21-\x7e]+$/, {
      error: 'has quotes, spaces, line breaks or non-ASCII characters; give the token alone',
      abort: true,
    })
    .min(minLength, `is shorter than ${minLength} characters`);
}

/** Returns whether a host of HTTP_HOST or of a URL is this machine alone. */
export function isLoopback(host: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|\[::1\]|::1|localhost)$/i.test(host);
}

const HTTP = /^https?$/;
const isEncrypted = (text: string) => /^https:/i.test(text) || isLoopback(URL.parse(text)?.hostname ?? '');

export const apiUrl = line
  .pipe(z.url({ protocol: HTTP, error: 'is not an https URL', abort: true }))
  .refine((text) => !/[@?#]/.test(text), {
    error: 'has a login, a query or a fragment; give the address alone: the token is enough',
    abort: true,
  })
  .refine(isEncrypted, 'would send the token unencrypted; use https; plain http is only for this machine')
  .transform((text) => new URL(text).href.replace(/\/+$/, ''));

export const heartbeatUrl = line
  .pipe(z.url({ protocol: HTTP, error: 'is not an http or https URL (not shown)', abort: true }))
  .refine((text) => !text.includes('@'), 'has a login in it, which cannot be sent; use an address without');

const NAME = '[a-z\\d_]([a-z\\d._-]*[a-z\\d])?';

export const host = line.regex(new RegExp(`^(${NAME}|[\\da-f]*:[\\da-f:.]*)$`, 'i'), 'is not a host name');

export const domain = line.regex(new RegExp(`^${NAME}(:\\d{1,5})?$`, 'i'), 'is not a host name');

export const schedule = line
  .transform((text) => text.replace(/\s+/g, ' '))
  .refine(
    (text) => text.split(' ').length === 5 && validate(text),
    'is not a cron expression of five fields, in UTC',
  );
