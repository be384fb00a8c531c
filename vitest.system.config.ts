import { defineConfig } from 'vitest/config';

/** Tests that install and run the product the way a user does: minutes, not seconds. */
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts'],
    globalSetup: ['test/support/postgres-server.ts'],
    env: { TZ: 'Pacific/Auckland' },
    // None of the CPU goes into optimizing the embedded database, which runs for a moment only.
    execArgv: ['--max-semi-space-size=64', '--liftoff-only'],
    // Many of these tests wait for leases, timers or a browser.
    maxWorkers: 3,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
