import type { Reason } from '../cell.ts';
import { hasNonzero } from '../numbers.ts';
import { createBucketParser } from './buckets.ts';
import { createBreakdownRequests } from './payload-totals.ts';
import type { BodyContent, DayVerdict, Stream } from './stream.ts';

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const totals = {
  hours_billable_count: 'payload_billable_count',
  hours_all_count: 'payload_all_count',
  hours_all_bytes: 'payload_all_bytes',
};
const columns = Object.keys(totals);
const parseHours = createBucketParser({ bodies: columns.map((column) => ({ value: column })), hours: HOURS });

/** Payloads per UTC hour: what `payload_totals` counts per day. */
export const payloadHours: Stream = {
  name: 'payload_hours',
  requests: createBreakdownRequests('3600000'),
  maxDays: 31,
  columns,
  kind: 'flow',
  counterparts: ['payload_sources', 'payload_totals'],
  waitsFor: 'payload_sources',
  totals,
  includes: { hours_all_count: ['hours_billable_count'] },
  parseBodies(bodies, range) {
    const content = parseHours(bodies, range);
    if (!hasOnlyMidnights(content)) return content;
    const addDoubt = (verdict: DayVerdict) =>
      verdict.kind === 'reported' && hasNonzero(verdict.numbers) ? { ...verdict, doubt: NOT_HOURLY } : verdict;
    return { ...content, days: new Map([...content.days].map(([day, verdict]) => [day, addDoubt(verdict)])) };
  },
};

const NOT_HOURLY: Reason = {
  code: 'not_hourly',
  detail: 'only midnight buckets came: Losant responded with days instead of hours',
};

/**
 * An install that ignores the resolution responds with days: each has a bucket at midnight only. A day that had
 * payloads at midnight only may look the same; it is in doubt too, because nothing distinguishes the two.
 */
function hasOnlyMidnights({ days }: BodyContent): boolean {
  const otherHours = columns.length * (HOURS.length - 1);
  const reportedDays = [...days.values()].filter((day) => day.kind === 'reported');
  return (
    reportedDays.length > 0 &&
    reportedDays.every(({ omitted }) => omitted.filter(({ hour }) => hour !== 0).length === otherHours)
  );
}
