import * as z from 'zod';
import { billed, describeProblems, ifRepeated, instant } from '../body.ts';
import { DAY_MS, type DayRange, dayEndMs, dayStartMs, eachDay, HOUR_MS, type UsageDay } from '../day.ts';
import { readBuckets } from './buckets.ts';
import { payloadTotals } from './payload-totals.ts';
import { type DayReading, type Stream, UnplaceableBodyError, type WindowReading } from './stream.ts';

/** The hours of a UTC day, as the keys of its facts. */
export const HOURS: readonly string[] = Array.from({ length: 24 }, (_, hour) => `${pad(hour)}:00`);

const bucket = z.object({ value: billed });
const body = z.looseObject({
  start: z.string().optional(),
  end: z.string().optional(),
  counts: z.array(z.looseObject({ date: instant }), { error: ifRepeated }),
});

/**
 * Payloads per hour: the numbers of `payload_totals` with a bucket for each UTC hour. A cell is a day
 * of 24 facts, in a table of its own: no column of `usage_days` has their sums, which are those of
 * `payload_totals`. An hour that a body left out reads 0 and is named in `missingColumns`, as the
 * column and the hour.
 */
export const payloadHours: Stream = {
  name: 'payload_hours',
  requests: payloadTotals.requests.map(({ action, query }) => ({
    action,
    query: { ...query, resolution: String(HOUR_MS) },
  })),
  windowDays: 31,
  keyColumns: ['hour'],
  columns: payloadTotals.columns,
  metrics: [],
  missingMeans: 'zero',
  // Totals wait for hours: if hours waited too, neither would come.
  crossChecks: [{ stream: payloadTotals.name, column: 'all_count', weight: 'contradicts', columns: [] }],
  readBodies(bodies, window) {
    const readings = bodies.map((each) => readHours(each, window));
    const days = new Map<UsageDay, DayReading>();
    for (const day of eachDay(window)) {
      const parts = readings.map((hours) => hours.map((hour) => hour.days.get(day)));
      if (parts.flat().some((part) => part !== undefined)) days.set(day, joinHours(parts));
    }
    const sum = (pick: (reading: WindowReading) => number) =>
      readings.flat().reduce((total, reading) => total + pick(reading), 0);
    return {
      days,
      outsideBuckets: sum(({ outsideBuckets }) => outsideBuckets),
      unknownKeys: sum(({ unknownKeys }) => unknownKeys),
    };
  },
};

/**
 * `readHours` reads a body of hourly buckets, and returns a reading for each hour of the day: the buckets of one
 * hour are judged as buckets of their days. Throws UnplaceableBodyError as {@link readBuckets} does,
 * and for a bucket off the hour.
 */
function readHours(given: unknown, window: DayRange): WindowReading[] {
  const parsed = body.safeParse(given);
  if (!parsed.success) throw new UnplaceableBodyError(describeProblems(parsed.error));
  const { start, end, counts, ...rest } = parsed.data;
  const dates = counts.map(({ date }) => date);
  requirePlaces(dates);
  const windowStart = dayStartMs(window.from);
  const windowEnd = dayEndMs(window.to) - 1;
  const statesWindow = start !== undefined && end !== undefined;
  if (!statesWindow && dates.length > 0 && dates.every((date) => date < windowStart || date > windowEnd)) {
    throw new UnplaceableBodyError(
      `none of its ${dates.length} buckets is of the days asked for, ${window.from} to ${window.to}`,
    );
  }
  // One hour may have buckets of other days only, so each is read as if the body stated its window.
  const said = { start: start ?? isoAt(windowStart), end: end ?? isoAt(windowEnd) };
  const byHour = Map.groupBy(counts, ({ date }) => (date % DAY_MS) / HOUR_MS);
  return HOURS.map((_, hour) => {
    const ofDays = (byHour.get(hour) ?? []).map((each) => ({
      ...each,
      date: isoAt(each.date - hour * HOUR_MS),
    }));
    return readBuckets({ ...(hour === 0 ? rest : {}), ...said, counts: ofDays }, window, bucket);
  });
}

/** `requirePlaces` throws if a bucket does not start on the hour, or if two are of the same hour. */
function requirePlaces(dates: readonly number[]): void {
  const seen = new Set<number>();
  for (const date of dates) {
    if (date % HOUR_MS !== 0) {
      throw new UnplaceableBodyError(`bucket ${isoAt(date)} does not start on the hour`);
    }
    if (seen.has(date)) throw new UnplaceableBodyError(`hour ${isoAt(date)} is in the body twice`);
    seen.add(date);
  }
}

/** `joinHours` joins the hours of one day from the three bodies, by column and hour. */
function joinHours(parts: readonly (readonly (DayReading | undefined)[])[]): DayReading {
  const missingColumns: string[] = [];
  const values: number[][] = HOURS.map(() => []);
  for (const [column, name] of payloadHours.columns.entries()) {
    let sum = 0;
    for (const [hour, key] of HOURS.entries()) {
      const part = parts[column]?.[hour];
      if (part?.kind === 'quarantined') return { ...part, message: `${name} ${key}: ${part.message}` };
      if (part === undefined) missingColumns.push(`${name} ${key}`);
      const [value = 0] = part?.facts[0]?.values ?? [];
      values[hour]?.push(value);
      sum += value;
    }
    if (!Number.isSafeInteger(sum)) {
      const message = `${name}: the hours add up to more than 2^53 - 1`;
      return { kind: 'quarantined', code: 'invalid_value', message };
    }
  }
  return {
    kind: 'values',
    facts: HOURS.map((hour, index) => ({ key: [hour], values: values[index] ?? [] })),
    missingColumns,
  };
}

function isoAt(ms: number): string {
  return new Date(ms).toISOString();
}

function pad(hour: number): string {
  return String(hour).padStart(2, '0');
}
