import { DAY_MS, HOUR_MS } from './calendar.ts';
import { fraction, mix } from './hash.ts';
import type { UsageProfile } from './profile.ts';

/**
 * The numbers themselves: pure functions of an organization's profile, a UTC day (whole days since
 * 1970) and the number of times the platform has restated that day.
 */

export interface DeviceDay {
  readonly created: number;
  readonly deleted: number;
  /** A level: the number of devices at the end of the day. */
  readonly total: number;
}

export interface NotebookDay {
  readonly minutes: number;
  readonly completed: number;
  readonly canceled: number;
  readonly errored: number;
  readonly timeout: number;
}

export interface SourceDay {
  readonly type: string;
  readonly source: string;
  readonly billable: boolean;
  readonly count: number;
  readonly bytes: number;
}

/** The day that growth is measured from: 2024-10-04. */
const REFERENCE_DAY = 20_000;
const LANES = { idle: 11, churn: 12, level: 13, transfer: 14, volume: 15, runs: 16, quiet: 17, source: 1000 };

/**
 * Returns the devices of the day. total = yesterday's total + created − deleted, except that every 37
 * days some devices come or go with a transferred application, which neither counter shows.
 */
export function deviceDay(profile: UsageProfile, day: number, restated: number): DeviceDay {
  const step = 1 + (profile.salt % 5);
  const change = level(profile, day) - level(profile, day - 1);
  const churn = isActive(profile, day)
    ? lane(profile, day, LANES.churn) % (1 + Math.ceil(profile.devices / 200))
    : 0;
  return {
    created: Math.max(change, 0) + churn + restated * step,
    deleted: Math.max(-change, 0) + churn,
    total: shift(level(profile, day) + transferred(profile, day), restated, step),
  };
}

export function notebookDay(profile: UsageProfile, day: number, restated: number): NotebookDay {
  const step = 1 + (profile.salt % 3);
  const runs = isActive(profile, day)
    ? Math.floor(
        profile.notebookRunsPerDay * weekdayFactor(day) * 2 * fraction(profile.salt, day * 64 + LANES.runs),
      )
    : 0;
  const errored = Math.floor(runs * 0.06);
  const timeout = Math.floor(runs * 0.03);
  const canceled = Math.floor(runs * 0.02);
  const completed = runs - errored - timeout - canceled;
  return {
    minutes: shift(runs * (1 + (profile.salt % 9)) + (runs > 0 ? day % 7 : 0), restated, step),
    completed: completed + restated,
    canceled,
    errored,
    timeout,
  };
}

/** Returns the payloads of the day by type and source, without pairs that have no payload. */
export function payloadDay(profile: UsageProfile, day: number, restated: number): SourceDay[] {
  const rows = restatePayloads(firstPayloads(profile, day), profile, restated);
  const first = rows[0];
  if (!profile.maximal || day % 5 !== 1 || first === undefined || rows.length < 2) return rows;
  const others = rows.slice(1).reduce((sum, row) => sum + row.bytes, 0);
  return [{ ...first, bytes: Number.MAX_SAFE_INTEGER - restated - others }, ...rows.slice(1)];
}

/**
 * Returns the part of a day's number that falls into [fromMs, toMs) after midnight. The parts add up
 * to the whole.
 */
export function part(whole: number, fromMs: number, toMs: number): number {
  return until(whole, toMs) - until(whole, fromMs);
}

const HOUR_WEIGHTS = [2, 1, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 9, 10, 11, 11, 10, 8, 6, 5, 4, 4, 3, 2];
const CUMULATED = HOUR_WEIGHTS.reduce<number[]>(
  (sums, weight) => [...sums, (sums.at(-1) ?? 0) + weight],
  [0],
);
const ALL_WEIGHTS = HOUR_WEIGHTS.reduce((sum, weight) => sum + weight, 0);

