/**
 * Seeded worlds in which everything goes wrong that can: each run is checked against
 * the platform's truth. FAULT_WORLDS sets how many worlds; a failure names its seed,
 * which FAULT_SEED repeats on the same day (UTC).
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { playWorld } from './fault-world.ts';
import { countFrom, inLanes } from './seeds.ts';
import type { Campaign } from './world.ts';

const WORLDS = countFrom('FAULT_WORLDS', 4);
/** Runs mostly wait for answers that do not come. */
const LANES = 25;
const ONLY = process.env['FAULT_SEED'];

let template: ClockDatabase;
beforeAll(async () => {
  template = await createClockDatabase();
});
afterAll(() => template.drop());

test(
  `${WORLDS} worlds full of faults hold no wrong number, and nothing is missing in silence`,
  async () => {
    const seeds =
      ONLY === undefined ? Array.from({ length: WORLDS }, (_, index) => index + 1) : [Number(ONLY)];
    const campaign: Campaign = { counts: {}, faults: {}, edits: {}, wrong: [] };
    await inLanes(LANES, seeds, (seed) => playWorld(seed, campaign, template));
    const { counts, faults, edits, wrong } = campaign;
    const told = { worlds: seeds.length, ...counts, edits, faults };
    process.stdout.write(`fault campaign: ${JSON.stringify(told)}\n`);
    expect(wrong).toEqual([]);
    // Most runs must get to work: one that is refused at once shows nothing.
    expect((counts['complete'] ?? 0) + (counts['partial'] ?? 0)).toBeGreaterThan(
      ONLY === undefined ? 4 * WORLDS : 0,
    );
  },
  // Generous: on a busy machine all of it takes several times as long.
  240_000 + WORLDS * 5_000,
);
