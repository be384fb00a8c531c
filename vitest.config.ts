import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const POSTGRES_SERVER = 'test/support/postgres-server.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/system/**'],
    globalSetup: existsSync(POSTGRES_SERVER) ? [POSTGRES_SERVER] : [],
    // Far from UTC on purpose: a usage day read through the local time zone is off by one here.
    env: { TZ: 'Pacific/Auckland' },
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
