/** Parses bodies of the API: JSON without rounded numbers, and schemas for its parts. */
import * as z from 'zod';

/** A number that a double would turn into a different integer. Its text is cut for messages. */
export class InexactNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  }
}

/** The value of a key that its object has more than once. */
export const REPEATED_KEY = Symbol('repeated key');

/** Deeper than any body of this API, and no danger to the stack. */
const DEPTH_MAX = 200;

/** Matches a number that a double may round: it has 16 digits, a fraction or an exponent. */
const MAY_BE_INEXACT = /(?:^|[:,[\s])-?(?:\d{16}|\d+[.eE])[\d.eE+-]*\s*(?:[,\]}]|$)/;

/** Matches the end of a key; a string may contain text that looks like one. */
const KEY_END = /"\s*:/g;

/** Matches a string without its first quote, and the colon that makes it a key. */
const STRING = /"((?:[^"\\]+|\\.)*"\s*)(:?)/g;

/**
 * Parses JSON like `JSON.parse`, but with a marker, {@link InexactNumber} or {@link REPEATED_KEY}, where that would
 * change what was sent. Throws SyntaxError for invalid JSON and for nesting beyond 200.
 *
 * JSON.parse loses two things that matter for billing: it rounds integers above 2^53, and of repeated keys it keeps the
 * last. A reviver cannot see either, because both happen before it runs. So the text is parsed normally first. If the
 * result has as many keys as the text has `"…":`, and no number is long enough to be rounded, nothing was lost.
 * Otherwise (a string that merely looks like a key is enough) the text is parsed again. Every key gets a sequence
 * number, so that none replaces another, and the digits of each number in the text are compared with the double's.
 * What differs becomes a marker. Schemas reject markers, so only cells that use such a value are quarantined;
 * the rest of the response is loaded.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  const hasAllKeys = countKeys(value) === (text.match(KEY_END)?.length ?? 0);
  return hasAllKeys && !MAY_BE_INEXACT.test(text) ? value : parseMarked(text);
}

/** Counts the keys of all objects in the value: fewer than in its text if one is repeated. */
function countKeys(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth >= DEPTH_MAX) throw new SyntaxError(`nested more than ${DEPTH_MAX} deep`);
  let keys = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const child of Object.values(value)) keys += countKeys(child, depth + 1);
  return keys;
}

function parseMarked(text: string): unknown {
  let keys = 0;
  const numbered = text.replace(STRING, (string, content: string, colon: string) =>
    colon === '' ? string : `"${keys++} ${content}:`,
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

/** Returns the number if it has a fraction or is exactly the integer in the text; otherwise a marker. */
function markNumber(value: number, text: string): number | InexactNumber {
  const [digits, shortest] = [extractDigits(text), extractDigits(String(value))];
  const isSame = digits.padEnd(shortest.length, '0') === shortest.padEnd(digits.length, '0');
  const isFraction = Number.isFinite(value) && !Number.isInteger(value);
  return isFraction || (Number.isInteger(value) && isSame) ? value : new InexactNumber(text);
}

/** Returns the significant digits of a number, without sign, point, exponent and leading zeros. */
function extractDigits(text: string): string {
  return text.replace(/e.*/i, '').replace(/[-.]/g, '').replace(/^0+/, '');
}

/** A required integer from 0 to 2^53 − 1, exactly as written in the body. */
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

/** An error map for zod, which describes any other problem itself. */
export const describeRepeatedKey = ({ input }: { input?: unknown }) =>
  input === REPEATED_KEY ? 'appears twice' : undefined;

/** An ISO time with its zone, transformed into ms since 1970. */
export const instant = z.iso.datetime({ offset: true, error: describeRepeatedKey }).transform((iso) => Date.parse(iso));

/** Replaces NUL and lone surrogates, which neither text nor JSON in Postgres can contain, by U+FFFD. */
export function toStorableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

/** Formats the first three problems with their paths, as a line that Postgres can store. */
export function describeProblems({ issues }: z.ZodError): string {
  const problems = issues.slice(0, 3).map(({ path, message }) => {
    const keys = path.map((key) => toStorableText(String(key).slice(0, 40)));
    return `${keys.join('.') || 'body'}: ${message}`;
  });
  return problems.join('; ') + (issues.length > 3 ? ` and ${issues.length - 3} more` : '');
}
