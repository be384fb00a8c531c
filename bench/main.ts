/**
 * `npm run bench`: the cost of the program compared with other ways to load the same numbers, and of questions to a full
 * database. Program, simulator and Postgres are separate processes.
 */
import { globSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { OwnPostgres } from '../test/support/own-postgres.ts';
import { billing } from './billing.ts';
import { type Bench, backfill, daily, idle, type Sizes, start } from './cases.ts';
import { pages } from './pages.ts';
import { createTemplate, query } from './processes.ts';
import { createReport } from './report.ts';
import { views } from './views.ts';

const CASES: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  start,
  daily,
  backfill,
  idle,
  views,
  pages,
  billing,
};

const FULL: Sizes = {
  daily: [1e3, 5e3],
  backfill: 500,
  idle: 1e4,
  views: 1e4,
  billing: 1e4,
  days: 90,
  latencies: [0, 20, 100],
  rounds: 3,
};
const QUICK: Sizes = {
  daily: [100, 500],
  backfill: 50,
  idle: 500,
  views: 500,
  billing: 500,
  days: 90,
  latencies: [0, 20],
  rounds: 1,
};

const HELP = `npm run bench -- [options]
  --only ${Object.keys(CASES).join(',')}   the cases to run
  --quick         small sizes; takes two minutes
  --orgs N        organizations in every case
  --days N        days of history
  --node-flags    Node flags of the measured program, such as '--node-flags=--cpu-prof'
  --publish       also write the tables into docs/performance.md
  --out           JSON file for the figures (bench-results.json)`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(CASES).join(',') },
    quick: { type: 'boolean', default: false },
    orgs: { type: 'string' },
    days: { type: 'string' },
    'node-flags': { type: 'string', default: '' },
    publish: { type: 'boolean', default: false },
    out: { type: 'string', default: 'bench-results.json' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(HELP);
else await bench(values.only.split(','));

async function bench(names: readonly string[]): Promise<void> {
  const unknown = names.find((name) => CASES[name] === undefined);
  if (unknown !== undefined) throw new Error(`--only ${unknown} is not a case\n${HELP}`);
  // Commits wait for the disk, as in production.
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-bench-'));
  const binaries = findDebianBinaries();
  const postgres = await OwnPostgres.start(folder, {
    settings: ['max_wal_size=4GB'],
    ...(binaries === undefined ? {} : { binaries }),
  });
  try {
    await createTemplate(postgres);
    const [server] = await query<{ name: string }>(
      postgres.url,
      `select format('Postgres %s, %s', split_part(current_setting('server_version'), ' ', 1),
        case when pg_jit_available() then 'with JIT' else 'without a JIT compiler' end) as name`,
    );
    console.log(`${server?.name}; the program as it is installed`);
    const sizes = readSizes();
    const nodeFlags = values['node-flags'].split(' ').filter((flag) => flag !== '');
    const settings = { concurrency: 32, nodeFlags };
    const report = createReport(values.out, {
      isPublished: values.publish,
      server: server?.name ?? '',
      sizes,
      settings,
    });
    for (const name of names) await runCase(name, { postgres, sizes, settings, report });
  } finally {
    await postgres.stop();
  }
}

/** Returns the oldest Postgres of Debian that is installed, because its package has the JIT compiler; or undefined. */
function findDebianBinaries(): string | undefined {
  const folders = globSync('/usr/lib/postgresql/*/bin/postgres').map((path) => dirname(path));
  return folders.toSorted(
    (a, b) => Number.parseInt(basename(dirname(a)), 10) - Number.parseInt(basename(dirname(b)), 10),
  )[0];
}

function readSizes(): Sizes {
  const defaults = values.quick ? QUICK : FULL;
  const days = values.days === undefined ? defaults.days : Number(values.days);
  if (values.orgs === undefined) return { ...defaults, days };
  const orgs = Number(values.orgs);
  return { ...defaults, days, daily: [orgs], backfill: orgs, idle: orgs, views: orgs, billing: orgs };
}

/** Runs a case. A failure does not stop the others. */
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
