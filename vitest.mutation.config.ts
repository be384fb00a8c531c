import { defineConfig } from 'vitest/config';

/** The tests of `npm run mutation`: they need no Postgres. */
export default defineConfig({ test: { include: ['test/usage/**/*.test.ts'], env: { TZ: 'Pacific/Auckland' } } });
