import { expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { type Ended, jsonOf } from '../support/program.ts';
import { useExport } from './export.ts';
import { createPlace, type Place, readStored, readTruth } from './usage.ts';

const ORGS = 5;

const exported = useExport({ orgs: ORGS });

/** Minutes from the local time of each zone to UTC, in January. */
const ZONES = { UTC: 0, 'Pacific/Auckland': -780, 'America/St_Johns': 210 };

/** Runs the program with the process in another time zone, as a host would be. */
async function runIn(zone: keyof typeof ZONES, place: Place, ...args: readonly string[]): Promise<Ended> {
  const usual = process.env['TZ'];
  process.env['TZ'] = zone;
  try {
    expect(new Date('2026-01-01T00:00:00Z').getTimezoneOffset()).toBe(ZONES[zone]);
    return await exported.run([...args, '--json'], { DATABASE_URL: place.url });
  } finally {
    process.env['TZ'] = usual;
  }
}

it.each([
  ['UTC', 'postgres'],
  // All tests run east of it; a backfill and an embedded database are read west of it.
  ['America/St_Johns', 'embedded'],
] as const)('in time zone %s a run into %s holds exactly what is true of yesterday', async (zone, kind) => {
  const place = await createPlace(kind);
  try {
    const ended = await runIn(zone, place, 'run');
    const day = daysAgo(1);
    // Six for each organization and for the instance's own totals, Get instance and the list.
    const requests = 2 + (ORGS + 1) * 6;
    expect(jsonOf(ended)).toMatchObject({ status: 'complete', from: day, to: day, orgs: ORGS, requests });
    expect(ended.code).toBe(0);
    const stored = await readStored(place);
    expect(stored.length).toBeGreaterThan(3 * ORGS);
    expect(stored).toEqual(await readTruth(exported.platform, day, day));
  } finally {
    await place.remove();
  }
});

// Promise (Numbers): A usage day is a UTC day under any time zone of the host, the database session or the reader.
it('in a time zone west of UTC a backfill of forty days holds exactly what is true of them', async () => {
  const place = await createPlace('postgres');
  try {
    const [from, to] = [daysAgo(40), daysAgo(1)];
    const ended = await runIn('America/St_Johns', place, 'backfill', '--from', from, '--to', to);
    // The last week and two windows of at most 31 days for five requests each, one request a day for the sources; the
    // instance's own totals in two windows.
    const requests = 2 + ORGS * (5 * 3 + 40) + (5 * 2 + 40);
    expect(jsonOf(ended)).toMatchObject({ status: 'complete', from, to, orgs: ORGS, requests, failures: [] });
    expect(ended.code).toBe(0);
    expect(await readStored(place)).toEqual(await readTruth(exported.platform, from, to));
  } finally {
    await place.remove();
  }
});
