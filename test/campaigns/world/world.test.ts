/**
 * Worlds in which everything happens concurrently and in any order. After each step, the tables are compared with the
 * platform's truth. WORLD_SEEDS is the number of worlds, WORLD_FIRST the first seed, WORLD_STEPS the length of a world.
 * WORLD_SEED repeats one world, and WORLD_ONLY only some of its steps. The first failure ends the test and shows the
 * steps and what is wrong.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { type ClockDatabase, createClockDatabase } from '../../support/clock-database.ts';
import { drawSteps, playSteps } from './play.ts';

const readCount = (variable: string, defaultCount: number) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .parse(process.env[variable] ?? defaultCount);

const IS_REPEATED = process.env['WORLD_SEED'] !== undefined;
const FIRST = readCount(IS_REPEATED ? 'WORLD_SEED' : 'WORLD_FIRST', 1);
const SEEDS = IS_REPEATED ? 1 : readCount('WORLD_SEEDS', 1);
const STEPS = readCount('WORLD_STEPS', 10);
/** The numbers of the steps that are repeated. */
const ONLY_STEPS = process.env['WORLD_ONLY']?.split(',').map(Number);
/** More worlds than cores, because some steps mostly wait for timeouts. */
const LANES = 6;

let template: ClockDatabase;
beforeAll(async () => {
  template = await createClockDatabase();
});
afterAll(() => template.drop());

// Guarantee (Numbers): Whatever happens, concurrently and in any order, the stored numbers are those that Losant
// reported, and no gap goes unnoticed.
// Guarantee (Missing numbers): After an outage, all gaps inside the horizon are filled automatically.
// Guarantee (Runs): The exit code and counts of a run agree with the ledger.
test(
  'worlds in which everything happens concurrently have no wrong number, and no gap goes unnoticed',
  async () => {
    const queue = Array.from({ length: SEEDS }, (_, index) => FIRST + index);
    const failures: string[] = [];
    let passed = 0;
    const lane = async () => {
      for (let seed = queue.shift(); seed !== undefined && failures.length === 0; seed = queue.shift()) {
        const steps = drawSteps(seed, STEPS).filter(({ number }) => ONLY_STEPS?.includes(number) ?? true);
        const { log, violations } = await playSteps(seed, steps, template);
        if (violations.length > 0) {
          const lines = [...log, ...violations.slice(0, 8).map((line) => `→ ${line}`)];
          failures.push(`WORLD_SEED=${seed} WORLD_STEPS=${STEPS}\n${lines.join('\n')}`);
          return;
        }
        passed += 1;
        if (passed % 10 === 0) process.stdout.write(`world: ${passed} passed\n`);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    expect(failures.join('\n\n')).toBe('');
  },
  // A busy machine takes several times as long.
  900_000 + SEEDS * STEPS * 1_500,
);
