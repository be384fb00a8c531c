import { eachDay } from '../day.ts';
import { readColumns } from './buckets.ts';
import { payloadQueries } from './payload-totals.ts';
import type { Stream, WindowReading } from './stream.ts';

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const columns = ['hours_billable_count', 'hours_all_count', 'hours_all_bytes'];

/** Payloads per hour: the numbers of `payload_totals` with a bucket for each UTC hour. */
export const payloadHours: Stream = {
  name: 'payload_hours',
  requests: payloadQueries.map((query) => ({
    action: 'payloadCountsBreakdown',
    query: { resolution: '3600000', ...query },
  })),
  windowDays: 31,
  columns,
  kind: 'flow',
  counterparts: ['payload_sources', 'payload_totals'],
  waitsFor: 'payload_sources',
  includes: {
    hours_all_count: ['hours_billable_count'],
    hours_all_bytes: [],
  },
  readBodies(bodies, window) {
    const reading = readColumns(bodies, window, { columns, hours: HOURS });
    return eachDay(window).length > 1 ? doubtMidnights(reading) : reading;
  },
};

/** An installation that ignores the resolution answers with days: each has a bucket at midnight only. */
function doubtMidnights(reading: WindowReading): WindowReading {
  const named = [...reading.days.values()].filter((day) => day.kind === 'named');
  const hasOther = named.some(({ leftOut }) => HOURS.some((hour) => hour > 0 && !isLeftOut(leftOut, hour)));
  if (named.length === 0 || hasOther) return reading;
  const message = 'only midnights came: Losant answered by day, and not by hour';
  const doubt = { code: 'not_hourly', message };
  const days = [...reading.days].map(
    ([day, each]) => [day, each.kind === 'named' ? { ...each, doubt } : each] as const,
  );
  return { ...reading, days: new Map(days) };
}

function isLeftOut(leftOut: readonly { readonly hour: number | null }[], hour: number): boolean {
  return leftOut.filter((part) => part.hour === hour).length === columns.length;
}
