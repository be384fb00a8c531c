/**
 * Worlds in which everything happens at once, in any order: after each step the tables are held against the
 * platform's truth. WORLD_SEEDS sets how many worlds, from WORLD_FIRST on, and WORLD_STEPS how long they are; WORLD_SEED
 * repeats one, with WORLD_ONLY some of its steps. The first failure ends it, with its steps and the checker's sentences.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { type ClockDatabase, createClockDatabase } from '../../support/clock-database.ts';
import { playSteps, stepsOf } from './play.ts';

const countFrom = (variable: string, usual: number) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .parse(process.env[variable] ?? usual);

const IS_REPEATED = process.env['WORLD_SEED'] !== undefined;
const FIRST = countFrom(IS_REPEATED ? 'WORLD_SEED' : 'WORLD_FIRST', 1);
const SEEDS = IS_REPEATED ? 1 : countFrom('WORLD_SEEDS', 2);
const STEPS = countFrom('WORLD_STEPS', 10);
/** The numbers of the steps that are repeated. */
const ONLY_STEPS = process.env['WORLD_ONLY']?.split(',').map(Number);
/** Some steps mostly wait for timeouts. */
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
  `${SEEDS} worlds in which everything happens at once have no wrong number, and nothing is required in silence`,
  async () => {
    const queue = Array.from({ length: SEEDS }, (_, index) => FIRST + index);
    const failures: string[] = [];
    const lane = async () => {
      for (let seed = queue.shift(); seed !== undefined && failures.length === 0; seed = queue.shift()) {
        const steps = stepsOf(seed, STEPS).filter(({ number }) => ONLY_STEPS?.includes(number) ?? true);
        const { log, wrong } = await playSteps(seed, steps, template);
        const lines = [...log, ...wrong.slice(0, 8).map((line) => `→ ${line}`)];
        if (wrong.length > 0) failures.push(`WORLD_SEED=${seed} WORLD_STEPS=${STEPS}\n${lines.join('\n')}`);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    expect(failures.join('\n\n')).toBe('');
  },
  // Generous: on a busy machine all of it takes several times as long.
  900_000 + SEEDS * STEPS * 1_500,
);
