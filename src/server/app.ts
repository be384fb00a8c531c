import { type Context, Hono } from 'hono';
import { compress } from 'hono/compress';
import { html } from 'hono/html';
import { readMonth, readOpenMonth } from '../billing/month.ts';
import { changesPage } from '../console/changes.ts';
import { quarantinePage, totalsPage } from '../console/checks.ts';
import { coveragePage } from '../console/coverage.ts';
import { homePage } from '../console/home.ts';
import { monthFilePage } from '../console/month-csv.ts';
import { monthPage, monthsPage } from '../console/months.ts';
import { organizationPage } from '../console/organization.ts';
import { organizationsPage } from '../console/organizations.ts';
import { ICON, renderMissing } from '../console/page.ts';
import { boundReads, keepReading, keepReadings, type Reading, shareReading } from '../console/readings.ts';
import { runPage, runsPage } from '../console/runs.ts';
import {
  type ConsolePage,
  type InstanceStatus,
  type PageSources,
  shownHealth,
  type WakeEnd,
} from '../console/sources.ts';
import { dayStoryPage, streamStoryPage } from '../console/story.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState } from '../database/migrate.ts';
import { createDatabase } from '../database/open.ts';
import type { Logger } from '../logger.ts';
import { readHeatMap } from '../queries/coverage.ts';
import { type Health, pingDatabase, readHealth } from '../queries/health.ts';
import { readOverview } from '../queries/organizations.ts';
import {
  type CountedMonths,
  countDifferences,
  type Differences,
  readReconciliation,
} from '../queries/reconciliation.ts';
import { streamView, VIEW_STATEMENT_MS } from '../queries/view-rows.ts';
import { type Config, requireDatabaseUrl } from '../settings/config.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import type { Metrics } from './metrics.ts';

export const PAGES: readonly ConsolePage[] = [
  homePage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  monthFilePage,
  coveragePage,
  dayStoryPage,
  streamStoryPage,
  changesPage,
  totalsPage,
  quarantinePage,
  runsPage,
  runPage,
];

export interface AppSources extends PageSources {
  readonly metrics: Metrics;
}

const NOT_FOUND = renderMissing({
  path: '',
  title: 'Not found',
  sentence: 'There is no such page',
  hint: html`<a href="/">Home</a> and the links above lead to all there are.`,
});

/** `createApp` creates the routes. The guard has already decided who may see them. */
export function createApp({ metrics, ...sources }: AppSources): Hono {
  const { status, database, readiness, logger, now } = sources;
  const app = new Hono();
  app.use(compress());
  app.get('/healthz', (c) => c.text('ok\n'));
  app.get('/readyz', async (c) => {
    const problems = await readiness();
    return problems.length === 0 ? c.text('ready\n') : c.text(`not ready: ${problems.join('; ')}\n`, 503);
  });
  app.get('/metrics', async (c) => {
    const text = await metrics.render(await database(), now());
    return c.body(text, 200, { 'content-type': metrics.contentType });
  });
  app.get('/status.json', async (c) => {
    const view = await database();
    const health = shownHealth(view);
    const ageMs = view.reading === null ? null : now() - view.reading.atMs;
    return c.json({ worker: status(), databaseUp: view.isUp, ageMs, ledger: health });
  });
  for (const { path, open } of PAGES) app.get(path, open(sources));
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  app.notFound((c) => c.html(NOT_FOUND, 404));
  app.onError((error, c: Context) => {
    logger.error({ err: error, path: c.req.path }, 'page failed');
    return c.text('This page failed; the log says why\n', 500);
  });
  return app;
}

/** The readers' own connections: one for each cached reading, two for other pages and one for a file. */
const READER = { poolSize: 11, statementTimeoutMs: 60_000, connectTimeoutMs: 3_000 };
/** Health: a caller waits this long for a new reading, and then gets the last good one with its age. */
const HEALTH = { keepMs: 3_000, timeoutMs: 3_000, oldAfterMs: 90_000 };
const HEAT_MAP = { keepMs: 30_000, timeoutMs: 100, firstTimeoutMs: 700 };
/** The reading of a month, which is counted over all of it; only the first caller waits for it. */
const MONTHS = { keepMs: 60_000, timeoutMs: 100, firstTimeoutMs: 900, max: 2 };
/** The reading of all organizations, by the day up to which it goes. */
const OVERVIEW = { keepMs: 60_000, timeoutMs: 50, firstTimeoutMs: 700, oldAfterMs: 3_600_000, max: 1 };
/** Differences: sums over five weeks of all organizations, which stay for a while and may be old. */
const DIFFERENCES = { keepMs: 600_000, timeoutMs: 100, firstTimeoutMs: 100 };
const OPEN_MONTH = { keepMs: 300_000, timeoutMs: 50, firstTimeoutMs: 50 };
const PING = { keepMs: 1_000, timeoutMs: 3_000 };
const BOUNDS = { max: 2, timeoutMs: 5_000 };
const READINESS = { keepMs: 5_000, timeoutMs: 3_000 };

