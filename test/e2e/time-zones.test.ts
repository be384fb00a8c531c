import { afterAll, beforeAll, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { type Export, openExport } from './export.ts';
import { createPlace, type Place, readStored, readTruth } from './usage.ts';

const ZONES = ['UTC', 'America/New_York', 'Pacific/Auckland', 'Asia/Kathmandu', 'America/St_Johns'];

let exported: Export;
beforeAll(async () => {
  exported = await openExport({ orgs: 10 });
});
afterAll(async () => {
  await exported.close();
});

async function withPlace(kind: Place['kind'], check: (place: Place) => Promise<void>): Promise<void> {
  const place = await createPlace(kind);
  try {
    await check(place);
  } finally {
    await place.remove();
  }
}

const RUNS = [
  ...ZONES.map((TZ) => [TZ, 'postgres'] as const),
  // Values are parsed by the same code: one zone on either side of UTC.
  ['America/St_Johns', 'embedded'],
  ['Pacific/Auckland', 'embedded'],
] as const;

it.each(RUNS)('in time zone %s a run into %s holds exactly what is true of yesterday', (TZ, kind) =>
  withPlace(kind, async (place) => {
    const ended = await exported.run(['run', '--json'], { TZ, DATABASE_URL: place.url });
    const report = jsonOf(ended);
    expect(report.failures).toEqual([]);
    expect(ended.code).toBe(0);
    const day = daysAgo(1);
    expect(report).toMatchObject({ status: 'complete', from: day, to: day, orgs: 10, requests: 62 });
    const stored = await readStored(place);
    expect(stored.length).toBeGreaterThan(30);
    expect(stored).toEqual(await readTruth(exported.platform, day, day));
  }),
);

it.each(['America/New_York', 'Pacific/Auckland'])(
  'in time zone %s a backfill of forty days holds exactly what is true of them',
  (TZ) =>
    withPlace('postgres', async (place) => {
      const orgs = 10;
      const [from, to] = [daysAgo(40), daysAgo(1)];
      const args = ['backfill', '--json', '--from', from, '--to', to];
      const ended = await exported.run(args, { TZ, DATABASE_URL: place.url });
      expect(ended.code).toBe(0);
      // Two windows of at most 31 days for five requests each, one request a day for the sources.
      const requests = 2 + orgs * (5 * 2 + 40);
      expect(jsonOf(ended)).toMatchObject({ status: 'complete', from, to, orgs, requests, failures: [] });
      expect(await readStored(place)).toEqual(await readTruth(exported.platform, from, to));
    }),
);
