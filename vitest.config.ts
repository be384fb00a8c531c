import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/system/**'],
    globalSetup: ['test/support/exit-code.ts', 'test/support/postgres-server.ts'],
    // Far from UTC on purpose: a usage day read through the local time zone is off by one here.
    env: { TZ: 'Pacific/Auckland' },
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
