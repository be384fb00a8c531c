/** Bodies of the API: their JSON without rounded numbers, schemas for its parts, and what does not fit them. */
import * as z from 'zod';

/** A number whose nearest double is a different integer; its text is cut to a length for messages. */
export class InexactNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  }
}

/** The value of a key that occurs more than once in its object. */
export const REPEATED_KEY = Symbol('repeated key');

/** The greatest nesting, deeper than any body of this API. */
const DEPTH_MAX = 200;

/** Matches a number that a double may round: one of 16 digits, with a fraction or with an exponent. */
const MAY_BE_INEXACT = /(?:^|[:,[\s])-?(?:\d{16}|\d+[.eE])[\d.eE+-]*\s*(?:[,\]}]|$)/;

/** Matches the end of a key; a string may contain text that looks like one. */
const KEY_END = /"\s*:/g;

/** Matches a string without its first quote, and the colon that makes it a key. */
const STRING = /"((?:[^"\\]+|\\.)*"\s*)(:?)/g;

/**
 * Parses JSON like `JSON.parse`, but puts a marker where that would change what was sent: {@link InexactNumber}
 * for a rounded integer, {@link REPEATED_KEY} for a repeated key. Only cells that use a marked value are rejected.
 * Throws SyntaxError for invalid JSON and for nesting beyond 200.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  const isWhole = countKeys(value) === (text.match(KEY_END)?.length ?? 0);
  return isWhole && !MAY_BE_INEXACT.test(text) ? value : parseMarked(text);
}

/**
 * Returns the number of keys of all objects in the value, which is lower than in its text if one is
 * repeated.
 */
function countKeys(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth >= DEPTH_MAX) throw new SyntaxError(`nested more than ${DEPTH_MAX} deep`);
  let keys = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const child of Object.values(value)) keys += countKeys(child, depth + 1);
  return keys;
}

/**
 * Reads a valid text. Each key is numbered before the text is parsed, so that none replaces
 * another.
 */
function parseMarked(text: string): unknown {
  let keys = 0;
  const numbered = text.replace(STRING, (string, rest: string, colon: string) =>
    colon === '' ? string : `"${keys++} ${rest}:`,
  );
  return JSON.parse(numbered, (_, value: unknown, ...[context]: { source?: string }[]) => {
    if (typeof value === 'number') return markNumber(value, context?.source ?? '');
    return typeof value === 'object' && value?.constructor === Object ? markKeys(value) : value;
  });
}

function markKeys(numbered: object): object {
  const map = new Map<string, unknown>();
  for (const [number, value] of Object.entries(numbered)) {
    const key = number.slice(number.indexOf(' ') + 1);
    map.set(key, map.has(key) ? REPEATED_KEY : value);
  }
  return Object.fromEntries(map);
}

/** Returns the number if it is no integer, or the one that its text says; otherwise a marker. */
function markNumber(value: number, text: string): number | InexactNumber {
  const [written, shortest] = [digitsOf(text), digitsOf(String(value))];
  const isSame = written.padEnd(shortest.length, '0') === shortest.padEnd(written.length, '0');
  const isFraction = Number.isFinite(value) && !Number.isInteger(value);
  return isFraction || (Number.isInteger(value) && isSame) ? value : new InexactNumber(text);
}

/** Returns the digits of a number from the first that is not 0, without its sign, point and exponent. */
function digitsOf(text: string): string {
  return text.replace(/e.*/i, '').replace(/[-.]/g, '').replace(/^0+/, '');
}

/**
 * A billed number: an integer from 0 to 2^53 − 1, exactly as it is written in the body. A missing one
 * is an error like any other.
 */
export const billedNumber = z.custom<number>((value) => findProblem(value) === null, {
  error: ({ input }) => findProblem(input) ?? undefined,
});

function findProblem(value: unknown): string | null {
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return `is not a whole number (${value})`;
    if (value < 0) return `is negative (${value})`;
    return Number.isSafeInteger(value) ? null : `is above 2^53 − 1 (${value})`;
  }
  if (value === undefined) return 'is missing';
  if (value === REPEATED_KEY) return 'appears twice';
  if (value instanceof InexactNumber) return `is ${value.text}, which cannot be stored without rounding`;
  return `is not a number but ${toStorableText(JSON.stringify(value).slice(0, 40))}`;
}

/** Returns the message for a key that its object has more than once; zod describes any other problem. */
export const ifRepeated = ({ input }: { readonly input?: unknown }) =>
  input === REPEATED_KEY ? 'appears twice' : undefined;

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
 * Returns the text with U+FFFD for NUL and lone surrogates, which neither text nor JSON in Postgres
 * can contain.
 */
export function toStorableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

/** Returns one storable line with the first three problems, each with its path. */
export function describeProblems({ issues }: z.ZodError): string {
  const problems = issues.slice(0, 3).map(({ path, message }) => {
    const keys = path.map((key) => toStorableText(String(key).slice(0, 40)));
    return `${keys.join('.') || 'body'}: ${message}`;
  });
  return problems.join('; ') + (issues.length > 3 ? ` and ${issues.length - 3} more` : '');
}
