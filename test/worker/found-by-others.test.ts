/** The worker shows what is in the database, whatever process found it. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { usePlatform } from '../simulator/platform.ts';
import { asProgram, holdLease } from '../support/by-hand.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { readMetric, type StartedWorker, settingsOf, startTestWorker } from './process.ts';

const platform = usePlatform({ orgs: 3, now: Date.now });
/** After a complete run; each test has a copy. */
let ran: TestDatabase;
let database: TestDatabase;

beforeAll(async () => {
  ran = await createTestDatabase();
  const { code, stderr } = await runProgram(['run'], settingsOf(platform, ran));
  if (code !== 0) throw new Error(stderr);
});
afterAll(async () => {
  await ran.drop();
});
beforeEach(async () => {
  database = await createTestDatabase({ template: ran.name });
  onTestFinished(() => database.drop());
});

const command = async (...args: string[]) => await runProgram(args, settingsOf(platform, database));
const asHand = async (statement: string) => await queryOnce(database.url, asProgram(statement));

/** A worker beside another process that has the lease: what it shows was not found by it. */
async function startStandby(): Promise<StartedWorker> {
  await asHand(holdLease(platform.instanceId));
  const worker = await startTestWorker(settingsOf(platform, database));
  await until('it stands by', () => worker.running.stderr().includes('"msg":"standing by"'));
  return worker;
}

interface StatusPage {
  readonly databaseUp: boolean;
  readonly ageMs: number;
  readonly ledger: {
    readonly instances: readonly {
      readonly finalChanges: number;
      readonly streams: readonly { readonly completeTo: string | null; readonly orgsComplete: number }[];
    }[];
  };
}

const statusOf = async (worker: StartedWorker) =>
  JSON.parse((await worker.get('/status.json')).text) as StatusPage;

interface StatusCommand {
  readonly instances: readonly {
    readonly finalChanges30Days: number;
    readonly streams: readonly { readonly completeTo: string | null }[];
  }[];
}

// Promise (Missing numbers): Commands, views, metrics and the console count the same gaps and reach to the same day.
test('the day up to which nothing is missing is the same on page, in /status.json, status, view and metric', async () => {
  // Tracked for two more days, of which nothing was read.
  await asHand(
    `update losant_usage.tracking set tracked_days = datemultirange(daterange('${daysAgo(3)}', null))`,
  );
  const worker = await startStandby();
  const days = async () => [
    ...new Set([
      ...(await statusOf(worker)).ledger.instances.flatMap(({ streams }) =>
        streams.map(({ completeTo }) => completeTo),
      ),
      ...jsonOf<StatusCommand>(await command('status', '--json')).instances.flatMap(({ streams }) =>
        streams.map(({ completeTo }) => completeTo),
      ),
      ...(
        await queryOnce(database.url, 'select distinct complete_to::text as day from losant_usage.freshness')
      ).map(({ day }) => day),
    ]),
  ];
  expect(await days()).toEqual([null]);
  expect((await worker.get('/metrics')).text).not.toMatch(/^losant_usage_complete_to_timestamp_seconds\{/m);
  expect((await worker.get('/')).text).toMatch(/<dt>Complete to<\/dt>\s*<dd>–<\/dd>/);
  const ended = await command('backfill', '--from', daysAgo(3), '--to', daysAgo(2));
  expect(ended.code).toBe(0);
  await until('the pages are read anew', async () => (await days()).length === 1);
  expect(await days()).toEqual([daysAgo(1)]);
  const series = `losant_usage_complete_to_timestamp_seconds{instance_id="${platform.instanceId}",stream="payload_totals"}`;
  expect(await worker.metric(series)).toBe(Date.parse(daysAgo(1)) / 1_000);
  expect((await worker.get('/')).text).toContain(`Everything is here up to yesterday, ${daysAgo(1)}.`);
});

// Promise (Changes): A final number that changes reaches metric, console and status, whichever process loaded it.
test('a final number that a command found restated reaches metric, page, /status.json and status', async () => {
  await asHand(
    `update losant_usage.coverage set standing = 'final', finalized_at = now() - interval '1 hour', next_read_at = null`,
  );
  const worker = await startStandby();
  const restated = `losant_usage_final_changes_total{instance_id="${platform.instanceId}"}`;
  expect(await worker.metric(restated)).toBe(0);
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  const orgId = orgs[0]?.orgId ?? '';
  await platform.control('restate', { orgId, day: daysAgo(1), counter: 'payload_totals' });
  const ended = await command(
    'backfill',
    '--from',
    daysAgo(1),
    '--to',
    daysAgo(1),
    '--force',
    '--org',
    orgId,
  );
  expect(ended.stderr).toContain('final numbers were restated');
  const [{ count } = { count: 0 }] = await queryOnce(
    database.url,
    `select count(distinct (stream, org_id, usage_date, revision))::integer from losant_usage.revisions
     where was_final`,
  );
  expect(count).toBeGreaterThan(0);
  await until('the metric has it', async () => (await worker.metric(restated)) === count);
  expect((await statusOf(worker)).ledger.instances[0]?.finalChanges).toBe(count);
  expect((await worker.get('/')).text).toContain(
    `<dt>Final numbers changed in 30 days</dt><dd><a class="" href="/changes?days=30">${String(count)}</a></dd>`,
  );
  const status = jsonOf<StatusCommand>(await command('status', '--json'));
  expect(status.instances[0]?.finalChanges30Days).toBe(count);
});

test('a complete run by command, as a CronJob makes it, is the last complete run', async () => {
  const [{ at } = { at: null }] = await queryOnce(
    database.url,
    `select extract(epoch from finished_at)::float as at from losant_usage.runs where kind = 'manual'`,
  );
  const worker = await startStandby();
  const series = `losant_usage_last_complete_run_timestamp_seconds{instance_id="${platform.instanceId}"}`;
  expect(await worker.metric(series)).toBeCloseTo(at as number, 1);
});

test('a database that is slow to read answers all the same: it is up, and the last numbers stay with their age', async () => {
  const worker = await startStandby();
  const gaps = `losant_usage_cells{instance_id="${platform.instanceId}",stream="device_counts",standing="missing"}`;
  await until('it was read', async () => (await worker.metric(gaps)) === 0);
  const locker = new pg.Client({ connectionString: database.url });
  await locker.connect();
  await locker.query('begin; lock table losant_usage.quarantine in access exclusive mode');
  const age = 'losant_usage_database_reading_age_seconds';
  let scrape = '';
  await until('the reading is old', async () => {
    scrape = (await worker.get('/metrics')).text;
    return (readMetric(scrape, age) ?? 0) > 5;
  });
  expect(readMetric(scrape, 'losant_usage_database_up')).toBe(1);
  expect(readMetric(scrape, gaps)).toBe(0);
  const status = await statusOf(worker);
  expect(status).toMatchObject({ databaseUp: true, ledger: { instances: [{ finalChanges: 0 }] } });
  expect(status.ageMs).toBeGreaterThan(5_000);
  // The schema is compared without the tables, so whoever asks is not kept waiting for a lock.
  expect(await worker.get('/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
  await locker.end();
  await until('it is read anew', async () => ((await worker.metric(age)) ?? 100) < 3);
});
