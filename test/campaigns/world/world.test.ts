/**
 * Worlds in which everything happens in any order. After each step, what the reader sees is compared with the
 * platform's truth. WORLD_SEEDS is the number of worlds, WORLD_FIRST the first seed, WORLD_STEPS the length of a world,
 * WORLD_ORGS the number of organizations. WORLD_SEED repeats one world, and WORLD_ONLY only some of its steps. A world
 * that fails is shown with its steps and what is wrong.
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
const SEEDS = IS_REPEATED ? 1 : readCount('WORLD_SEEDS', 2);
const STEPS = readCount('WORLD_STEPS', 40);
const ORGS = readCount('WORLD_ORGS', 4);
/** The numbers of the steps that are repeated. */
const ONLY_STEPS = process.env['WORLD_ONLY']?.split(',').map(Number);
/** More worlds than cores, because some steps mostly wait for timeouts. */
const LANES = readCount('WORLD_LANES', 3);

let template: ClockDatabase;
beforeAll(async () => {
  template = await createClockDatabase();
});
afterAll(() => template.drop());

test(
  'worlds in which everything happens have no wrong number, and no gap goes unnoticed',
  async () => {
    const queue = Array.from({ length: SEEDS }, (_, index) => FIRST + index);
    const failures: string[] = [];
    const lane = async () => {
      for (let seed = queue.shift(); seed !== undefined; seed = queue.shift()) {
        const steps = drawSteps(seed, STEPS).filter(({ number }) => ONLY_STEPS?.includes(number) ?? true);
        const { log, violations } = await playSteps({ seed, orgCount: ORGS, steps }, template);
        if (SEEDS > 2) process.stdout.write(`world ${seed}: ${violations.length === 0 ? 'passed' : 'failed'}\n`);
        if (violations.length === 0) continue;
        const lines = [...log, ...violations.slice(0, 8).map((line) => `→ ${line}`)];
        failures.push(`WORLD_SEED=${seed} WORLD_STEPS=${STEPS} WORLD_ORGS=${ORGS}\n${lines.join('\n')}`);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    expect(failures.join('\n\n')).toBe('');
  },
  // A busy machine takes several times as long.
  900_000 + SEEDS * STEPS * ORGS * 1_000,
);
