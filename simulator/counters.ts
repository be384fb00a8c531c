import { type Amount, add, jsonAmount, sumOf } from './amount.ts';
import { DAY_MS, dayOf, HOUR_MS, isoMs, type Window } from './calendar.ts';
import { type Answered, type CounterAction, UNCHANGED } from './edits.ts';
import { type Meter, type SourceAmount, SourceSum } from './meter.ts';
import { type CounterQuery, oldestDay, readCounterQuery } from './params.ts';
import type { Body } from './refusal.ts';
import type { Settings } from './settings.ts';
import type { Bucket } from './value-faults.ts';
import type { World } from './world.ts';

interface Question {
  readonly settings: Settings;
  readonly meter: Meter;
  readonly answer: Answered;
  readonly query: CounterQuery;
  readonly nowMs: number;
}

/** Returns the body of a counter, without its envelope of links. Throws a refusal for a query that is not allowed. */
export function answerCounter(
  world: World,
  meter: Meter,
  action: CounterAction,
  parameters: URLSearchParams,
): { readonly body: Body; readonly window: Window } {
  const { settings } = world;
  const nowMs = world.now();
  const query = readCounterQuery(parameters, settings, nowMs);
  const { window, asBytes, includeNonBillable } = query;
  const isVaried = action === 'payloadCountsBreakdown';
  const variant = `${includeNonBillable ? 'all' : 'billable'}_${asBytes ? 'bytes' : 'count'}` as const;
  const answer = { action, variant: isVaried ? variant : null };
  const question: Question = { settings, meter, answer, query, nowMs };
  if (action === 'payloadCounts') return { window, body: sourceMap(question) };
  const echo = settings.echoWindow ? { start: isoMs(window.startMs), end: isoMs(window.endMs) } : {};
  const counts = isVaried ? payloadBuckets(question) : dayBuckets(question);
  return { window, body: { ...echo, counts } };
}

/**
 * Yields the days that a window touches, that have begun and are not left out, and whether their
 * detail is gone. However much of a day the window covers, it is counted as a whole.
 */
function* daysOf(question: Question): Generator<{ day: number; gone: boolean }> {
  const { settings, meter, answer, query, nowMs } = question;
  const oldest = oldestDay(settings, nowMs);
  const first = dayOf(query.window.startMs);
  const last = Math.min(dayOf(query.window.endMs), dayOf(nowMs));
  for (let day = settings.retention === 'zeros' ? first : Math.max(first, oldest); day <= last; day++) {
    if (!meter.editsOf(day).isOmitted(answer)) yield { day, gone: day < oldest };
  }
}

/** Returns the buckets of devices or notebooks. */
function dayBuckets(question: Question): Bucket[] {
  const { meter, settings, answer } = question;
  const isDevices = answer.action === 'deviceCounts';
  const biased = isDevices ? 'total' : 'minutes';
  const buckets: Bucket[] = [];
  for (const { day, gone } of daysOf(question)) {
    const counted = Object.entries(isDevices ? meter.devices(day) : meter.notebooks(day));
    const values = counted.map(([field, value]): [string, Amount] => [field, gone ? 0 : value]);
    if (settings.omitZeroDays && values.every(([, value]) => value === 0)) continue;
    const bucket: Bucket = { date: isoMs(day * DAY_MS) };
    for (const [field, value] of values) {
      bucket[field] = jsonAmount(field === biased ? add(value, meter.biasOf(day, answer.action)) : value);
    }
    buckets.push(bucket);
  }
  return buckets;
}

/** Returns the buckets of payloads, by day or by the hours that the window touches. */
function payloadBuckets(question: Question): Bucket[] {
  const { meter, settings, query, answer, nowMs } = question;
  const { resolution, asBytes, includeNonBillable, window } = query;
  const isHourly = resolution === HOUR_MS;
  const omitsZeros = isHourly ? settings.omitZeroHours : settings.omitZeroDays;
  const read = (row: SourceAmount) => {
    if (!row.billable && !includeNonBillable) return 0;
    return asBytes ? row.bytes : row.count;
  };
  const buckets: Bucket[] = [];
  for (const { day, gone } of daysOf(question)) {
    const { hours } = isHourly && !gone ? meter.editsOf(day) : UNCHANGED;
    for (let fromMs = 0; fromMs < DAY_MS; fromMs += resolution) {
      const startMs = day * DAY_MS + fromMs;
      const toMs = fromMs + resolution;
      if (startMs + resolution <= window.startMs || startMs > Math.min(window.endMs, nowMs)) continue;
      const sum = gone ? 0 : sumOf(meter.payloads(day, fromMs, toMs), read);
      const value = add(sum, hours.get(fromMs / HOUR_MS) ?? 0);
      if (value === 0 && omitsZeros) continue;
      const biased = add(value, meter.biasOf(day, answer.action));
      buckets.push({ date: isoMs(startMs), value: jsonAmount(biased) });
    }
  }
  return buckets;
}

function sourceMap(question: Question): Body {
  const { meter, query, answer } = question;
  const sum = new SourceSum();
  for (const { day, gone } of daysOf(question)) {
    if (!gone) sum.add(meter.payloads(day, 0, DAY_MS));
    const by = meter.biasOf(day, answer.action);
    const biased = { type: 'event', source: 'application.rest', billable: true, count: by, bytes: by };
    if (by !== 0) sum.add([biased]);
  }
  const types: Record<string, Body> = {};
  for (const row of sum.rows()) {
    (types[row.type] ??= {})[row.source] = jsonAmount(query.asBytes ? row.bytes : row.count);
  }
  return types;
}
