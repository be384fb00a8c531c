/**
 * `npm run bench`: the cost of a daily run compared with its floor, of questions to a full database, and of a month end.
 * Program, simulator and Postgres are separate processes. It prints Markdown tables; RESULTS.md has those that count.
 */
import { globSync, mkdtempSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { OwnPostgres } from '../test/support/own-postgres.ts';
import { type Bench, daily, type Sizes, start } from './daily.ts';
import { months } from './months.ts';
import { createTemplate, query } from './processes.ts';
import { printTable } from './report.ts';
import { views } from './views.ts';

const CASES: Readonly<Record<string, (bench: Bench) => Promise<void>>> = { start, daily, views, months };

const FULL: Sizes = {
  daily: [1_000, 5_000],
  latencies: [20, 100],
  views: 10_000,
  days: 400,
  months: 10_000,
  rounds: 3,
};
const QUICK: Sizes = { daily: [100], latencies: [20], views: 500, days: 90, months: 500, rounds: 1 };

const HELP = `npm run bench -- [options]
  --only ${Object.keys(CASES).join(',')}   the cases to run
  --quick                          small sizes; takes two minutes`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(CASES).join(',') },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(HELP);
else await runCases(values.only.split(','));

async function runCases(names: readonly string[]): Promise<void> {
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
    const [server] = await query<{ version: string }>(
      postgres.url,
      `select split_part(current_setting('server_version'), ' ', 1) as version`,
    );
    console.log(`Postgres ${server?.version}, Node ${process.version}, ${availableParallelism()} CPUs`);
    const bench = { postgres, sizes: values.quick ? QUICK : FULL, report: printTable };
    for (const name of names) await runCase(name, bench);
  } finally {
    await postgres.stop();
  }
}

/** Returns the folder of the oldest Postgres of Debian that is installed, as in production; or undefined. */
function findDebianBinaries(): string | undefined {
  const folders = globSync('/usr/lib/postgresql/*/bin/postgres').map((path) => dirname(path));
  const toVersion = (folder: string) => Number.parseInt(basename(dirname(folder)), 10);
  return folders.toSorted((a, b) => toVersion(a) - toVersion(b))[0];
}

/** Runs a case. A failure does not stop the others. */
async function runCase(name: string, bench: Bench): Promise<void> {
  const startedAt = performance.now();
  try {
    await CASES[name]?.(bench);
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
    // A high load average shows that something else was running.
    console.log(`\n${name} took ${seconds} s; load average ${loadavg()[0]?.toFixed(1)}`);
  } catch (error) {
    console.error(`\n${name} failed:`, error);
    process.exitCode = 1;
  }
}
