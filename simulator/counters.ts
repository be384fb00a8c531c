import { type Amount, add, sumUp, toJsonAmount } from './amount.ts';
import { DAY_MS, dayOf, HOUR_MS, isoMs, type Window } from './calendar.ts';
import { type CounterAction, type CounterVariant, NO_EDITS } from './edits.ts';
import { type Meter, type SourceAmount, SourceSum } from './meter.ts';
import { type CounterQuery, findOldestDay, parseCounterQuery } from './params.ts';
import type { Body } from './rejection.ts';
import type { Settings } from './settings.ts';
import { DAY_COUNTERS, type DayAction } from './usage.ts';
import type { Bucket } from './value-faults.ts';
import type { World } from './world.ts';

interface CounterRequest {
  readonly settings: Settings;
  readonly meter: Meter;
  readonly target: CounterVariant;
  readonly query: CounterQuery;
  readonly nowMs: number;
}

/** Creates the body of a counter, without the envelope. Throws a rejection for an invalid query. */
export function createCounterBody(
  world: World,
  meter: Meter,
  action: CounterAction,
  parameters: URLSearchParams,
): { readonly body: Body; readonly window: Window } {
  const { settings } = world;
  const nowMs = world.now();
  const query = parseCounterQuery(parameters, settings, nowMs);
  const { window, asBytes, includeNonBillable } = query;
  const hasVariants = action === 'payloadCountsBreakdown';
  const variant = `${includeNonBillable ? 'all' : 'billable'}_${asBytes ? 'bytes' : 'count'}` as const;
  const target = { action, variant: hasVariants ? variant : null };
  const request: CounterRequest = { settings, meter, target, query, nowMs };
  if (action === 'payloadCounts') return { window, body: createSourceMap(request) };
  const echo = settings.echoWindow ? { start: isoMs(window.startMs), end: isoMs(window.endMs) } : {};
  const counts = hasVariants ? createPayloadBuckets(request) : createDayBuckets(request);
  return { window, body: { ...echo, counts } };
}

/**
 * Yields the days that the range touches, except future and omitted ones. A day counts in full, however much of it the
 * range covers. `isExpired`: its detail is no longer retained.
 */
function* listDays(request: CounterRequest): Generator<{ day: number; isExpired: boolean }> {
  const { settings, meter, target, query, nowMs } = request;
  const oldest = findOldestDay(settings, nowMs);
  const first = dayOf(query.window.startMs);
  const last = Math.min(dayOf(query.window.endMs), dayOf(nowMs));
  for (let day = settings.retention === 'zeros' ? first : Math.max(first, oldest); day <= last; day++) {
    if (!meter.getEdits(day).isOmitted(target)) yield { day, isExpired: day < oldest };
  }
}

function createDayBuckets(request: CounterRequest): Bucket[] {
  const { meter, settings, target } = request;
  const action = target.action as DayAction;
  const { biasedField } = DAY_COUNTERS[action];
  const buckets: Bucket[] = [];
  for (const { day, isExpired } of listDays(request)) {
    const values = Object.entries(meter.count(action, day)).map(([field, value]): [string, Amount] => [
      field,
      isExpired ? 0 : value,
    ]);
    if (settings.omitZeroDays && values.every(([, value]) => value === 0)) continue;
    const bucket: Bucket = { date: isoMs(day * DAY_MS) };
    for (const [field, value] of values) {
      bucket[field] = toJsonAmount(field === biasedField ? add(value, meter.getBias(day, action)) : value);
    }
    buckets.push(bucket);
  }
  return buckets;
}

/** Creates buckets by day, or by hour for the hours that the range touches. */
function createPayloadBuckets(request: CounterRequest): Bucket[] {
  const { meter, settings, query, target, nowMs } = request;
  const { resolution, asBytes, includeNonBillable, window } = query;
  const isHourly = resolution === HOUR_MS;
  const omitsZeros = isHourly ? settings.omitZeroHours : settings.omitZeroDays;
  const read = (row: SourceAmount) => {
    if (!row.billable && !includeNonBillable) return 0;
    return asBytes ? row.bytes : row.count;
  };
  const buckets: Bucket[] = [];
  for (const { day, isExpired } of listDays(request)) {
    const { hourOffsets } = isHourly && !isExpired ? meter.getEdits(day) : NO_EDITS;
    for (let fromMs = 0; fromMs < DAY_MS; fromMs += resolution) {
      const startMs = day * DAY_MS + fromMs;
      const toMs = fromMs + resolution;
      if (startMs + resolution <= window.startMs || startMs > Math.min(window.endMs, nowMs)) continue;
      const sum = isExpired ? 0 : sumUp(meter.payloads(day, fromMs, toMs), read);
      const value = add(sum, hourOffsets.get(fromMs / HOUR_MS) ?? 0);
      if (value === 0 && omitsZeros) continue;
      const biasedValue = add(value, meter.getBias(day, target.action));
      buckets.push({ date: isoMs(startMs), value: toJsonAmount(biasedValue) });
    }
  }
  return buckets;
}

function createSourceMap(request: CounterRequest): Body {
  const { meter, query, target } = request;
  const sum = new SourceSum();
  for (const { day, isExpired } of listDays(request)) {
    if (!isExpired) sum.add(meter.payloads(day, 0, DAY_MS));
    const by = meter.getBias(day, target.action);
    const row = { type: 'event', source: 'application.rest', billable: true, count: by, bytes: by };
    if (by !== 0) sum.add([row]);
  }
  const types: Record<string, Body> = {};
  for (const row of sum.toRows()) {
    (types[row.type] ??= {})[row.source] = toJsonAmount(query.asBytes ? row.bytes : row.count);
  }
  return types;
}
