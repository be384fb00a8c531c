/** The numbers of a cell, by column of `usage_days`: compared, and what differs between two versions. */

/** Payloads by type and source. */
export type PayloadSources = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** The numbers of a cell: a number per column, of hours 24 numbers, of sources a number per type and source. */
export type Numbers = Readonly<Record<string, number | readonly number[] | PayloadSources>>;

/** A number within a cell: a column, or an hour of it. */
export interface NumberRef {
  readonly column: string;
  /** The UTC hour, 0 to 23; null where the column has one number. */
  readonly hour: number | null;
}

/** Returns the number of a part; 0 if there is none. */
export function numberAt(numbers: Numbers, { column, hour }: NumberRef): number {
  const value = numbers[column];
  if (typeof value === 'number') return value;
  return Array.isArray(value) && hour !== null ? (value[hour] as number) : 0;
}

/** Returns how a part is called in messages: `payload_all_count`, or `hours_all_count 13:00`. */
export function describeNumber({ column, hour }: NumberRef): string {
  return hour === null ? column : `${column} ${String(hour).padStart(2, '0')}:00`;
}

/** Whether any number is other than zero. */
export function hasAnyNumber(numbers: Numbers | number): boolean {
  if (typeof numbers === 'number') return numbers !== 0;
  return Object.values(numbers as Readonly<Record<string, Numbers | number>>).some(hasAnyNumber);
}

/** Differences, as they were and are: a number, null where it was not there, or a map of these by column and key. */
export interface Differences {
  readonly old: unknown;
  readonly new: unknown;
}

/** Returns what differs between two versions, whatever the order of their keys; null if nothing does. */
export function differencesOf(old: Numbers, next: Numbers): Differences | null {
  return compare(old, next);
}

/** Compares numbers, or maps of these; hours are keyed by their number. Undefined is what is not there. */
function compare(old: unknown, next: unknown): Differences | null {
  if (typeof old !== 'object' && typeof next !== 'object') {
    const [a = null, b = null] = [old, next] as (number | undefined)[];
    return a === b ? null : { old: a, new: b };
  }
  const [a, b] = [mapOf(old), mapOf(next)];
  const parts = [...new Set([...a.keys(), ...b.keys()])].flatMap((key) => {
    const part = compare(a.get(key), b.get(key));
    return part === null ? [] : [{ key, ...part }];
  });
  return parts.length === 0
    ? null
    : {
        old: Object.fromEntries(parts.map((part) => [part.key, part.old])),
        new: Object.fromEntries(parts.map((part) => [part.key, part.new])),
      };
}

/** Returns a map, which unlike an object has no value of its own for a key such as `constructor`. */
function mapOf(value: unknown): ReadonlyMap<string, unknown> {
  return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
}
