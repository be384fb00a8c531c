/**
 * Seeded worlds in which everything goes wrong that can: each run is checked against
 * the platform's truth. FAULT_WORLDS sets how many worlds; a failure names its seed,
 * which FAULT_SEED repeats.
 */
import { expect, test } from 'vitest';
import { type Campaign, playWorld } from './fault-world.ts';
import { countFrom, inLanes } from './seeds.ts';

const WORLDS = countFrom('FAULT_WORLDS', 25);
/** Runs mostly wait for answers that do not come. */
const LANES = 25;
const ONLY = process.env['FAULT_SEED'];

test(
  `${WORLDS} worlds full of faults hold no wrong number, and nothing is missing in silence`,
  async () => {
    const seeds =
      ONLY === undefined ? Array.from({ length: WORLDS }, (_, index) => index + 1) : [Number(ONLY)];
    const campaign: Campaign = { counts: {}, faults: {}, wrong: [] };
    await inLanes(LANES, seeds, (seed) => playWorld(seed, campaign));
    const { counts, faults, wrong } = campaign;
    process.stdout.write(`fault campaign: ${JSON.stringify({ worlds: seeds.length, ...counts, faults })}\n`);
    expect(wrong).toEqual([]);
    expect(counts['runs']).toBeGreaterThan(3 * seeds.length);
  },
  // Generous: on a busy machine all of it takes several times as long.
  240_000 + WORLDS * 5_000,
);
