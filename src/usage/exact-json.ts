/**
 * JSON whose numbers are judged by their text. `JSON.parse` rounds a number to
 * the nearest double and keeps the last of a repeated key: a billed number could
 * come through that nobody sent. Here such a place in the body holds a marker
 * instead, so that only what depends on it is refused.
 */

/** A number that a double turns into an integer it is not. */
export class InexactNumber {
  /** As it stands in the body, cut to a length for messages. */
  readonly text: string;

  constructor(text: string) {
    this.text = text.length > SHOWN_DIGITS ? `${text.slice(0, SHOWN_DIGITS)}…` : text;
  }
}

/** The value of a key that its object has more than once. */
export class RepeatedKey {
  readonly key: string;

  constructor(key: string) {
    this.key = key;
  }
}

const SHOWN_DIGITS = 60;

/** Integers of up to this many digits are exact in a double. */
const SAFE_DIGITS = 15;

/** Deeper than any body of this API; what follows here recurses. */
const DEPTH_MAX = 200;

const QUOTE = 0x22;
const COMMA = 0x2c;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const UPPER_E = 0x45;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const LOWER_E = 0x65;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;

/**
 * The value of a JSON text, with an {@link InexactNumber} or {@link RepeatedKey}
 * where the text has one. Fractions stay what `JSON.parse` makes of them. Throws
 * SyntaxError for a text that is not JSON, or is nested more than 200 deep.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  const { keys, isPlain } = scan(text);
  return isPlain && countKeys(value) === keys ? value : new ExactParser(text).parse();
}

/** Looks a valid JSON text over once. Plain: every number in it is an integer of few digits. */
function scan(text: string): { readonly keys: number; readonly isPlain: boolean } {
  const { length } = text;
  let keys = 0;
  let depth = 0;
  let isPlain = true;
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (code === COLON) {
      keys += 1;
    } else if (code >= ZERO && code <= NINE) {
      const start = at;
      while (isDigit(text.charCodeAt(at + 1))) at += 1;
      if (at - start >= SAFE_DIGITS || isFractionOrExponent(text.charCodeAt(at + 1))) isPlain = false;
    } else if (code === OPEN_MAP || code === OPEN_LIST) {
      depth += 1;
      if (depth > DEPTH_MAX) throw new SyntaxError(`nested more than ${DEPTH_MAX} deep`);
    } else if (code === CLOSE_MAP || code === CLOSE_LIST) {
      depth -= 1;
    }
  }
  return { keys, isPlain };
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (let code = text.charCodeAt(at); code !== QUOTE; code = text.charCodeAt(at)) {
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

function isFractionOrExponent(code: number): boolean {
  return code === DOT || code === LOWER_E || code === UPPER_E;
}

/** Keys of all objects in the value. Fewer than the text has colons: one was repeated. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) {
    let inList = 0;
    for (const item of value) inList += countKeys(item);
    return inList;
  }
  let count = 0;
  // Twice as fast as Object.keys; a parsed object inherits nothing that is enumerable.
  for (const key in value) count += 1 + countKeys((value as Record<string, unknown>)[key]);
  return count;
}

/** Reads a text that `JSON.parse` has accepted: it checks no grammar. */
class ExactParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): unknown {
    this.#skipSpace();
    const code = this.#text.charCodeAt(this.#at);
    if (code === OPEN_MAP) return this.#parseMap();
    if (code === OPEN_LIST) return this.#parseList();
    if (code === QUOTE) return this.#parseString();
    return this.#parseWord();
  }

  #parseMap(): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    this.#at += 1;
    while (this.#next() !== CLOSE_MAP) {
      const key = this.#parseString();
      // The colon.
      this.#next();
      this.#at += 1;
      const value = this.parse();
      const held = Object.hasOwn(map, key) ? new RepeatedKey(key) : value;
      if (key === '__proto__') setProtoKey(map, held);
      else map[key] = held;
    }
    this.#at += 1;
    return map;
  }

  #parseList(): unknown[] {
    const list: unknown[] = [];
    this.#at += 1;
    while (this.#next() !== CLOSE_LIST) list.push(this.parse());
    this.#at += 1;
    return list;
  }

  #parseString(): string {
    const end = endOfString(this.#text, this.#at) + 1;
    const raw = this.#text.slice(this.#at, end);
    this.#at = end;
    return JSON.parse(raw) as string;
  }

  /** A number, `true`, `false` or `null`. */
  #parseWord(): unknown {
    const start = this.#at;
    while (isWordPart(this.#text.charCodeAt(this.#at))) this.#at += 1;
    const word = this.#text.slice(start, this.#at);
    const value: unknown = JSON.parse(word);
    return typeof value === 'number' && !isKept(word, value) ? new InexactNumber(word) : value;
  }

  /** The next character that is neither space nor a comma. */
  #next(): number {
    this.#skipSpace();
    while (this.#text.charCodeAt(this.#at) === COMMA) {
      this.#at += 1;
      this.#skipSpace();
    }
    return this.#text.charCodeAt(this.#at);
  }

  #skipSpace(): void {
    while (this.#text.charCodeAt(this.#at) <= 0x20) this.#at += 1;
  }
}

/** By assignment the key would become the object's prototype. */
function setProtoKey(map: Record<string, unknown>, value: unknown): void {
  Object.defineProperty(map, '__proto__', { value, writable: true, enumerable: true, configurable: true });
}

/** Digits, letters, `+`, `-` and `.`: nothing that may follow a number or a word. NaN at the end of the text. */
function isWordPart(code: number): boolean {
  return code > 0x20 && code !== COMMA && code !== CLOSE_LIST && code !== CLOSE_MAP;
}

/** Whether the double is what the number's text says, or a fraction that nobody takes for an integer. */
function isKept(text: string, value: number): boolean {
  if (!Number.isFinite(value)) return false;
  if (!Number.isInteger(value)) return true;
  const [mantissa = '', exponent = '0'] = text.replace(/^-/, '').split(/[eE]/);
  const [whole = '', fraction = ''] = mantissa.split('.');
  const digits = `${whole}${fraction}`;
  // Not by a regular expression, which takes quadratic time on many zeros.
  let length = digits.length;
  while (digits.charCodeAt(length - 1) === ZERO) length -= 1;
  if (length === 0) return true;
  const significant = digits.slice(0, length);
  // The number is `significant` times ten to this power.
  const power = Number(exponent) - fraction.length + (digits.length - length);
  return power >= 0 && BigInt(significant + '0'.repeat(power)) === BigInt(Math.abs(value));
}
