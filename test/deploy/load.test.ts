import { expect, test } from 'vitest';
import { streams } from '../../src/usage/streams/catalog.ts';
import { planPage } from '../../src/usage/plan.ts';
import { at, held, policy, track } from '../usage/tracks.ts';

const HOUR_MS = 3_600_000;

/** Requests of one organization in each hour of a day, after hourly passes for 35 days of which each read succeeds. */
function requestsByHour(): Record<string, number> {
  const verified = new Map<string, string>();
  const requests: Record<string, number> = {};
  const endMs = at('2026-11-24T00:00:00.000Z');
  for (let nowMs = at('2026-10-20T00:15:00.000Z'); nowMs < endMs; nowMs += HOUR_MS) {
    const now = new Date(nowMs).toISOString();
    for (const { name, windowDays, requests: each } of streams) {
      const cells = [...verified]
        .filter(([key]) => key.startsWith(`${name} `))
        .map(([key, verifiedAt]) => held(key.slice(name.length + 1), 'loaded', verifiedAt));
      const tracked = track({ stream: name, windowDays, trackedFrom: '2026-10-19', cells });
      const { slices } = planPage([tracked], { nowMs, policy });
      for (const { day } of slices.flatMap(({ days }) => days)) verified.set(`${name} ${day}`, now);
      if (!now.startsWith('2026-11-23') || slices.length === 0) continue;
      const hour = now.slice(11, 16);
      requests[hour] = (requests[hour] ?? 0) + slices.length * each.length;
    }
  }
  return requests;
}

test('an organization takes 17 requests a day, as docs/operations.md says: 11 after midnight, 6 at 06:15', () => {
  expect(requestsByHour()).toEqual({ '00:15': 11, '06:15': 6 });
});
