import { expect, test } from 'vitest';
import { type DayRange, eachDay } from '../../src/usage/day.ts';
import { planPage } from '../../src/usage/plan.ts';
import { lastCompleteDay, nextCheckpointMs, type Policy } from '../../src/usage/policy.ts';
import { streamNamed, usualStreamNames } from '../../src/usage/streams/catalog.ts';

const HOUR_MS = 3_600_000;

/** The settings that hold where nothing is set. */
const policy: Policy = { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 };

/** Requests of one organization in each hour of a day, after hourly runs for 35 days of which each read succeeds. */
function requestsByHour(names: readonly string[]): Record<string, number> {
  const requests: Record<string, number> = {};
  const endMs = Date.parse('2026-11-24T00:00:00.000Z');
  for (const { name: stream, requests: each } of names.map(streamNamed)) {
    const verified = new Map<string, number>();
    for (let nowMs = Date.parse('2026-10-20T00:15:00.000Z'); nowMs < endMs; nowMs += HOUR_MS) {
      const days = eachDay({ from: '2026-10-19', to: lastCompleteDay(nowMs) });
      const unread = days.filter((day) => !verified.has(day));
      const stored = days.filter((day) => isDue(day, verified.get(day), nowMs));
      const none = { removedOn: null, uncovered: [], untracked: [], asked: [] };
      const track = {
        orgId: '5d0000000000000000000001',
        stream,
        unread: ranges(unread),
        stored: ranges(stored),
      };
      const { slices } = planPage([{ ...none, ...track }], { nowMs, policy });
      for (const { day } of slices.flatMap((slice) => slice.days)) verified.set(day, nowMs);
      const now = new Date(nowMs).toISOString();
      if (!now.startsWith('2026-11-23') || slices.length === 0) continue;
      const hour = now.slice(11, 16);
      requests[hour] = (requests[hour] ?? 0) + slices.length * each.length;
    }
  }
  return requests;
}

function isDue(day: string, verifiedAtMs: number | undefined, nowMs: number): boolean {
  const nextMs = verifiedAtMs === undefined ? null : nextCheckpointMs(day, verifiedAtMs, policy);
  return nextMs !== null && nextMs <= nowMs;
}

function ranges(days: readonly string[]): DayRange[] {
  return days.map((day) => ({ from: day, to: day }));
}

test('an organization takes 17 requests a day, as docs/operations.md says: 11 after midnight, 6 at 06:15', () => {
  expect(requestsByHour(usualStreamNames)).toEqual({ '00:15': 11, '06:15': 6 });
});

test('its hours take 6 more', () => {
  expect(requestsByHour(['payload_hours'])).toEqual({ '00:15': 3, '06:15': 3 });
});
