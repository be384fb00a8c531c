/** Several processes at once on one database: any mix ends in the same numbers. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ended, type Program, startProgram } from '../campaigns/program.ts';
import { differences, type Snapshot, takeSnapshot } from '../campaigns/snapshot.ts';
import { portOf, startWire, through } from '../campaigns/wire.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';

const DAY_MS = 86_400_000;
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
const [FROM, MIDDLE, TO] = [daysAgo(12), daysAgo(6), daysAgo(1)];

let platform: Platform;
let database: TestDatabase;

beforeEach(async () => {
  platform = await startPlatform({ now: Date.now, orgs: 10, seed: 'several' });
  database = await createTestDatabase();
});

afterEach(async () => {
  await platform[Symbol.asyncDispose]();
  await database.drop();
});

function start(args: readonly string[], more: Record<string, string> = {}, url = database.url): Program {
  const { url: apiUrl, token, instanceId } = platform;
  return startProgram([...args, '--json'], { apiUrl, token, instanceId, databaseUrl: url, more });
}

const run = (args: readonly string[]): Promise<Ended> => start(args).ended;
const sql = (statement: string, url = database.url) => queryOnce(url, statement);
const lapse = () => sql('update losant_usage.instances set lease_until = now()');

async function statuses(): Promise<string[]> {
  const rows = await sql('select status from losant_usage.runs order by started_at');
  return rows.map(({ status }) => String(status));
}

/** What stands in the database if one process does it all. */
async function alone(...commands: readonly (readonly string[])[]): Promise<Snapshot> {
  const own = await createTestDatabase();
  for (const args of commands) expect(await start(args, {}, own.url).ended).toMatchObject({ code: 0 });
  const snapshot = await takeSnapshot(own.url, { hashes: false });
  await own.drop();
  await platform.control('stats/reset', {});
  return snapshot;
}

const requests = async () => ((await platform.control('stats')) as { requests: number }).requests;
const holder = async () =>
  (await sql('select lease_run_id as id from losant_usage.instances'))[0]?.['id'] ?? null;

test('a run and three backfills that overlap, all at once, end as if they had come one by one', async () => {
  const backfill = (from: string, to: string) => ['backfill', '--from', from, '--to', to, '--force'];
  const commands = [['run'], backfill(FROM, TO), backfill(MIDDLE, TO), backfill(FROM, MIDDLE)];
  const expected = await alone(...commands);
  // The promise that a backfill widens must be there before: otherwise it depends on who comes first.
  expect(await run(['run'])).toMatchObject({ code: 0 });
  const ends = await Promise.all(commands.map(run));
  expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(['ok', 'ok', 'ok', 'ok']);
  expect(differences(expected, await takeSnapshot(database.url, { hashes: false }))).toEqual([]);
});

test('restated days that four processes read again at once get one revision each', async () => {
  const backfill = ['backfill', '--from', FROM, '--to', TO, '--force'];
  expect(await run(['run'])).toMatchObject({ code: 0 });
  expect(await run(backfill)).toMatchObject({ code: 0 });
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  for (const { orgId } of orgs) await platform.control('restate', { orgId, day: MIDDLE });
  const ends = await Promise.all([
    run(backfill),
    run(backfill),
    run(['run', '--date', MIDDLE]),
    run(backfill),
  ]);
  expect(ends.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  const rows = await sql(`select stream, count(distinct org_id)::integer as orgs, min(revision), max(revision)
    from losant_usage.revisions where usage_date = '${MIDDLE}' group by stream order by stream`);
  expect(rows).toEqual(
    ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'].map((stream) => ({
      ...{ stream, orgs: 10, min: 2, max: 2 },
    })),
  );
});

test('of two runs at once one works, and the other ends with exit code 4 or waits for its turn', async () => {
  await platform.control('config', { latencyMs: 60 });
  const first = start(['run'], { REQUEST_CONCURRENCY: '1' });
  await expect.poll(holder, { timeout: 15_000 }).not.toBeNull();
  const refused = await run(['run']);
  expect(refused.code).toBe(4);
  expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: 'lease_held' } });
  const waiting = start(['run', '--wait', '30']);
  expect(await first.ended).toMatchObject({ code: 0 });
  const waited = await waiting.ended;
  expect(waited).toMatchObject({ code: 0 });
  expect(JSON.parse(waited.stdout)).toMatchObject({ runId: null, cells: { planned: 0 } });
});

