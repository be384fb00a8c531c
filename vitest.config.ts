import { defineConfig } from 'vitest/config';

const { SOAK_DAYS } = process.env;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Days of wake-ups take minutes: `npm run test:soak`.
    exclude: ['test/system/**', ...(SOAK_DAYS ? [] : ['test/soak/**'])],
    globalSetup: ['test/support/postgres-server.ts'],
    // Far from UTC on purpose: a usage day read through the local time zone is off by one here.
    env: { TZ: 'Pacific/Auckland' },
    // Many tests wait for Postgres and the simulated Losant: more of them at once keep two cores busy.
    maxWorkers: 4,
    // No test file changes anything that another one reads, and loading the program anew for each costs a fifth of the CPU.
    isolate: false,
    // Less of the CPU goes into collecting garbage that is young.
    execArgv: ['--max-semi-space-size=64'],
    // Generous: on a busy machine a test takes ten times as long.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
