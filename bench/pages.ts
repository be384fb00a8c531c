/** The case of the console's pages on a database with months of data. */
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '../src/cli/database.ts';
import { PAGES } from '../src/console/pages.ts';
import { refreshAttention } from '../src/ledger/attention.ts';
import { createLogger } from '../src/logger.ts';
import { createApp, createSources, PROBER, READER } from '../src/server/app.ts';
import { listen } from '../src/server/listen.ts';
import { createMetrics } from '../src/server/metrics.ts';
import { readConfig } from '../src/settings/config.ts';
import { count } from '../src/terminal/words.ts';
import { addDays, dayAt } from '../src/usage/day.ts';
import { makeMonthReady, restateDays, SETTINGS } from './billing.ts';
import { type Bench, medianOf, type Row } from './cases.ts';
import { addLogin, LAUNCHER, runMeasured, withDatabase } from './processes.ts';
import { fillDatabase } from './views.ts';

const { LOSANT_INSTANCE_ID: INSTANCE } = SETTINGS;
const ORG = '5d0000000000000000000064';
const OTHER_ORG = '5d00000000000000000000c8';
const UNREPORTED = 70;
const BACKGROUND_READS_MS = 5_000;

/** Returns an address of each page: parameters get an organization, a day and a closed month. */
function listAddresses(month: string): string[] {
  const day = addDays(dayAt(Date.now()), -10);
  const lastMonth = addDays(`${dayAt(Date.now()).slice(0, 7)}-01`, -1).slice(0, 7);
  const values = { ':id': ORG, ':org': ORG, ':day': day, ':month': month } as const;
  const paths = PAGES.map(({ path }) => path).filter((path) => !/\.\w+$/.test(path));
  const addresses = paths.map((path) =>
    path.replaceAll(/:\w+/g, (name) => values[name as keyof typeof values] ?? name),
  );
  const more = [
    `/organizations/${ORG}?with=${OTHER_ORG}`,
    `/billing/${lastMonth}`,
    `/billing/${lastMonth}?only=not_ready`,
    `/billing/${month}/customer?instance=${INSTANCE}&org=${ORG}`,
    '/organizations?q=Org+77',
  ];
  return [...addresses.filter((address) => !/:|customer$/.test(address)), ...more];
}

/** Times each page over HTTP with the worker's server: the first time, and again. */
export async function pages({ postgres, sizes, report }: Bench): Promise<void> {
  const { views: orgs, days, rounds } = sizes;
  await withDatabase(postgres, async (databaseUrl) => {
    await fillDatabase(databaseUrl, { orgs, days, unreported: UNREPORTED });
    const month = await makeMonthReady(databaseUrl);
    const close = ['close', '--month', month, '--json'];
    await runMeasured(LAUNCHER, close, { env: { ...SETTINGS, DATABASE_URL: addLogin(close, databaseUrl) } });
    await restateDays(databaseUrl);
    const env = { DATABASE_URL: addLogin(['worker'], databaseUrl), LOSANT_INSTANCE_ID: INSTANCE };
    const config = readConfig({ env, configFile: null, needs: ['database'] });
    const logger = createLogger({ level: 'warn', pretty: false, destination: process.stderr });
    const startedAtMs = Date.now();
    const opening = { config, logger, role: 'losant_usage_writer' } as const;
    await using reader = await openDatabase(opening, READER);
    await using prober = await openDatabase(opening, PROBER);
    const signal = new AbortController().signal;
    const serving = { config, logger, hostNow: Date.now, host: 'bench', version: 'bench', signal };
    const loop = { statuses: [] };
    const sources = createSources(serving, { reader, prober, loop, schedule: { nextWakeAt: () => null }, startedAtMs });
    const metrics = createMetrics({ version: 'bench', instanceIds: [INSTANCE], startedAtMs });
    const app = createApp({ ...sources, metrics });
    const server = await listen(app, { host: '127.0.0.1', port: 0, token: null, logger });
    await using closing = new AsyncDisposableStack();
    closing.defer(() => server.close());
    const refreshedAt = performance.now();
    await refreshAttention({ db: reader.db, instanceId: INSTANCE, lease: null }, dayAt(Date.now()));
    const rows: Row[] = [{ page: 'the refresh of what needs attention', firstMs: performance.now() - refreshedAt }];
    const timePage = async (address: string) => await time(`http://127.0.0.1:${server.port}${address}`);
    for (const address of listAddresses(month)) {
      const { wallMs: firstMs, sizeBytes } = await timePage(address);
      // A first visit may begin reads that take seconds, which nobody waits for.
      await sleep(BACKGROUND_READS_MS);
      const visits: Visit[] = [];
      for (let round = 0; round < rounds; round += 1) visits.push(await timePage(address));
      const { wallMs: againMs } = medianOf(visits, ['wallMs']);
      const page = decodeURIComponent(address)
        .replaceAll(ORG, 'ORG')
        .replaceAll(OTHER_ORG, 'OTHER')
        .replace(INSTANCE, 'ID');
      rows.push({ page, firstMs, againMs, sizeBytes });
    }
    const where = `${count(orgs, 'organization')} × ${days} days, ${UNREPORTED}% without notebooks`;
    report(`pages: ${where}, medians of ${rounds}`, rows);
  });
}

type Visit = Awaited<ReturnType<typeof time>>;

async function time(url: string) {
  const startedAt = performance.now();
  const response = await fetch(url);
  const body = await response.text();
  if (response.status !== 200) throw new Error(`${url} responded with ${response.status}: ${body.slice(0, 200)}`);
  return { wallMs: performance.now() - startedAt, sizeBytes: body.length };
}
