import { DAY_MS, HOUR_MS } from './calendar.ts';
import { fraction, mix } from './hash.ts';
import type { SourceProfile, UsageProfile } from './profile.ts';

/** Pure functions of a profile, a day, and the number of times that the platform has restated the day. */

export interface SourceDay extends Pick<SourceProfile, 'type' | 'source' | 'billable'> {
  readonly count: number;
  readonly bytes: number;
}

/** The most bytes of an organization and day: leaves room below 2^53 for the others of its instance. */
const MAX_ORG_BYTES = Number.MAX_SAFE_INTEGER - 2 ** 50;

/** 2024-10-04, the day without growth. */
const REFERENCE_DAY = 20_000;
const LANES = { idle: 11, churn: 12, level: 13, transfer: 14, volume: 15, runs: 16, quiet: 17, source: 1000 };

/** The counters with a bucket of fields per day, by the action of the API: how they count, and what a bias changes. */
export const DAY_COUNTERS = {
  deviceCounts: {
    stream: 'device_counts',
    none: { created: 0, deleted: 0, total: 0 },
    count: countDevices,
    biasedField: 'total',
  },
  notebookMinuteCounts: {
    stream: 'notebook_minutes',
    none: { minutes: 0, completed: 0, canceled: 0, errored: 0, timeout: 0 },
    count: countNotebooks,
    biasedField: 'minutes',
  },
} as const;
export type DayAction = keyof typeof DAY_COUNTERS;
export const DAY_ACTIONS = Object.keys(DAY_COUNTERS) as readonly DayAction[];

/**
 * Counts the devices of the day up to a time after midnight; `total` is the level then: the previous total + created −
 * deleted, except that every 37 days some devices move with a transferred application, which neither counter shows.
 */
function countDevices(profile: UsageProfile, day: number, restatements: number, elapsedMs: number) {
  const step = 1 + (profile.salt % 5);
  const change = computeLevel(profile, day) - computeLevel(profile, day - 1);
  const bound = 1 + Math.ceil(profile.devices / 200);
  const churn = isActive(profile, day) ? drawNoise(profile, day, LANES.churn) % bound : 0;
  const dayCreated = Math.max(change, 0) + churn + restatements * step;
  const dayDeleted = Math.max(-change, 0) + churn;
  const dayTotal = adjust(computeLevel(profile, day) + computeTransfers(profile, day), restatements, step);
  const created = computePart(dayCreated, 0, elapsedMs);
  const deleted = computePart(dayDeleted, 0, elapsedMs);
  return { created, deleted, total: Math.max(0, dayTotal - (dayCreated - created) + (dayDeleted - deleted)) };
}

function countNotebooks(profile: UsageProfile, day: number, restatements: number, elapsedMs: number) {
  const noise = 2 * fraction(profile.salt, day * 64 + LANES.runs);
  const activeRuns = Math.floor(profile.notebookRunsPerDay * getWeekdayFactor(day) * noise);
  const runs = isActive(profile, day) ? activeRuns : 0;
  const errored = Math.floor(runs * 0.06);
  const timeout = Math.floor(runs * 0.03);
  const canceled = Math.floor(runs * 0.02);
  const minutes = runs * (1 + (profile.salt % 9)) + (runs > 0 ? day % 7 : 0);
  const toPart = (value: number) => computePart(value, 0, elapsedMs);
  return {
    minutes: toPart(adjust(minutes, restatements, 1 + (profile.salt % 3))),
    completed: toPart(runs - errored - timeout - canceled + restatements),
    canceled: toPart(canceled),
    errored: toPart(errored),
    timeout: toPart(timeout),
  };
}

/** Returns the payloads of the day by type and source, without sources that have none. */
export function countPayloads(profile: UsageProfile, day: number, restatements: number): SourceDay[] {
  const rows = restatePayloads(computePayloads(profile, day), profile, restatements);
  const [first, ...others] = rows;
  if (!profile.maximal || day % 5 !== 1 || first === undefined || others.length === 0) return rows;
  const rest = others.reduce((sum, row) => sum + row.bytes, 0);
  return [{ ...first, bytes: MAX_ORG_BYTES - restatements - rest }, ...others];
}

/** Returns the part of a day's number within [fromMs, toMs) after midnight. The parts add up to the number. */
export function computePart(whole: number, fromMs: number, toMs: number): number {
  return countUntil(whole, toMs) - countUntil(whole, fromMs);
}

