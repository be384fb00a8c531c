import { DAY_MS, HOUR_MS } from './calendar.ts';
import { fraction, mix } from './hash.ts';
import type { SourceProfile, UsageProfile } from './profile.ts';

/**
 * The numbers themselves: pure functions of an organization's profile, a UTC day (whole days since
 * 1970) and the number of times the platform has restated that day.
 */

export interface SourceDay extends Pick<SourceProfile, 'type' | 'source' | 'billable'> {
  readonly count: number;
  readonly bytes: number;
}

/** The most bytes of an organization on a day: all others of its instance fit beside it below 2^53. */
const MAX_ORG_BYTES = Number.MAX_SAFE_INTEGER - 2 ** 50;

/** The day that growth is measured from: 2024-10-04. */
const REFERENCE_DAY = 20_000;
const LANES = { idle: 11, churn: 12, level: 13, transfer: 14, volume: 15, runs: 16, quiet: 17, source: 1000 };

/**
 * Returns the devices of the day; `total` is the level at its end. total = yesterday's total + created −
 * deleted, except that every 37 days some devices come or go with a transferred application, which
 * neither counter shows.
 */
export function deviceDay(profile: UsageProfile, day: number, restated: number) {
  const step = 1 + (profile.salt % 5);
  const change = level(profile, day) - level(profile, day - 1);
  const most = 1 + Math.ceil(profile.devices / 200);
  const churn = isActive(profile, day) ? lane(profile, day, LANES.churn) % most : 0;
  return {
    created: Math.max(change, 0) + churn + restated * step,
    deleted: Math.max(-change, 0) + churn,
    total: shift(level(profile, day) + transferred(profile, day), restated, step),
  };
}

export function notebookDay(profile: UsageProfile, day: number, restated: number) {
  const noise = 2 * fraction(profile.salt, day * 64 + LANES.runs);
  const wanted = Math.floor(profile.notebookRunsPerDay * weekdayFactor(day) * noise);
  const runs = isActive(profile, day) ? wanted : 0;
  const errored = Math.floor(runs * 0.06);
  const timeout = Math.floor(runs * 0.03);
  const canceled = Math.floor(runs * 0.02);
  const minutes = runs * (1 + (profile.salt % 9)) + (runs > 0 ? day % 7 : 0);
  return {
    minutes: shift(minutes, restated, 1 + (profile.salt % 3)),
    completed: runs - errored - timeout - canceled + restated,
    canceled,
    errored,
    timeout,
  };
}

/** Returns the payloads of the day by type and source, without pairs that have no payload. */
export function payloadDay(profile: UsageProfile, day: number, restated: number): SourceDay[] {
  const rows = restatePayloads(firstPayloads(profile, day), profile, restated);
  const [first, ...others] = rows;
  if (!profile.maximal || day % 5 !== 1 || first === undefined || others.length === 0) return rows;
  const rest = others.reduce((sum, row) => sum + row.bytes, 0);
  return [{ ...first, bytes: MAX_ORG_BYTES - restated - rest }, ...others];
}

/** Returns the part of a day's number that falls into [fromMs, toMs) after midnight. The parts add up to it. */
export function part(whole: number, fromMs: number, toMs: number): number {
  return until(whole, toMs) - until(whole, fromMs);
}

const HOUR_WEIGHTS = [2, 1, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 9, 10, 11, 11, 10, 8, 6, 5, 4, 4, 3, 2];
/** The sums of the weights before each hour, and of all. */
const SUMS = [0, ...HOUR_WEIGHTS.map((_, hour) => HOUR_WEIGHTS.slice(0, hour + 1).reduce((a, b) => a + b))];

function until(whole: number, msOfDay: number): number {
  if (msOfDay <= 0) return 0;
  if (msOfDay >= DAY_MS) return whole;
  const hour = Math.floor(msOfDay / HOUR_MS);
  const inHour = (msOfDay - hour * HOUR_MS) / HOUR_MS;
  const share = ((SUMS[hour] ?? 0) + (HOUR_WEIGHTS[hour] ?? 0) * inHour) / (SUMS[24] ?? 1);
  return Math.floor(whole * share);
}

function firstPayloads(profile: UsageProfile, day: number): SourceDay[] {
  if (!isActive(profile, day)) return [];
  const factor = weekdayFactor(day) * grown(profile, day);
  const volume =
    profile.payloadsPerDay * factor * (0.7 + 0.6 * fraction(profile.salt, day * 64 + LANES.volume));
  // On such a day devices only connect: nothing is billable, yet there are payloads.
  const quiet = profile.hasIdleDays && lane(profile, day, LANES.quiet) % 13 === 0;
  const rows: SourceDay[] = [];
  for (const [i, { weight, bytesEach, sporadic, ...source }] of profile.sources.entries()) {
    const noise = mix(lane(profile, day, LANES.source + i), i);
    if ((sporadic && noise % 3 !== 0) || (quiet && source.billable)) continue;
    const count = Math.floor(volume * weight * (0.5 + noise / 2 ** 32));
    if (count > 0) rows.push({ ...source, count, bytes: count * bytesEach + (noise % 997) });
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
  const late = { type: 'event', source: 'application.rest', billable: true, count: by, bytes: by * 64 };
  if (restated % 2 === 1 || rows.length === 0) return [...rows, late];
  const largest = rows.reduce((a, b) => (b.count > a.count ? b : a));
  const smallest = rows.reduce((a, b) => (b.count < a.count ? b : a));
  const sign = largest.count > by && largest.bytes > by * 64 ? -1 : 1;
  const corrected = { count: largest.count + sign * by, bytes: largest.bytes + sign * by * 64 };
  return rows
    .filter((row) => sign > 0 || row !== smallest || row === largest)
    .map((row) => (row === largest ? { ...row, ...corrected } : row));
}

/** Returns a different number for every restatement of the same base, never negative. */
function shift(base: number, restated: number, step: number): number {
  const by = restated * step;
  return restated % 2 === 0 && base > by ? base - by : base + by;
}

function level(profile: UsageProfile, day: number): number {
  if (!exists(profile, day)) return 0;
  const settled = Math.floor(profile.devices * grown(profile, day));
  return Math.max(1, settled + (lane(profile, day, LANES.level) % 3));
}

function transferred(profile: UsageProfile, day: number): number {
  return exists(profile, day) ? mix(mix(profile.salt, LANES.transfer), Math.floor(day / 37)) % 4 : 0;
}

function isActive(profile: UsageProfile, day: number): boolean {
  return exists(profile, day) && !(profile.hasIdleDays && lane(profile, day, LANES.idle) % 9 === 0);
}

function exists({ idle, createdDay }: UsageProfile, day: number): boolean {
  return !idle && day >= createdDay;
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
