/** The numbers of a cell by column of `usage_days`, and their comparison. */

export type PayloadSources = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** By column: a number, 24 numbers for columns of hours, or a number per payload type and source. */
export type Numbers = Readonly<Record<string, number | readonly number[] | PayloadSources>>;

/** Refers to one number of a cell: a column, or an hour of it. */
export interface NumberRef {
  readonly column: string;
  /** The UTC hour, 0 to 23; null if the column has one number. */
  readonly hour: number | null;
}

/** Returns the number that is referred to; 0 if there is none. */
export function getNumber(numbers: Numbers, { column, hour }: NumberRef): number {
  const value = numbers[column];
  if (typeof value === 'number') return value;
  return Array.isArray(value) && hour !== null ? (value[hour] as number) : 0;
}

/** Returns a name for messages: `payload_all_count`, or `hours_all_count 13:00`. */
export function describeNumber({ column, hour }: NumberRef): string {
  return hour === null ? column : `${column} ${String(hour).padStart(2, '0')}:00`;
}

export function hasNonzero(numbers: Numbers | number): boolean {
  if (typeof numbers === 'number') return numbers !== 0;
  return Object.values(numbers as Readonly<Record<string, Numbers | number>>).some(hasNonzero);
}

export function sumHours(hours: readonly number[]): number {
  return hours.reduce((sum, each) => sum + each, 0);
}

/** Old and new value of what differs: a number, null if it was absent, or a map of these by column and key. */
export type Differences = Readonly<Record<'old' | 'new', unknown>>;

/** Compares numbers, or maps of them in any order; an absent one equals 0. Returns null if they are equal. */
export function findDifferences(old: unknown, next: unknown): Differences | null {
  if (typeof old !== 'object' && typeof next !== 'object') {
    const [a = null, b = null] = [old, next] as (number | undefined)[];
    // Whether Losant lists sources without payloads may change with a release of its API, for many days at once.
    return (a ?? 0) === (b ?? 0) ? null : { old: a, new: b };
  }
  const [a, b] = [toMap(old), toMap(next)];
  const parts = [...new Set([...a.keys(), ...b.keys()])].flatMap((key) => {
    const part = findDifferences(a.get(key), b.get(key));
    return part === null ? [] : [{ key, ...part }];
  });
  return parts.length === 0
    ? null
    : {
        old: Object.fromEntries(parts.map((part) => [part.key, part.old])),
        new: Object.fromEntries(parts.map((part) => [part.key, part.new])),
      };
}

/** Returns a Map because, unlike an object, it inherits no value for a key such as `constructor`. */
function toMap(value: unknown): ReadonlyMap<string, unknown> {
  return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
}
