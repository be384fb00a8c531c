import type { UsageDay } from '../day.ts';
import { REPEATED_KEY } from '../exact-json.ts';
import { findNumberProblem } from './billed-number.ts';
import { type DayReading, type Fact, type Stream, UnplaceableBodyError } from './stream.ts';

/** Longest payload type or source that is stored, in UTF-16 code units. */
const KEY_LENGTH_MAX = 200;

/**
 * Payloads by type and source. The body is one undated total for the whole
 * range asked, so a slice is always a single day. Types and sources are an open
 * map: new ones appear without notice and are stored as they come.
 */
export const payloadSources: Stream = {
  name: 'payload_sources',
  requests: [{ action: 'payloadCounts', query: {} }],
  windowDays: 1,
  keyColumns: ['payload_type', 'source'],
  columns: ['count'],
  metrics: ['payload_source_count'],
  missingMeans: 'zero',
  readBodies([body], { from: day }) {
    if (!isMap(body)) throw new UnplaceableBodyError('the body is not a map of payload types');
    const types = Object.entries(body).filter(([type]) => !type.startsWith('_'));
    const reading = readTypes(types);
    const days = new Map<UsageDay, DayReading>();
    if (reading.kind === 'invalid' || reading.facts.length > 0) days.set(day, reading);
    return { days, outsideBuckets: 0, unknownKeys: 0 };
  },
};

function readTypes(types: readonly (readonly [string, unknown])[]): DayReading {
  const facts: Fact[] = [];
  for (const [type, counts] of types) {
    // Before any problem that quotes the type: a problem is stored as text too.
    const typeProblem = findKeyProblem(type);
    if (typeProblem) return { kind: 'invalid', problem: typeProblem };
    if (counts === REPEATED_KEY) return { kind: 'invalid', problem: `${type}: is there twice` };
    if (!isMap(counts)) return { kind: 'invalid', problem: `${type}: not a map of sources` };
    for (const [source, value] of Object.entries(counts)) {
      const sourceProblem = findKeyProblem(source);
      if (sourceProblem) return { kind: 'invalid', problem: sourceProblem };
      const numberProblem = findNumberProblem(value);
      if (numberProblem) return { kind: 'invalid', problem: `${type}.${source}: ${numberProblem}` };
      facts.push({ key: [type, source], values: [value as number] });
    }
  }
  const sum = facts.reduce((total, { values: [count = 0] }) => total + count, 0);
  if (!Number.isSafeInteger(sum))
    return { kind: 'invalid', problem: 'the counts add up to more than 2^53 - 1' };
  return { kind: 'values', facts, missingColumns: [] };
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Text that Postgres cannot hold, or holds only by changing it, must not become part of a key. */
function findKeyProblem(key: string): string | null {
  const shown = JSON.stringify(key.slice(0, 40));
  if (key.length > KEY_LENGTH_MAX)
    return `key ${shown}… has ${key.length} characters, at most ${KEY_LENGTH_MAX} are stored`;
  if (key.includes('\0') || !key.isWellFormed()) return `key ${shown} holds a NUL or half a surrogate pair`;
  return null;
}