function until(whole: number, msOfDay: number): number {
  if (msOfDay <= 0) return 0;
  if (msOfDay >= DAY_MS) return whole;
  const hour = Math.floor(msOfDay / HOUR_MS);
  const inHour = (msOfDay - hour * HOUR_MS) / HOUR_MS;
  const share = ((CUMULATED[hour] ?? 0) + (HOUR_WEIGHTS[hour] ?? 0) * inHour) / ALL_WEIGHTS;
  return Math.floor(whole * share);
}

function firstPayloads(profile: UsageProfile, day: number): SourceDay[] {
  if (!isActive(profile, day)) return [];
  const noise = 0.7 + 0.6 * fraction(profile.salt, day * 64 + LANES.volume);
  const volume = profile.payloadsPerDay * weekdayFactor(day) * grown(profile, day) * noise;
  // On such a day devices only connect: nothing is billable, yet there are payloads.
  const quiet = profile.hasIdleDays && lane(profile, day, LANES.quiet) % 13 === 0;
  const rows: SourceDay[] = [];
  for (const [i, source] of profile.sources.entries()) {
    const noise = mix(lane(profile, day, LANES.source + i), i);
    if ((source.sporadic && noise % 3 !== 0) || (quiet && source.billable)) continue;
    const count = Math.floor(volume * source.weight * (0.5 + noise / 2 ** 32));
    if (count === 0) continue;
    const { type, source: name, billable, bytesEach } = source;
    rows.push({ type, source: name, billable, count, bytes: count * bytesEach + (noise % 997) });
  }
  return rows;
}

/**
 * Restates the payloads. An odd restatement adds a late source; an even one corrects the largest and
 * drops the smallest.
 */
function restatePayloads(rows: SourceDay[], profile: UsageProfile, restated: number): SourceDay[] {
  if (restated === 0) return rows;
  const by = restated * (1 + (profile.salt % 7));
  const largest = rows.reduce<SourceDay | null>((a, b) => (a === null || b.count > a.count ? b : a), null);
  if (restated % 2 === 1 || largest === null) {
    return [
      ...rows,
      { type: 'event', source: 'application.rest', billable: true, count: by, bytes: by * 64 },
    ];
  }
  const down = largest.count > by && largest.bytes > by * 64;
  const smallest = rows.reduce((a, b) => (b.count < a.count ? b : a));
  const corrected = {
    ...largest,
    count: largest.count + (down ? -by : by),
    bytes: largest.bytes + (down ? -by * 64 : by * 64),
  };
  const kept = down && smallest !== largest ? rows.filter((row) => row !== smallest) : rows;
  return kept.map((row) => (row === largest ? corrected : row));
}

/** Returns a different number for every restatement of the same base, never negative. */
function shift(base: number, restated: number, step: number): number {
  const by = restated * step;
  return restated % 2 === 0 && base > by ? base - by : base + by;
}

function level(profile: UsageProfile, day: number): number {
  if (profile.idle || day < profile.createdDay) return 0;
  const settled = Math.floor(profile.devices * grown(profile, day));
  return Math.max(1, settled + (lane(profile, day, LANES.level) % 3));
}

function transferred(profile: UsageProfile, day: number): number {
  if (profile.idle || day < profile.createdDay) return 0;
  return mix(mix(profile.salt, LANES.transfer), Math.floor(day / 37)) % 4;
}

function isActive(profile: UsageProfile, day: number): boolean {
  if (profile.idle || day < profile.createdDay) return false;
  return !(profile.hasIdleDays && lane(profile, day, LANES.idle) % 9 === 0);
}

function grown(profile: UsageProfile, day: number): number {
  return Math.max(0.05, 1 + (profile.growth * (day - REFERENCE_DAY)) / 365);
}

/** Returns the factor of a weekday; weekends are quiet. Day 0 was a Thursday. */
function weekdayFactor(day: number): number {
  const weekday = (((day + 4) % 7) + 7) % 7;
  return weekday === 0 || weekday === 6 ? 0.35 : 1;
}

function lane(profile: UsageProfile, day: number, of: number): number {
  return mix(mix(profile.salt, of), day);
}
