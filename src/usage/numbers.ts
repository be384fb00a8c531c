/** The numbers of a cell, by column of `usage_days`: compared, and what differs between two versions. */

/** Payloads by type and source. */
export type PayloadSources = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** The numbers of a cell: a number per column, of hours 24 numbers, of sources a number per type and source. */
export type Numbers = Readonly<Record<string, number | readonly number[] | PayloadSources>>;

/** A number within a cell: a column, or an hour of it. */
export interface Part {
  readonly column: string;
  /** The UTC hour, 0 to 23; null where the column has one number. */
  readonly hour: number | null;
}

/** Returns the number of a part; 0 if there is none. */
export function numberAt(numbers: Numbers, { column, hour }: Part): number {
  const value = numbers[column];
  if (typeof value === 'number') return value;
  return Array.isArray(value) && hour !== null ? (value[hour] as number) : 0;
}

/** Returns how a part is called in messages: `payload_all_count`, or `hours_all_count 13:00`. */
export function nameOf({ column, hour }: Part): string {
  return hour === null ? column : `${column} ${String(hour).padStart(2, '0')}:00`;
}

/** Whether any number is other than zero. */
export function hasAnyNumber(numbers: Numbers): boolean {
  return Object.values(numbers).some(isOtherThanZero);
}

function isOtherThanZero(value: unknown): boolean {
  if (typeof value === 'number') return value !== 0;
  return Object.values(value as object).some(isOtherThanZero);
}

/** Whether two versions have the same keys and values. */
export function sameNumbers(a: Numbers, b: Numbers): boolean {
  return isSame(a, b);
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && isSame(valueOf(a, key), valueOf(b, key)));
}

/** A part of a version as JSON: a number, null where it was not there, or a map of these. */
export type Difference = number | null | { readonly [key: string]: Difference };

/** What differs between two versions: the columns and keys as they were and as they are. */
export interface Differences {
  readonly old: Difference;
  readonly new: Difference;
}

/** Returns what differs between two versions; hours are keyed by their number. */
export function differencesOf(old: Numbers, next: Numbers): Differences {
  return compare(old, next);
}

function compare(old: unknown, next: unknown): Differences {
  if (typeof old === 'object' || typeof next === 'object') {
    const [a, b] = [asObject(old), asObject(next)];
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const parts = keys
      .filter((key) => !isSame(valueOf(a, key), valueOf(b, key)))
      .map((key) => ({ key, ...compare(valueOf(a, key), valueOf(b, key)) }));
    return {
      old: Object.fromEntries(parts.map((part) => [part.key, part.old])),
      new: Object.fromEntries(parts.map((part) => [part.key, part.new])),
    };
  }
  return { old: (old as number | undefined) ?? null, new: (next as number | undefined) ?? null };
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

/** Returns the own value of a key, also of one called `__proto__`. */
function valueOf(object: object, key: string): unknown {
  return Object.getOwnPropertyDescriptor(object, key)?.value;
}
