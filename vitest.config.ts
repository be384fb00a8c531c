import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const { SOAK_DAYS } = process.env;

/**
 * The files that take several seconds. On a new machine Vitest knows none, and a long one would run alone at the end.
 * Those that mostly wait do not begin together, or a core would idle.
 */
const SLOWEST = [
  'worker/ending',
  'billing/year',
  'server/pages',
  'concurrency/several',
  'loading/run',
  'worker/digest',
  'worker/lists',
  'loading/requests',
  'campaigns/world/world',
  'worker/worker',
  'worker/loop',
  'worker/heartbeat',
  'commands/check',
  'commands/terminal',
  'e2e/faults',
  'e2e/refusals',
];

class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const index = SLOWEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return index === -1 ? SLOWEST.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Days of wake-ups take minutes: `npm run test:soak`.
    exclude: ['test/system/**', ...(SOAK_DAYS ? [] : ['test/soak/**'])],
    globalSetup: ['test/support/postgres-server.ts'],
    // Far from UTC on purpose: a usage day read through the local time zone is off by one here.
    env: { TZ: 'Pacific/Auckland' },
    // Tests wait for Postgres and the simulated Losant: more of them at once keep two cores busy. But each process loads
    // and compiles the program, for two seconds of CPU.
    maxWorkers: 4,
    sequence: { sequencer: SlowestFirst },
    // No test file changes anything that another one reads, and loading the program anew for each costs a fifth of the CPU.
    isolate: false,
    // Less of the CPU goes into collecting garbage, and none into optimizing the embedded database, which runs for a
    // moment only.
    execArgv: ['--max-semi-space-size=64', '--initial-old-space-size=300', '--liftoff-only'],
    // Generous: on a busy machine a test takes ten times as long.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 100_000 } },
  },
});
