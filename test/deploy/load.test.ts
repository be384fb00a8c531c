/** How many requests an organization takes a day, which docs/performance.md says. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { addDays, eachDay } from '../../src/usage/day.ts';
import { planSlices } from '../../src/usage/plan.ts';
import { lastCompleteDay, nextCheckpointMs, type Policy } from '../../src/usage/policy.ts';
import { streamNamed, usualStreamNames } from '../../src/usage/streams/catalog.ts';

const HOUR_MS = 3_600_000;

/** The settings that hold where nothing is set. */
const policy: Policy = { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 };

/** Returns the requests of one organization by wake-up of a day, after hourly runs for 35 days that all succeed. */
function requestsByHour(names: readonly string[]): Record<string, number> {
  const requests: Record<string, number> = {};
  const first = '2026-10-19';
  for (const stream of names) {
    const reads = new Map<string, number>();
    for (let nowMs = Date.parse('2026-10-20T00:15:00Z'); nowMs < Date.parse('2026-11-24'); nowMs += HOUR_MS) {
      const isDue = (day: string) => {
        const readMs = reads.get(day);
        const nextMs = readMs === undefined ? nowMs : nextCheckpointMs(day, readMs, policy);
        return nextMs !== null && nextMs <= nowMs;
      };
      const due = eachDay({ from: first, to: lastCompleteDay(nowMs) }).filter(isDue);
      const slices = planSlices(due.map((day) => ({ orgId: '5d0000000000000000000001', stream, day })));
      for (const day of slices.flatMap((slice) => slice.days)) reads.set(day, nowMs);
      const [date, hour = ''] = new Date(nowMs).toISOString().slice(0, 16).split('T');
      if (date !== addDays('2026-11-24', -1) || slices.length === 0) continue;
      requests[hour] = (requests[hour] ?? 0) + slices.length * streamNamed(stream).requests.length;
    }
  }
  return requests;
}

test('an organization takes 17 requests a day, and its hours 6 more', () => {
  expect(requestsByHour(usualStreamNames)).toEqual({ '00:15': 11, '06:15': 6 });
  expect(requestsByHour(['payload_hours'])).toEqual({ '00:15': 3, '06:15': 3 });
  const text = readFileSync('docs/performance.md', 'utf8');
  expect(text).toContain('17 requests a day');
  expect(text).toContain('6 more with `payload_hours`');
});
