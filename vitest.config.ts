import { defineConfig } from 'vitest/config';

const { SOAK_DAYS, WORLD_DEFECTS, WORLD_SEED } = process.env;
// A repeated seed is not about the checker.
const PLANTS_DEFECTS = WORLD_DEFECTS && !WORLD_SEED;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Days of wake-ups, and defects planted in the rules, take minutes: `npm run test:soak` and `test:world`.
    exclude: [
      'test/system/**',
      ...(SOAK_DAYS ? [] : ['test/soak/**']),
      ...(PLANTS_DEFECTS ? [] : ['test/campaigns/world/mutants.test.ts']),
    ],
    globalSetup: ['test/support/exit-code.ts', 'test/support/postgres-server.ts'],
    // Far from UTC on purpose: a usage day read through the local time zone is off by one here.
    env: { TZ: 'Pacific/Auckland' },
    // Many tests wait for Postgres and the simulated Losant: more of them at once keep two cores busy.
    maxWorkers: 4,
    // No test file changes anything that another one reads, and loading the program anew for each costs a fifth of the CPU.
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
