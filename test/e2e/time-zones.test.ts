import { expect, it, onTestFinished } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { useInstallation } from './installation.ts';
import { createStore, readStored, readTruth } from './usage.ts';

const ORGS = 5;

const installation = useInstallation({ orgs: ORGS });

/** Minutes from the local time of each zone to UTC, in January. All tests run in Auckland, far east of UTC. */
const ZONES = { UTC: 0, 'America/St_Johns': 210 };

// Guarantee (Numbers): A usage day is a UTC day under any time zone of the host, the database session or the reader.
it.each([
  ['UTC', ['run'], 1],
  ['America/St_Johns', ['backfill', '--from', daysAgo(10), '--to', daysAgo(1)], 10],
] as const)('in time zone %s, the database equals the platform after %j', async (zone, args, days) => {
  const store = await createStore();
  const originalZone = process.env['TZ'];
  onTestFinished(async () => {
    process.env['TZ'] = originalZone;
    await store.remove();
  });
  process.env['TZ'] = zone;
  expect(new Date('2026-01-01T00:00:00Z').getTimezoneOffset()).toBe(ZONES[zone]);
  const ended = await installation.run([...args, '--json'], { DATABASE_URL: store.url });
  const [from, to] = [daysAgo(days), daysAgo(1)];
  expect(jsonOf(ended)).toMatchObject({ status: 'complete', from, to, orgs: ORGS, failures: [] });
  expect(ended.code).toBe(0);
  expect(await readStored(store)).toEqual(await readTruth(installation.platform, from, to));
});
