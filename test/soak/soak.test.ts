/** A year of hourly wake-ups in simulated time, with all that an operator does in it. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Release, releases } from '../support/releases.ts';
import { readMetric } from '../worker/process.ts';
import { type Firing, JUDGED_EVERY_HOURS } from './alerts.ts';
import { eventsOfYear } from './events.ts';
import { soak } from './soak.ts';
import { hourOf } from './world.ts';

/** Set by `npm run test:soak`, without which this is not run; at least 3. */
const DAYS = Number(process.env['SOAK_DAYS']);

/** The migrations of the version that is installed. */
const installed = vi.hoisted(() => ({ folder: 'migrations' }));
vi.mock(import('../../src/database/migrate.ts'), async (importOriginal) => {
  const { migrateToHead, readPending, readSchemaState, requireSchema } = await importOriginal();
  return {
    migrateToHead: (handle) => migrateToHead(handle, installed),
    readPending: (handle) => readPending(handle, installed),
    readSchemaState: (handle) => readSchemaState(handle, installed),
    requireSchema: (handle, options) => requireSchema(handle, { ...options, ...installed }),
  };
});

/** As seen every sixth hour. An outage of an hour wakes nobody. */
const ALERTS: readonly Firing[] = [
  ['DatabaseUnreachable', 54, 54],
  ['TokenRefused', 102, 102],
  // More than 26 hours after the last complete run, in hour 131, until the API is back in hour 180.
  ['NoCompleteRun', 162, 174],
  // Reads of the day that ended in hour 144 fail for all organizations: 18 hours later they still do.
  ['MostlyMissing', 162, 174],
  // Wrong answers for one organization from hour 264, while the others are read: the oldest missing day ended a
  // quarter of an hour before. The sixth retry, in hour 342, is the first after their end.
  ['Gap', 312, 336],
  ['DatabaseUnreachable', 420, 420],
  // Changed in hour 480, seen when the day is read for the second-to-last time, a week after its end.
  ['FinalNumberChanged', 528, 546],
  // Changed on day 45, seen a month after the day's end.
  ['FinalNumberChanged', hourOf(50), hourOf(50, 18)],
  // An organization answers no question from day 68 until it is deleted on day 74.
  ['Gap', hourOf(70), hourOf(73, 18)],
];

test(
  `after ${DAYS} days of hourly wake-ups with outages, upgrades, a failover, a restore and a prune nothing is missing`,
  async () => {
    const written = releases.write();
    onTestFinished(written.remove);
    const install = (release: Release) => {
      installed.folder = written.folderOf(release);
    };
    install('first');
    const startedMs = performance.now();
    const { firings, scrape, wakeUps, heapMb, standings, wrong, leftovers } = await soak(
      DAYS,
      eventsOfYear(install),
    );
    const seconds = (performance.now() - startedMs) / 1_000;
    const heap = heapMb.map((mb) => mb.toFixed(1)).join(' → ');
    process.stdout.write(
      `soak: ${DAYS} days, ${wakeUps} wake-ups in ${seconds.toFixed(0)} s, heap ${heap} MB, ${JSON.stringify({ standings, leftovers, firings })}\n`,
    );
    expect(wrong).toEqual([]);
    expect(
      Object.keys(standings).filter((each) => !['final', 'accepted', 'unavailable'].includes(each)),
    ).toEqual([]);
    expect(leftovers).toMatchObject({ running: 0, leases: 0 });
    for (const line of scrape
      .split('\n')
      .filter((each) => /^losant_usage_(gaps|gaps_expiring|quarantined)\{/.test(each))) {
      expect(line).toMatch(/ 0$/);
    }
    expect(readMetric(scrape, 'losant_usage_database_up')).toBe(1);
    expect((heapMb.at(-1) ?? 0) - (heapMb[0] ?? 0)).toBeLessThan(10);
    const inTime = ([, , to]: Firing) => to < hourOf(DAYS) - JUDGED_EVERY_HOURS;
    expect(firings.filter(inTime)).toEqual(ALERTS.filter(inTime));
    // Generous: on a busy machine it takes several times as long.
  },
  60_000 + DAYS * 30_000,
);
