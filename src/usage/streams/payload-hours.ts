import type { Reason } from '../cell.ts';
import { readsBuckets } from './buckets.ts';
import { breakdownBy } from './payload-totals.ts';
import type { DayReading, Stream, WindowReading } from './stream.ts';

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const columns = ['hours_billable_count', 'hours_all_count', 'hours_all_bytes'];
const readHours = readsBuckets({ bodies: columns.map((column) => ({ value: column })), hours: HOURS });

/** Payloads per hour: the numbers of `payload_totals` with a bucket for each UTC hour. */
export const payloadHours: Stream = {
  name: 'payload_hours',
  requests: breakdownBy('3600000'),
  windowDays: 31,
  columns,
  kind: 'flow',
  counterparts: ['payload_sources', 'payload_totals'],
  waitsFor: 'payload_sources',
  includes: { hours_all_count: ['hours_billable_count'] },
  readBodies(bodies, window) {
    const reading = readHours(bodies, window);
    if (window.from === window.to || !hasOnlyMidnights(reading)) return reading;
    const doubted = (day: DayReading) => (day.kind === 'reported' ? { ...day, doubt: NOT_HOURLY } : day);
    return { ...reading, days: new Map([...reading.days].map(([day, each]) => [day, doubted(each)])) };
  },
};

const NOT_HOURLY: Reason = {
  code: 'not_hourly',
  detail: 'only midnight buckets came: Losant responded with days instead of hours',
};

/** An installation that ignores the resolution answers with days: each has a bucket at midnight only. */
function hasOnlyMidnights({ days }: WindowReading): boolean {
  const others = columns.length * (HOURS.length - 1);
  const reportedDays = [...days.values()].filter((day) => day.kind === 'reported');
  return (
    reportedDays.length > 0 &&
    reportedDays.every(({ omitted }) => omitted.filter(({ hour }) => hour !== 0).length === others)
  );
}
