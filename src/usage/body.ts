/** Schemas for the parts of the API's bodies, and the description of a body that does not fit. */
import * as z from 'zod';
import { InexactNumber, REPEATED_KEY } from './exact-json.ts';

/**
 * A billed number: an integer from 0 to 2^53 − 1, exactly as it is written in the body. A missing one
 * is an error like any other.
 */
export const billed = z.custom<number>((value) => findProblem(value) === null, {
  error: ({ input }) => findProblem(input) ?? undefined,
});

function findProblem(value: unknown): string | null {
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return `is not a whole number (${value})`;
    if (value < 0) return `is negative (${value})`;
    return Number.isSafeInteger(value) ? null : `is above 2^53 − 1 (${value})`;
  }
  if (value === undefined) return 'is missing';
  if (value === REPEATED_KEY) return 'occurs twice';
  if (value instanceof InexactNumber) return `is ${value.text}, which cannot be stored without rounding`;
  if (typeof value === 'string') return 'is not a number but text';
  if (typeof value === 'object') {
    return `is not a number but ${value === null ? 'null' : Array.isArray(value) ? 'a list' : 'a map'}`;
  }
  return `is not a number but a ${typeof value}`;
}

/** Returns the message for a key that its object has more than once; zod describes any other problem. */
export const ifRepeated = ({ input }: { readonly input?: unknown }) =>
  input === REPEATED_KEY ? 'occurs twice' : undefined;

/** A time with its zone, as ms since 1970. */
export const instant = z.iso
  .datetime({ offset: true, error: ifRepeated })
  .transform((iso) => Date.parse(iso));

/** An id, in lower case. */
export const hexId = z
  .string()
  .regex(/^[A-Fa-f\d]{24}$/, 'not an id of 24 hex digits')
  .transform((id) => id.toLowerCase());

/**
 * `storable` returns the text with U+FFFD for NUL and lone surrogates, which neither text nor JSON in Postgres
 * can contain.
 */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

/** `describeProblems` returns one storable line with the first three problems, each with its path. */
export function describeProblems({ issues }: z.ZodError): string {
  const problems = issues.slice(0, 3).map(({ path, message }) => {
    const keys = path.map((key) => storable(String(key).slice(0, 40)));
    return `${keys.join('.') || 'body'}: ${message}`;
  });
  return problems.join('; ') + (issues.length > 3 ? ` and ${issues.length - 3} more` : '');
}
