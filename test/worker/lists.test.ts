/** Lists of many rows need little memory: the worker keeps running, and a command ends. */
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { useTestDatabase } from '../opened.ts';
import { asProgram } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';
import { spawnProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { type StartedWorker, settingsOf, startTestWorker, startWorker } from './process.ts';

const INSTANCE = '5c0000000000000000000001';

/** 5,000 missing cells with 12 MB of details: 200 organizations on 25 days. */
const FILL = `
insert into losant_usage.instances (instance_id, name, api_url) values ('${INSTANCE}', 'Main', 'http://127.0.0.1:1');
insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
  select lpad(to_hex(n), 24, '0'), '${INSTANCE}', 'Organization ' || n, now(), now() from generate_series(1, 200) as n;
insert into losant_usage.coverage (usage_date, org_id, stream, standing, reason, detail, failed_reads, next_read_at)
  select date '2026-09-01' - n, org_id, 'device_counts', 'missing', 'timeout',
    rpad('no complete response within 30000 ms (after 5 attempts)', 2400, '.'), 1, now() + interval '1 hour'
  from losant_usage.organizations cross join generate_series(1, 25) as n;
insert into losant_usage.usage_days (usage_date, org_id)
  select date '2026-09-01' - n, org_id from losant_usage.organizations cross join generate_series(1, 25) as n;`;

const database = useTestDatabase();
beforeAll(() => asWriter(database.url, asProgram(FILL)));

const instance = { url: 'http://127.0.0.1:1', instanceId: INSTANCE, token: 'token' };
const settings = () => ({ ...settingsOf(instance, database), LOG_LEVEL: 'warn' });
const withHeap = (megabytes: number) => ({ ...settings(), NODE_OPTIONS: `--max-old-space-size=${megabytes}` });

const getStatus = async (worker: StartedWorker) => (await worker.get('/healthz')).status;
const waitFor = (worker: StartedWorker) => until('the worker responds', async () => (await getStatus(worker)) === 200);

// Guarantee (Operation): A file needs little memory, however many rows it has.
test('four downloads of 5,000 long rows at once do not end a worker with a small heap', async () => {
  // The rows of four files do not fit into this heap.
  const worker = await startWorker(withHeap(64), spawnProgram);
  onTestFinished(async () => void (await worker.stop()));
  await waitFor(worker);
  const { url } = worker;
  const countLines = async () => (await (await fetch(`${url}/gaps?format=csv`)).text()).split('\r\n').length;
  const lines = await Promise.all([countLines(), countLines(), countLines(), countLines()]);
  expect(lines).toEqual([5_002, 5_002, 5_002, 5_002]);
  expect(await getStatus(worker)).toBe(200);
});

test('a download that nobody reads to its end leaves no query behind, and is no failure', async () => {
  const worker = await startTestWorker(settings());
  await waitFor(worker);
  const address = `${worker.url}/gaps?format=csv`;
  const open = `select from pg_stat_activity where application_name = 'losant-usage pages' and query ~ 'view_rows'
    and datname = '${database.name}' and state <> 'idle'`;
  const countOpen = async () => (await asWriter(database.url, open)).length;
  const stop = new AbortController();
  const response = await fetch(address, { signal: stop.signal });
  await response.body?.getReader().read();
  expect(await countOpen()).toBe(1);
  stop.abort();
  await until('the query has ended', async () => (await countOpen()) === 0);
  expect((await fetch(address, { method: 'HEAD' })).status).toBe(200);
  await until('the query has ended', async () => (await countOpen()) === 0);
  expect(worker.running.stderr()).not.toContain('download interrupted');
});

test.each([[['gaps']], [['gaps', '--json']]])('%j of 5,000 long rows ends with a small heap', async (args) => {
  const ended = await spawnProgram(args, withHeap(34)).ended;
  expect({ code: ended.code, stderr: ended.stderr }).toEqual({ code: 3, stderr: '' });
  const texts = args.includes('--json')
    ? ['"day":"2026-08-07"']
    : ['5,000 cells of 200 organizations are missing', '\n  … and 100 more (use --json for all)\n'];
  for (const text of texts) expect(ended.stdout).toContain(text);
});