describe('a run that is paused', () => {
  test('for longer than its lease ends with exit code 4, and what its successor stored stands', async () => {
    const expected = await alone(['run']);
    await platform.control('config', { latencyMs: 60 });
    const paused = start(['run'], { REQUEST_CONCURRENCY: '2' });
    await expect.poll(requests, { timeout: 15_000 }).toBeGreaterThan(5);
    paused.kill('SIGSTOP');
    const epoch = 'select lease_epoch::integer as epoch from losant_usage.instances';
    const [before] = await sql(epoch);
    await lapse();
    await platform.control('config', { latencyMs: 0 });
    expect(await run(['run'])).toMatchObject({ code: 0 });
    const successor = await takeSnapshot(database.url, { hashes: false });
    expect(differences(expected, successor)).toEqual([]);
    paused.kill('SIGCONT');
    const woken = await paused.ended;
    expect(woken.code).toBe(4);
    expect(JSON.parse(woken.stdout)).toMatchObject({ error: { code: 'lease_lost' } });
    expect(differences(successor, await takeSnapshot(database.url, { hashes: false }))).toEqual([]);
    expect(await sql(epoch)).toEqual([{ epoch: Number(before?.['epoch']) + 1 }]);
    expect((await statuses()).toSorted()).toEqual(['complete', 'interrupted']);
  });
});

describe('a run that is killed', () => {
  test('keeps others out until its lease lapses; then the next one takes over and marks it interrupted', async () => {
    await platform.control('config', { latencyMs: 60 });
    const killed = start(['run']);
    await expect.poll(requests, { timeout: 15_000 }).toBeGreaterThan(5);
    killed.kill('SIGKILL');
    await killed.ended;
    expect(await statuses()).toEqual(['running']);
    const lease = await sql(
      `select lease_until - now() between interval '30 s' and interval '60 s' as lapses from losant_usage.instances`,
    );
    expect(lease).toEqual([{ lapses: true }]);
    expect(await run(['run'])).toMatchObject({ code: 4 });

    const waiting = start(['run', '--wait', '30']);
    await lapse();
    await sql(`update losant_usage.runs set heartbeat_at = heartbeat_at - interval '1 minute'`);
    expect(await waiting.ended).toMatchObject({ code: 0 });
    expect(await statuses()).toEqual(['interrupted', 'complete']);
  });
});

test('a run that is cut off from its database keeps nobody from the work, and still ends when it is told to', async () => {
  const expected = await alone(['run']);
  const wire = await startWire(portOf(database.url));
  await platform.control('config', { latencyMs: 30 });
  const cutOff = start(['run'], { REQUEST_CONCURRENCY: '2' }, through(wire, database.url));
  await expect.poll(requests, { timeout: 15_000 }).toBeGreaterThan(5);
  await wire[Symbol.asyncDispose]();
  await lapse();
  expect(await run(['run'])).toMatchObject({ code: 0 });
  expect(differences(expected, await takeSnapshot(database.url, { hashes: false }))).toEqual([]);
  cutOff.kill('SIGTERM');
  expect(await cutOff.ended).toMatchObject({ code: 143 });
});

test('a backfill that starts beside another takes half of the rate they have in common', async () => {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  const [one = '', two = ''] = orgs.map(({ orgId }) => orgId);
  const asked = async (orgId: string) =>
    ((await platform.control(`stats?orgId=${orgId}`)) as { requests: number }).requests;
  const backfill = (orgId: string) =>
    start(['backfill', '--from', daysAgo(89), '--to', TO, '--org', orgId], { REQUESTS_PER_SECOND: '40' });
  const first = backfill(one);
  await expect.poll(statuses, { timeout: 15_000 }).toEqual(['running']);
  const second = backfill(two);
  await expect.poll(statuses, { timeout: 15_000 }).toEqual(['running', 'running']);
  const before = { one: await asked(one), two: await asked(two) };
  await expect.poll(() => asked(one), { timeout: 15_000 }).toBeGreaterThanOrEqual(before.one + 40);
  const share = ((await asked(two)) - before.two) / ((await asked(one)) - before.one);
  expect(share).toBeGreaterThan(0.3);
  expect(share).toBeLessThan(0.75);
  first.kill('SIGTERM');
  second.kill('SIGTERM');
  expect((await Promise.all([first.ended, second.ended])).map(({ code }) => code)).toEqual([143, 143]);
  expect(await statuses()).toEqual(['interrupted', 'interrupted']);
});
