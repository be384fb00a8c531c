import * as z from 'zod';
import { billedNumber, describeProblems, describeRepeatedKey } from '../body.ts';
import type { UsageDay } from '../day.ts';
import { type DayVerdict, type Stream, UnplaceableBodyError } from './stream.ts';

/** The longest payload type or source that is stored, in UTF-16 code units. */
const KEY_LENGTH_MAX = 200;

/** There are dozens. zod cannot report as many problems as a body may have. */
const KEYS_MAX = 10_000;

/** A payload type or source: text that Postgres stores unchanged. */
const key = z.string().superRefine((text, context) => {
  if (text.length > KEY_LENGTH_MAX) {
    context.addIssue(`the key has ${text.length} characters; at most ${KEY_LENGTH_MAX} are stored`);
  }
  if (!text.isWellFormed() || text.includes('\0')) {
    context.addIssue('the key contains a NUL or a lone surrogate');
  }
});

/** Creates the schema of a map with arbitrary keys. It parses entries, because `z.record` drops a key `__proto__`. */
function openMap<T extends z.ZodType>(value: T, noun: string) {
  const problem = `not a map of ${noun}, or more than ${KEYS_MAX}`;
  const error: z.core.$ZodErrorMap = (issue) => describeRepeatedKey(issue) ?? problem;
  const isSmall = (input: object) => Object.keys(input).length <= KEYS_MAX;
  const toMap = (input: unknown) => (isMap(input) && isSmall(input) ? new Map(Object.entries(input)) : input);
  return z.preprocess(toMap, z.map(key, value, { error }));
}

const payloadCounts = openMap(openMap(billedNumber, 'sources'), 'payload types').refine(
  (types) => Number.isSafeInteger(sumOf(types)),
  'the counts add up to more than 2^53 − 1',
);

/**
 * Payloads by type and source. The body is one undated total for the whole requested range, so a slice is always one
 * day. New types and sources appear without notice, so all of them are stored unchanged.
 */
export const payloadSources: Stream = {
  name: 'payload_sources',
  requests: [{ action: 'payloadCounts', query: {} }],
  maxDays: 1,
  columns: ['payload_source_count', 'payload_sources'],
  kind: 'flow',
  parseBodies([body], { from: day }) {
    if (!isMap(body)) throw new UnplaceableBodyError('the body is not a map of payload types');
    const types = Object.entries(body).filter(([type]) => !type.startsWith('_'));
    const verdict = parseTypes(Object.fromEntries(types));
    const days = new Map<UsageDay, DayVerdict>(verdict === null ? [] : [[day, verdict]]);
    return { days, outsideBuckets: 0, unknownKeys: 0 };
  },
};

/** Returns null if there are no payloads: the day is omitted. */
function parseTypes(types: unknown): DayVerdict | null {
  const { data, error } = payloadCounts.safeParse(types);
  if (error) return { kind: 'quarantined', code: 'invalid_value', detail: describeProblems(error) };
  const reportedTypes = [...data].filter(([, sources]) => sources.size > 0);
  if (reportedTypes.length === 0) return null;
  const sources = Object.fromEntries(reportedTypes.map(([type, counts]) => [type, Object.fromEntries(counts)]));
  const numbers = { payload_source_count: sumOf(data), payload_sources: sources };
  return { kind: 'reported', numbers, omitted: [] };
}

function sumOf(types: ReadonlyMap<string, ReadonlyMap<string, number>>): number {
  const counts = [...types.values()].flatMap((sources) => [...sources.values()]);
  return counts.reduce((sum, count) => sum + count, 0);
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
