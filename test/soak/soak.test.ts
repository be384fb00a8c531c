import { expect, test } from 'vitest';
import { readMetric } from '../worker/process.ts';
import type { Firing } from './alerts.ts';
import { soak, type Trouble } from './soak.ts';

/** Set by `npm run test:soak`, without which this is not run; at least 3. */
const DAYS = Number(process.env['SOAK_DAYS']);

/** In the first three days; hours since the start, a quarter past midnight. */
const EARLY: readonly Trouble[] = [
  { kind: 'api_down', from: 6, to: 6 },
  { kind: 'database_down', from: 54, to: 54 },
];

const LATE: readonly Trouble[] = [
  { kind: 'token_revoked', from: 100, to: 102 },
  { kind: 'api_down', from: 132, to: 179 },
  { kind: 'answers_wrong', from: 264, to: 335 },
  { kind: 'database_down', from: 420, to: 422 },
  { kind: 'final_restated', from: 480, to: 480 },
];

/** An outage of an hour wakes nobody. */
const EARLY_ALERTS: readonly Firing[] = [['DatabaseUnreachable', 54, 54]];

const LATE_ALERTS: readonly Firing[] = [
  ['TokenRefused', 100, 102],
  // More than 26 hours after the last complete run, in hour 131, until the API is back.
  ['NoCompleteRun', 158, 179],
  // Wrong answers since hour 264. The sixth retry, in hour 342, is the first after their end.
  ['NoCompleteRun', 290, 341],
  // The oldest missing day ended a quarter of an hour before hour 264.
  ['Gap', 312, 341],
  ['DatabaseUnreachable', 420, 422],
  // Changed in hour 480, seen when the day is read for the second-to-last time, a week after its end.
  ['FinalNumberChanged', 528, 551],
];

test(
  `after ${DAYS} days of hourly wake-ups of two replicas with outages nothing is missing`,
  async () => {
    const startedMs = performance.now();
    const isLong = DAYS === 30;
    const { firings, scrape, wakeUps, heapMb, orgs, tables } = await soak(
      DAYS,
      isLong ? [...EARLY, ...LATE] : EARLY,
    );
    const seconds = (performance.now() - startedMs) / 1_000;
    const heap = heapMb.map((mb) => mb.toFixed(1)).join(' → ');
    process.stdout.write(
      `soak: ${DAYS} days, ${wakeUps} wake-ups in ${seconds.toFixed(0)} s, heap ${heap} MB, ${JSON.stringify({ firings, ...tables })}\n`,
    );
    // The first run tracks the day before; every day since has ended for all four streams.
    const cells = DAYS * orgs * 4;
    expect(tables).toEqual({
      cells,
      stored: cells,
      device_counts: DAYS * orgs,
      payload_totals: DAYS * orgs,
      running: 0,
      leases: 0,
    });
    for (const line of scrape
      .split('\n')
      .filter((each) => /^losant_usage_(gaps|gaps_expiring|quarantined)\{/.test(each))) {
      expect(line).toMatch(/ 0$/);
    }
    expect(readMetric(scrape, 'losant_usage_database_up')).toBe(1);
    expect((heapMb[1] ?? 0) - (heapMb[0] ?? 0)).toBeLessThan(10);
    expect(firings).toEqual(isLong ? [...EARLY_ALERTS, ...LATE_ALERTS] : EARLY_ALERTS);
    // Generous: on a busy machine it takes several times as long.
  },
  60_000 + DAYS * 30_000,
);
