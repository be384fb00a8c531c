import { type Amount, add, jsonAmount } from './amount.ts';
import { DAY_MS, dayOf, HOUR_MS, isoMs } from './calendar.ts';
import type { Answered, BreakdownVariant, CounterAction } from './edits.ts';
import type { Meter } from './meter.ts';
import { isRefusal, parseChoice, parseFlag, parseWindow, type Refusal, type Window } from './params.ts';
import { createSourceSum } from './source-sum.ts';
import type { Config, World } from './world.ts';

export type Bucket = { date: string } & Record<string, unknown>;

export interface CounterAnswer {
  readonly body: Record<string, unknown>;
  readonly window: Window;
}

/** Returns the body of a counter, without its envelope of links. */
export function answerCounter(
  world: World,
  meter: Meter,
  action: CounterAction,
  query: URLSearchParams,
): CounterAnswer | Refusal {
  const { config, clock } = world;
  const nowMs = clock.now();
  const window = parseWindow(query, config, nowMs);
  if (isRefusal(window)) return window;
  const asBytes = parseFlag(query, 'asBytes');
  if (isRefusal(asBytes)) return asBytes;
  const includeNonBillable = parseFlag(query, 'includeNonBillable');
  if (isRefusal(includeNonBillable)) return includeNonBillable;
  const resolution = parseChoice(query, 'resolution', ['86400000', '3600000']);
  if (isRefusal(resolution)) return resolution;
  if (config.retention === 'refuse' && dayOf(window.startMs) < oldestDay(config, nowMs)) {
    return { field: 'start', refusal: `start must not be more than ${config.detailDays} days ago` };
  }
  const variant = variantOf(action, asBytes.on, includeNonBillable.on);
  const asked: Asked = { config, meter, answer: { action, variant }, window, nowMs };
  if (action === 'payloadCounts') return { window, body: sourceMap(asked, asBytes.on) };
  const envelope = config.echoWindow ? { start: isoMs(window.startMs), end: isoMs(window.endMs) } : {};
  const counts =
    action === 'payloadCountsBreakdown'
      ? payloadBuckets(asked, Number(resolution.choice), (row) => {
          if (!row.billable && !includeNonBillable.on) return 0;
          return asBytes.on ? row.bytes : row.count;
        })
      : dayBuckets(asked);
  return { window, body: { ...envelope, counts } };
}

/** Returns the oldest day whose detail is kept. */
export function oldestDay(config: Config, nowMs: number): number {
  return dayOf(nowMs) - config.detailDays;
}

function variantOf(action: CounterAction, asBytes: boolean, all: boolean): BreakdownVariant | null {
  if (action !== 'payloadCountsBreakdown') return null;
  return `${all ? 'all' : 'billable'}_${asBytes ? 'bytes' : 'count'}`;
}

interface Asked {
  readonly config: Config;
  readonly meter: Meter;
  readonly answer: Answered;
  readonly window: Window;
  readonly nowMs: number;
}

/**
 * Yields the days that a window touches, that have begun and are not left out, and whether their
 * detail is gone.
 */
function* daysOf({ config, meter, answer, window, nowMs }: Asked): Generator<{ day: number; gone: boolean }> {
  const oldest = oldestDay(config, nowMs);
  const first = dayOf(window.startMs);
  const last = Math.min(dayOf(window.endMs), dayOf(nowMs));
  for (let day = config.retention === 'zeros' ? first : Math.max(first, oldest); day <= last; day++) {
    if (!meter.isOmitted(day, answer)) yield { day, gone: day < oldest };
  }
}

/**
 * Returns the buckets of devices or notebooks, which are counted by whole days, however much of a day
 * the window covers.
 */
function dayBuckets(asked: Asked): Bucket[] {
  const { meter, config, answer } = asked;
  const buckets: Bucket[] = [];
  for (const { day, gone } of daysOf(asked)) {
    const values = answer.action === 'deviceCounts' ? meter.devices(day) : meter.notebooks(day);
    const bucket: Bucket = { date: isoMs(day * DAY_MS) };
    let isZero = true;
    for (const [field, value] of Object.entries(values)) {
      bucket[field] = gone ? 0 : jsonAmount(value);
      isZero &&= gone || value === 0;
    }
    if (!(isZero && config.omitZeroDays)) buckets.push(bucket);
  }
  return buckets;
}

/**
 * Returns the buckets of payloads, which are kept by the hour: a day's bucket contains the hours that
 * the window touches.
 */
function payloadBuckets(
  asked: Asked,
  resolutionMs: number,
  read: (row: { billable: boolean; count: Amount; bytes: Amount }) => Amount,
): Bucket[] {
  const buckets: Bucket[] = [];
  for (const { day, gone } of daysOf(asked)) {
    const hours = hoursOf(asked, day);
    for (let fromMs = hours.fromMs; fromMs < hours.toMs; fromMs += resolutionMs) {
      const toMs = Math.min(hours.toMs, fromMs + resolutionMs);
      const rows = gone ? [] : asked.meter.payloads(day, fromMs, toMs);
      const sum = rows.reduce<Amount>((total, row) => add(total, read(row)), 0);
      if (resolutionMs !== HOUR_MS) {
        if (sum === 0 && asked.config.omitZeroDays) continue;
        buckets.push({ date: isoMs(day * DAY_MS), value: jsonAmount(sum) });
        continue;
      }
      const edit = gone ? null : asked.meter.hourEdit(day, fromMs / HOUR_MS);
      const value = add(sum, edit?.by ?? 0);
      if (edit?.omitted || (value === 0 && asked.config.omitZeroHours)) continue;
      buckets.push({ date: isoMs(day * DAY_MS + fromMs), value: jsonAmount(value) });
    }
  }
  return buckets;
}

function sourceMap(asked: Asked, asBytes: boolean): Record<string, unknown> {
  const sum = createSourceSum();
  for (const { day, gone } of daysOf(asked)) {
    const { fromMs, toMs } = hoursOf(asked, day);
    if (!gone) sum.add(asked.meter.payloads(day, fromMs, toMs));
  }
  const types: Record<string, Record<string, unknown>> = {};
  for (const row of sum.rows()) {
    (types[row.type] ??= {})[row.source] = jsonAmount(asBytes ? row.bytes : row.count);
  }
  return types;
}

/**
 * Returns the hours of the day that [start, end] touches and that have begun, as [fromMs, toMs) after
 * midnight.
 */
function hoursOf({ window, nowMs }: Asked, day: number): { fromMs: number; toMs: number } {
  const midnight = day * DAY_MS;
  const firstHour = Math.floor((window.startMs - midnight) / HOUR_MS);
  const lastHour = Math.floor((Math.min(window.endMs, nowMs) - midnight) / HOUR_MS);
  return { fromMs: Math.max(0, firstHour * HOUR_MS), toMs: Math.min(DAY_MS, (lastHour + 1) * HOUR_MS) };
}
