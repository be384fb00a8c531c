/** The worker shows what is in the database, whatever process found it. */
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { usePlatform } from '../simulator/platform.ts';
import { asProgram, loseNumbers } from '../support/by-hand.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { type StartedWorker, settingsOf, startTestWorker } from './process.ts';

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

/** A worker that found nothing due and waits for its next wake-up: what it shows then was not found by it. */
async function startIdle(): Promise<StartedWorker> {
  const worker = await startTestWorker(settingsOf(platform, database));
  await until('it waits', () => worker.running.stderr().includes('waiting for the next wake-up'));
  return worker;
}

interface Document {
  readonly instances: readonly {
    readonly finalChanges: number;
    readonly streams: readonly { readonly stream: string; readonly completeTo: string | null }[];
  }[];
}

const statusOf = async (worker: StartedWorker) =>
  JSON.parse((await worker.get('/status.json')).text) as Document;

const firstOrg = async () => {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  return orgs[0]?.orgId ?? '';
};

// Promise (Missing numbers): Commands, views, metrics and the console count the same gaps and reach to the same day.
test('the day up to which nothing is missing is the same in /status.json, status, view and metric', async () => {
  await asHand(`${loseNumbers('payload_totals', await firstOrg())};
    update losant_usage.coverage set next_read_at = now() + interval '1 day' where standing = 'missing'`);
  const worker = await startIdle();
  const completeTo = ({ instances }: Document) =>
    instances[0]?.streams.find(({ stream }) => stream === 'payload_totals')?.completeTo ?? null;
  const series = `losant_usage_complete_to_timestamp_seconds{instance_id="${platform.instanceId}",stream="payload_totals"}`;
  const view = `select complete_to::text as day from losant_usage.freshness where stream = 'payload_totals'`;
  const everywhere = async () => {
    const seconds = await worker.metric(series);
    return [
      completeTo(await statusOf(worker)),
      completeTo(jsonOf<Document>(await command('status', '--json'))),
      (await queryOnce(database.url, view))[0]?.['day'],
      seconds === null ? null : new Date(seconds * 1_000).toISOString().slice(0, 10),
    ];
  };
  expect(new Set(await everywhere())).toEqual(new Set([null]));
  expect((await command('run')).code).toBe(0);
  await until('the state is read anew', async () => new Set(await everywhere()).size === 1);
  expect(new Set(await everywhere())).toEqual(new Set([daysAgo(1)]));
});

// Promise (Changes): A final number that changes reaches metric, console and status, whichever process loaded it.
test('a final number that a command found restated reaches metric, /status.json and status', async () => {
  await asHand(
    `update losant_usage.coverage set standing = 'final', finalized_at = now() - interval '1 hour', next_read_at = null`,
  );
  const worker = await startIdle();
  const restated = `losant_usage_final_changes_total{instance_id="${platform.instanceId}"}`;
  expect(await worker.metric(restated)).toBe(0);
  const orgId = await firstOrg();
  await platform.control('restate', { orgId, day: daysAgo(1), counter: 'payload_totals' });
  const ended = await command('run', '--date', daysAgo(1), '--org', orgId);
  expect(ended.stderr).toContain('final numbers were restated');
  const [{ count } = { count: 0 }] = await queryOnce(
    database.url,
    'select count(*)::integer from losant_usage.revisions where was_final',
  );
  expect(count).toBeGreaterThan(0);
  await until('the metric has it', async () => (await worker.metric(restated)) === count);
  expect((await statusOf(worker)).instances[0]?.finalChanges).toBe(count);
  const status = jsonOf<Document>(await command('status', '--json'));
  expect(status.instances[0]?.finalChanges).toBe(count);
});
