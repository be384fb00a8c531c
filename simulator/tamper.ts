import { rawNumber } from './amount.ts';
import type { Body } from './bodies.ts';
import { DAY_MS, dayOf, dayText, HOUR_MS, isoMs } from './calendar.ts';
import type { Bucket } from './counters.ts';
import type { FaultKind, ValueKind } from './faults.ts';
import type { Window } from './params.ts';

export interface Tampered {
  readonly body: Body;
  /** The UTC day whose answer was changed. */
  readonly day: string;
  readonly field: string | null;
}

/** Whether the kind of fault can be applied to this body. */
export function canTamper(kind: FaultKind, body: Body): boolean {
  const counts = bucketsOf(body);
  if (counts === null) return isSingleValue(kind) ? sourcesOf(body).length > 0 : kind === 'unknown_keys';
  const needsBucket = !['wrong_window', 'no_counts', 'outside_bucket'].includes(kind);
  return counts.length > 0 || !needsBucket;
}

/**
 * Returns the body with one fault; `pick` chooses the bucket and the field. The given body is not
 * changed.
 */
export function tamper(kind: ValueKind, given: Body, window: Window, pick: number): Tampered {
  const body = copyOf(given);
  const counts = bucketsOf(body);
  const firstDay = dayText(dayOf(window.startMs));
  if (counts === null) return tamperSources(kind, body, firstDay, pick);
  if (kind === 'no_counts') {
    delete body['counts'];
    return { body, day: firstDay, field: null };
  }
  if (kind === 'wrong_window') {
    body['start'] = isoMs(window.startMs - DAY_MS);
    body['end'] = isoMs(window.endMs - DAY_MS);
    return { body, day: firstDay, field: null };
  }
  if (kind === 'outside_bucket') {
    const date = isoMs((dayOf(window.startMs) - 1) * DAY_MS);
    counts.unshift({ ...counts[0], date });
    return { body, day: date.slice(0, 10), field: null };
  }
  const index = pick % counts.length;
  const bucket: Bucket = counts[index] ?? { date: firstDay };
  const day = bucket.date.slice(0, 10);
  if (isSingleValue(kind) || kind === 'missing_value') {
    const fields = Object.keys(bucket).filter((key) => key !== 'date');
    const field = fields[(pick >>> 8) % fields.length] ?? 'value';
    if (kind === 'missing_value') delete bucket[field];
    else if (kind === 'repeated_key') bucket[`${AGAIN}${field}`] = bucket[field];
    else bucket[field] = wrongValue(kind, bucket[field]);
    return { body, day, field };
  }
  if (kind === 'missing_bucket') counts.splice(index, 1);
  if (kind === 'duplicate_bucket') counts.splice(index + 1, 0, { ...bucket });
  if (kind === 'misplaced_bucket') bucket.date = isoMs(Date.parse(bucket.date) + 5 * HOUR_MS);
  if (kind === 'unknown_keys') {
    bucket['archived'] = 3;
    body['granularity'] = 'day';
  }
  return { body, day, field: null };
}

const SINGLE_VALUE_KINDS = [
  'negative',
  'fractional',
  'text_number',
  'null_value',
  'boolean_value',
  'above_safe',
  'rounded',
  'near_zero',
  'repeated_key',
];

/** The prefix of a key that stands for a repetition of the same key, which no object can have. */
const AGAIN = '@again ';

/** Returns the text of a tampered body, with repeated keys written twice. */
export function repeatKeys(text: string): string {
  return text.replaceAll(`"${AGAIN}`, '"');
}

function isSingleValue(kind: FaultKind): boolean {
  return SINGLE_VALUE_KINDS.includes(kind);
}

function tamperSources(kind: ValueKind, body: Body, day: string, pick: number): Tampered {
  if (kind === 'unknown_keys') return { body: { ...body, _granularity: 'total' }, day, field: null };
  const sources = sourcesOf(body);
  const [type, source] = sources[pick % sources.length] ?? ['', ''];
  const values = body[type] as Body;
  if (kind === 'repeated_key') values[`${AGAIN}${source}`] = values[source];
  else values[source] = wrongValue(kind, values[source]);
  return { body, day, field: `${type}/${source}` };
}

function wrongValue(kind: FaultKind, value: unknown): unknown {
  const number = typeof value === 'number' ? value : 1;
  if (kind === 'negative') return -number - 1;
  // Beyond 2^50 the number itself would lose the fraction.
  if (kind === 'fractional') return number > 2 ** 50 ? 0.5 : number + 0.5;
  if (kind === 'text_number') return String(number);
  if (kind === 'boolean_value') return true;
  if (kind === 'above_safe') return rawNumber('9007199254740993');
  // JSON.parse reads both as integers.
  if (kind === 'rounded') return rawNumber(`${number}.00000000000000000001`);
  return kind === 'near_zero' ? rawNumber('1e-400') : null;
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

/**
 * Returns a copy of a body, two levels deep, which is all a counter's body has. Raw numbers in it
 * cannot be cloned in general.
 */
function copyOf(body: Body): Body {
  const copy: Body = { ...body };
  for (const [key, value] of Object.entries(body)) {
    if (key === 'counts') copy[key] = (value as Bucket[]).map((bucket) => ({ ...bucket }));
    else if (typeof value === 'object' && !key.startsWith('_')) copy[key] = { ...value };
  }
  return copy;
}