interface ServingProcess {
  readonly config: Config;
  readonly logger: Logger;
  readonly hostNow: () => number;
  readonly host: string;
  readonly version: string;
  readonly signal: AbortSignal;
}

type WithLogger = Pick<ServingProcess, 'config' | 'logger'>;

export async function openReader({ config, logger }: WithLogger): Promise<DatabaseHandle> {
  const url = requireDatabaseUrl(config);
  return await createDatabase({ url, applicationName: 'losant-usage pages', logger, ...READER });
}

export interface SourceOptions {
  readonly reader: DatabaseHandle;
  readonly loop: { readonly statuses: readonly InstanceStatus[]; readonly wakes: readonly WakeEnd[] };
  readonly schedule: { readonly isArmed: () => boolean; readonly nextWakeAt: () => Date | null };
  readonly startedAtMs: number;
}

export function createSources(serving: ServingProcess, options: SourceOptions): PageSources {
  const { config, logger, hostNow: now, version, host, signal } = serving;
  const { reader, loop, schedule } = options;
  const startedAt = new Date(options.startedAtMs).toISOString();
  const { db } = reader;
  const ping = shareReading(() => pingDatabase(db), { ...PING, now });
  const onFailure = (error: unknown) =>
    logger.warn({ err: error }, 'database not read for the pages, the last reading stays');
  const kept = { now, onFailure };
  const { horizonDays } = config.policy;
  const counted: CountedMonths = new Map();
  const differences = keepReading(() => countDifferences(db, now(), counted), { ...DIFFERENCES, ...kept });
  const health = keepReading(() => readHealth(db, { nowMs: now(), horizonDays }), { ...HEALTH, ...kept });
  const heatMap = keepReading(() => readHeatMap(db, addDays(dayAt(now()), -1)), { ...HEAT_MAP, ...kept });
  const oneMonth = boundReads({ max: 1, timeoutMs: READER.statementTimeoutMs });
  const month = keepReadings((name: Month) => oneMonth(() => readMonth(db, name)), { ...MONTHS, ...kept });
  const totals = keepReadings(
    async (name: Month) => {
      const scope = { range: daysOfMonth(name), instanceIds: null, withEqual: false };
      return await oneMonth(async () => await readReconciliation(db, scope));
    },
    { ...MONTHS, ...kept },
  );
  const overviewTo = keepReadings((to: UsageDay) => readOverview(db, to), { ...OVERVIEW, ...kept });
  const openMonth = keepReading(() => readOpenMonth(db), { ...OPEN_MONTH, ...kept });
  const bound = boundReads(BOUNDS);
  const oneFile = boundReads({ max: 1, timeoutMs: VIEW_STATEMENT_MS });
  return {
    logger,
    now,
    policy: config.policy,
    heatMap,
    month,
    totals,
    overview: () => overviewTo(addDays(dayAt(now()), -1)),
    openMonth,
    read: (query) => bound(() => query(db)),
    streamRows: (request, take) => oneFile(() => streamView(reader, request, { signal, take })),
    database: async (waitMs = HEALTH.timeoutMs) => {
      const reads = [ping().then(...YES_OR_NO), health(waitMs), differences()] as const;
      const [isUp, reading, counted] = await Promise.all(reads);
      return { isUp, reading: reading && addDifferences(reading, counted?.value) };
    },
    status: () => ({
      ...{ version, host, startedAt, schedule: config.schedule, isArmed: schedule.isArmed() },
      ...{ nextWakeAt: schedule.nextWakeAt()?.toISOString() ?? null, isStopping: signal.aborted },
      instances: loop.statuses,
    }),
    wakes: () => loop.wakes,
    readiness: createReadiness(serving, options),
  };
}

/** `addDifferences` adds what is counted less often than the rest is read, and takes longer. */
function addDifferences(reading: Reading<Health>, differences: Differences | undefined): Reading<Health> {
  const instances = reading.value.instances.map((instance) => {
    const found = differences?.get(instance.instanceId);
    return { ...instance, differences: found?.counts, differingMonths: found?.months };
  });
  return { ...reading, value: { ...reading.value, instances } };
}

const YES_OR_NO = [() => true, () => false] as const;

/** `createReadiness` says whether the database answers, and not why it does not: anybody may ask. */
function createReadiness(
  { hostNow: now, signal }: ServingProcess,
  { reader, schedule }: SourceOptions,
): () => Promise<readonly string[]> {
  const schema = shareReading(() => readSchemaState(reader), { ...READINESS, now });
  return async () => {
    const problems = [];
    if (signal.aborted) problems.push('the worker is ending');
    else if (!schedule.isArmed()) problems.push('the schedule is not armed');
    const state = await schema().then(
      (found) => found.state,
      () => 'unreachable',
    );
    if (state === 'unreachable') problems.push('the database does not answer');
    else if (state !== 'at_head') problems.push(`the schema of the database is ${state}`);
    return problems;
  };
}
