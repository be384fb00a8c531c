import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The files that take longest. On a new machine Vitest knows none, and would begin with the largest. */
const SLOWEST = ['console', 'package', 'demo', 'sessions', 'recovery'];

class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isSlow = ({ moduleId }: TestSpecification, name: string) => moduleId.endsWith(`/test/system/${name}.test.ts`);
    const sorted = await super.sort(files);
    const slowest = SLOWEST.flatMap((name) => sorted.filter((file) => isSlow(file, name)));
    return [...new Set([...slowest, ...sorted])];
  }
}

/** Tests that install and run the product the way a user does: minutes, not seconds. */
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts'],
    globalSetup: ['test/support/postgres-server.ts'],
    env: { TZ: 'Pacific/Auckland' },
    // Less of the CPU goes into collecting garbage, and none into optimizing the embedded database, which runs for a
    // moment only.
    execArgv: ['--max-semi-space-size=64', '--initial-old-space-size=300', '--liftoff-only'],
    // Many of these tests wait for leases, timers or a browser.
    maxWorkers: 3,
    sequence: { sequencer: SlowestFirst },
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 100_000 } },
  },
});