const HOUR_WEIGHTS = [2, 1, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 9, 10, 11, 11, 10, 8, 6, 5, 4, 4, 3, 2];
/** The sum of the weights before each hour, and of all. */
const SUMS = [0, ...HOUR_WEIGHTS.map((_, hour) => HOUR_WEIGHTS.slice(0, hour + 1).reduce((a, b) => a + b))];

function countUntil(whole: number, msOfDay: number): number {
  if (msOfDay <= 0) return 0;
  if (msOfDay >= DAY_MS) return whole;
  const hour = Math.floor(msOfDay / HOUR_MS);
  const inHour = (msOfDay - hour * HOUR_MS) / HOUR_MS;
  const share = ((SUMS[hour] ?? 0) + (HOUR_WEIGHTS[hour] ?? 0) * inHour) / (SUMS[24] ?? 1);
  return Math.floor(whole * share);
}

function computePayloads(profile: UsageProfile, day: number): SourceDay[] {
  if (!isActive(profile, day)) return [];
  const factor = getWeekdayFactor(day) * computeGrowth(profile, day);
  const volume = profile.payloadsPerDay * factor * (0.7 + 0.6 * fraction(profile.salt, day * 64 + LANES.volume));
  // On a quiet day devices only connect: there are payloads, but no billable ones.
  const quiet = profile.hasIdleDays && drawNoise(profile, day, LANES.quiet) % 13 === 0;
  const rows: SourceDay[] = [];
  for (const [i, { weight, bytesEach, sporadic, ...source }] of profile.sources.entries()) {
    const noise = mix(drawNoise(profile, day, LANES.source + i), i);
    if ((sporadic && noise % 3 !== 0) || (quiet && source.billable)) continue;
    const count = Math.floor(volume * weight * (0.5 + noise / 2 ** 32));
    if (count > 0) rows.push({ ...source, count, bytes: count * bytesEach + (noise % 997) });
  }
  return rows;
}

/** An odd restatement adds a late source; an even one corrects the largest source and drops the smallest. */
function restatePayloads(rows: SourceDay[], profile: UsageProfile, restatements: number): SourceDay[] {
  if (restatements === 0) return rows;
  const by = restatements * (1 + (profile.salt % 7));
  const late = { type: 'event', source: 'application.rest', billable: true, count: by, bytes: by * 64 };
  if (restatements % 2 === 1 || rows.length === 0) return [...rows, late];
  const largest = rows.reduce((a, b) => (b.count > a.count ? b : a));
  const smallest = rows.reduce((a, b) => (b.count < a.count ? b : a));
  const sign = largest.count > by && largest.bytes > by * 64 ? -1 : 1;
  const correction = { count: largest.count + sign * by, bytes: largest.bytes + sign * by * 64 };
  return rows
    .filter((row) => sign > 0 || row !== smallest || row === largest)
    .map((row) => (row === largest ? { ...row, ...correction } : row));
}

/** Returns a different number for each restatement of the same base, never negative. */
function adjust(base: number, restatements: number, step: number): number {
  const by = restatements * step;
  return restatements % 2 === 0 && base > by ? base - by : base + by;
}

function computeLevel(profile: UsageProfile, day: number): number {
  if (!exists(profile, day)) return 0;
  const deviceCount = Math.floor(profile.devices * computeGrowth(profile, day));
  return Math.max(1, deviceCount + (drawNoise(profile, day, LANES.level) % 3));
}

function computeTransfers(profile: UsageProfile, day: number): number {
  return exists(profile, day) ? mix(mix(profile.salt, LANES.transfer), Math.floor(day / 37)) % 4 : 0;
}

function isActive(profile: UsageProfile, day: number): boolean {
  return exists(profile, day) && !(profile.hasIdleDays && drawNoise(profile, day, LANES.idle) % 9 === 0);
}

function exists({ idle, createdDay }: UsageProfile, day: number): boolean {
  return !idle && day >= createdDay;
}

function computeGrowth(profile: UsageProfile, day: number): number {
  return Math.max(0.05, 1 + (profile.growth * (day - REFERENCE_DAY)) / 365);
}

/** Weekends are quiet. Day 0 was a Thursday. */
function getWeekdayFactor(day: number): number {
  const weekday = (((day + 4) % 7) + 7) % 7;
  return weekday === 0 || weekday === 6 ? 0.35 : 1;
}

function drawNoise(profile: UsageProfile, day: number, lane: number): number {
  return mix(mix(profile.salt, lane), day);
}
