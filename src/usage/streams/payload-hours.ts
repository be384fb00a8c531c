import { createBucketParser } from './buckets.ts';
import { createBreakdownRequests } from './payload-totals.ts';
import type { BodyContent, DayVerdict, Stream } from './stream.ts';

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const columns = ['hours_billable_count', 'hours_all_count', 'hours_all_bytes'];
const parseHours = createBucketParser({ bodies: columns.map((column) => ({ value: column })), hours: HOURS });

/** Payloads per UTC hour: what `payload_totals` counts per day. */
export const payloadHours: Stream = {
  name: 'payload_hours',
  requests: createBreakdownRequests('3600000'),
  maxDays: 31,
  columns,
  kind: 'flow',
  parseBodies(bodies, range) {
    const content = parseHours(bodies, range);
    if (!hasOnlyMidnights(content)) return content;
    const days = new Map(content.days);
    for (const [day, { kind }] of days) if (kind === 'reported') days.set(day, NOT_HOURLY);
    return { ...content, days };
  },
};

const NOT_HOURLY: DayVerdict = {
  kind: 'quarantined',
  code: 'not_hourly',
  detail: 'only midnight buckets came: Losant responded with days instead of hours',
};

/**
 * An install that ignores the resolution responds with days: each has a bucket at midnight only. A day whose
 * payloads all came in the first hour looks the same, and is invalid too, because nothing distinguishes the two.
 */
function hasOnlyMidnights({ days }: BodyContent): boolean {
  const otherHours = columns.length * (HOURS.length - 1);
  const reportedDays = [...days.values()].filter((day) => day.kind === 'reported');
  return (
    reportedDays.length > 0 &&
    reportedDays.every(({ omitted }) => omitted.filter(({ hour }) => hour !== 0).length === otherHours)
  );
}
