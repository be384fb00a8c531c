import { rawNumber } from './amount.ts';
import { DAY_MS, dayOf, dayText, HOUR_MS, isoMs } from './calendar.ts';
import type { Window } from './params.ts';
import type { Body } from './refusal.ts';

export type Bucket = { date: string } & Record<string, unknown>;

/** A body with one fault. */
export interface Spoiled {
  readonly body: Body;
  /** The UTC day whose answer was changed. */
  readonly day: string;
  readonly field: string | null;
}

/** Faults of a single number. */
const WRONG_VALUES = {
  negative: (value: number) => -value - 1,
  // Beyond 2^50 the number itself would lose the fraction.
  fractional: (value: number) => (value > 2 ** 50 ? 0.5 : value + 0.5),
  text_number: (value: number) => String(value),
  null_value: () => null,
  boolean_value: () => true,
  above_safe: () => rawNumber('9007199254740993'),
  // JSON.parse reads both of these as integers.
  rounded: (value: number) => rawNumber(`${value}.00000000000000000001`),
  near_zero: () => rawNumber('1e-400'),
};
type WrongValue = keyof typeof WRONG_VALUES;

/** Faults of single values, buckets or the window in an answer that is otherwise good. */
export const VALUE_KINDS = [
  ...(Object.keys(WRONG_VALUES) as WrongValue[]),
  'repeated_key',
  'missing_value',
  'missing_bucket',
  'duplicate_bucket',
  'misplaced_bucket',
  'outside_bucket',
  'wrong_window',
  'no_counts',
  'unknown_keys',
] as const;
export type ValueKind = (typeof VALUE_KINDS)[number];

/** Whether the fault can be applied to the body of a counter. */
export function canSpoil(kind: ValueKind, body: Body): boolean {
  const buckets = bucketsOf(body);
  if (buckets === null) return kind === 'unknown_keys' || (isOfOneValue(kind) && sourcesOf(body).length > 0);
  return buckets.length > 0 || ['wrong_window', 'no_counts', 'outside_bucket'].includes(kind);
}

/** Returns the body with one fault; `pick` chooses the bucket and the field. The given body is not changed. */
export function spoil(kind: ValueKind, given: Body, window: Window, pick: number): Spoiled {
  const body = copyOf(given);
  const buckets = bucketsOf(body);
  const firstDay = dayOf(window.startMs);
  if (buckets === null) return spoilSource(kind, body, dayText(firstDay), pick);
  switch (kind) {
    case 'no_counts':
      delete body['counts'];
      return { body, day: dayText(firstDay), field: null };
    case 'wrong_window':
      body['start'] = isoMs(window.startMs - DAY_MS);
      body['end'] = isoMs(window.endMs - DAY_MS);
      return { body, day: dayText(firstDay), field: null };
    case 'outside_bucket':
      buckets.unshift({ ...buckets[0], date: isoMs((firstDay - 1) * DAY_MS) });
      return { body, day: dayText(firstDay - 1), field: null };
    case 'unknown_keys':
      body['granularity'] = 'day';
      break;
    default:
  }
  return spoilBucket(kind, body, buckets, pick);
}

function spoilBucket(kind: ValueKind, body: Body, buckets: Bucket[], pick: number): Spoiled {
  const index = pick % buckets.length;
  const bucket: Bucket = buckets[index] ?? { date: '' };
  const day = bucket.date.slice(0, 10);
  if (isOfOneValue(kind) || kind === 'missing_value') {
    const fields = Object.keys(bucket).filter((key) => key !== 'date');
    const field = fields[(pick >>> 8) % fields.length] ?? 'value';
    if (isOfOneValue(kind)) spoilValue(kind, bucket, field);
    else delete bucket[field];
    return { body, day, field };
  }
  if (kind === 'missing_bucket') buckets.splice(index, 1);
  if (kind === 'duplicate_bucket') buckets.splice(index + 1, 0, { ...bucket });
  if (kind === 'misplaced_bucket') bucket.date = isoMs(Date.parse(bucket.date) + 5 * HOUR_MS);
  if (kind === 'unknown_keys') bucket['archived'] = 3;
  return { body, day, field: null };
}

function spoilSource(kind: ValueKind, body: Body, day: string, pick: number): Spoiled {
  if (!isOfOneValue(kind)) return { body: { ...body, _granularity: 'total' }, day, field: null };
  const sources = sourcesOf(body);
  const [type, source] = sources[pick % sources.length] ?? ['', ''];
  spoilValue(kind, body[type] as Body, source);
  return { body, day, field: `${type}/${source}` };
}

function isOfOneValue(kind: ValueKind): kind is WrongValue | 'repeated_key' {
  return kind in WRONG_VALUES || kind === 'repeated_key';
}

function spoilValue(kind: WrongValue | 'repeated_key', values: Body, field: string): void {
  const value = values[field];
  if (kind === 'repeated_key') Object.assign(values, { [`${AGAIN}${field}`]: value });
  else Object.assign(values, { [field]: WRONG_VALUES[kind](typeof value === 'number' ? value : 1) });
}

/** The prefix of a key that stands for a repetition of the same key, which no object can have. */
const AGAIN = '@again ';

/** Returns the text of a spoiled body, with repeated keys written twice. */
export function repeatKeys(text: string): string {
  return text.replaceAll(`"${AGAIN}`, '"');
}

function bucketsOf(body: Body): Bucket[] | null {
  return Array.isArray(body['counts']) ? (body['counts'] as Bucket[]) : null;
}

function sourcesOf(body: Body): [string, string][] {
  return Object.entries(body)
    .filter(([type]) => !type.startsWith('_'))
    .flatMap(([type, sources]) =>
      Object.keys(sources as Body).map((source): [string, string] => [type, source]),
    );
}

/** Returns a copy of a counter's body, which is two levels deep. Raw numbers in it cannot be cloned in general. */
function copyOf(body: Body): Body {
  const copy: Body = { ...body };
  for (const [key, value] of Object.entries(body)) {
    if (key === 'counts') copy[key] = (value as Bucket[]).map((bucket) => ({ ...bucket }));
    else if (typeof value === 'object' && !key.startsWith('_')) copy[key] = { ...value };
  }
  return copy;
}
