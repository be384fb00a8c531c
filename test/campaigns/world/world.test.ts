/**
 * Worlds in which everything happens at once, in any order: after each step the tables are held against the
 * platform's truth. WORLD_SEEDS sets how many worlds and WORLD_STEPS how long they are; WORLD_SEED repeats one, with
 * WORLD_ONLY some of its steps. A failure prints the seed and the checker's sentences, the first one also the shortest
 * of its steps that still fail.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ClockDatabase, createClockDatabase } from '../../support/clock-database.ts';
import { countFrom, inLanes } from './dice.ts';
import { KINDS, playSteps, type Step, shrink, stepsOf } from './play.ts';

const ONLY = process.env['WORLD_SEED'];
/** The numbers of the steps that are repeated. */
const ONLY_STEPS = process.env['WORLD_ONLY']?.split(',').map(Number);
/** The first seed of several. */
const FIRST = countFrom('WORLD_FIRST', 1);
const SEEDS = countFrom('WORLD_SEEDS', 4);
const IS_SHRUNK = process.env['WORLD_SHRUNK'] !== 'no';
const STEPS = countFrom('WORLD_STEPS', 10);
/** Some steps mostly wait for timeouts. */
const LANES = 6;

let template: ClockDatabase;
beforeAll(async () => {
  template = await createClockDatabase();
});
afterAll(() => template.drop());

// Promise (Numbers): Whatever happens at once and in any order, what is stored is what Losant answered, and nothing is
// missing in silence.
// Promise (Missing numbers): When troubles end, everything inside the horizon becomes right by itself, and no gap is left.
// Promise (Runs): What a run says by its exit code and its counts is what the ledger has.
test(
  `${SEEDS} worlds in which everything happens at once have no wrong number, and nothing is missing in silence`,
  async () => {
    const seeds =
      ONLY === undefined ? Array.from({ length: SEEDS }, (_, index) => FIRST + index) : [Number(ONLY)];
    const counts: Record<string, number> = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, 0]));
    const failures: string[] = [];
    await inLanes(LANES, seeds, async (seed) => {
      const steps = stepsOf(seed, STEPS).filter(({ number }) => ONLY_STEPS?.includes(number) ?? true);
      for (const { kind } of steps) counts[kind] = (counts[kind] ?? 0) + 1;
      const { log, wrong } = await playSteps(seed, steps, template);
      if (wrong.length === 0) return;
      const played = ONLY === undefined ? log.slice(-1) : log;
      process.stdout.write(`world: seed ${seed}, ${played.join('\n')}: ${wrong.slice(0, 3).join('; ')}\n`);
      // Shrinking plays a world many times: of several failures only the first is shrunk.
      const isFirst = failures.push(`WORLD_SEED=${seed}`) === 1;
      if (isFirst && IS_SHRUNK)
        failures[0] = await describe(seed, steps.slice(0, log.length), wrong[0] ?? '');
    });
    process.stdout.write(`world: ${seeds.length} seeds of ${STEPS} steps, ${JSON.stringify(counts)}\n`);
    expect(failures.join('\n\n')).toBe('');
  },
  // Generous: on a busy machine all of it takes several times as long.
  900_000 + SEEDS * STEPS * 1_500,
);

/** Returns the failure of a seed with the shortest of its steps that lead to the same sentence. */
async function describe(seed: number, steps: readonly Step[], first: string): Promise<string> {
  const isSame = async (fewer: readonly Step[]) => {
    const { wrong } = await playSteps(seed, fewer, template);
    return wrong.some((line) => kindOf(line) === kindOf(first));
  };
  const shortest = await shrink(steps, isSame);
  const { log, wrong } = await playSteps(seed, shortest, template);
  return [
    `WORLD_SEED=${seed} WORLD_STEPS=${STEPS} WORLD_ONLY=${shortest.map(({ number }) => number).join()}`,
    'The shortest of its steps that fail are',
    ...log.map((line) => `  ${line}`),
    ...wrong.slice(0, 8).map((line) => `  → ${line}`),
  ].join('\n');
}

/** A sentence without what differs from one world to the next. */
const kindOf = (line: string) => line.replaceAll(/[\da-f]{24}|\d+|(device|notebook|payload)_\w+|[[{].*/g, '');
