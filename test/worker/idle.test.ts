import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { NOW, type Platform, startPlatform } from '../simulator/platform.ts';
import { asProgram } from '../support/by-hand.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { instanceOf, openReplica, type Replica } from './loop.ts';

/** What a wake-up costs that finds nothing to do, and what it does not pass over. */

let small: Platform;
let large: Platform;
let template: ClockDatabase;
let database: ClockDatabase;

/** A clock that goes on from NOW, far from the hours at which cells are due again. */
const behindMs = Date.now() - NOW;
const now = () => Date.now() - behindMs;

beforeAll(async () => {
  small = await startPlatform({ orgs: 2, now });
  large = await startPlatform({ orgs: 110, now, seed: 'large' });
  template = await createClockDatabase();
  await template.setBehind(behindMs);
});
afterAll(async () => {
  await template.drop();
  await small[Symbol.asyncDispose]();
  await large[Symbol.asyncDispose]();
});
beforeEach(async () => {
  database = await createClockDatabase(template);
  onTestFinished(() => database.drop());
});

async function openAfterRun(platform: Platform): Promise<Replica> {
  const instances = [instanceOf(platform)];
  const replica = await openReplica({ databaseUrl: database.url, instances, now });
  onTestFinished(() => replica.close());
  await replica.runAll();
  expect(replica.loop.statuses[0]?.lastRun?.result).toBe('complete');
  return replica;
}

async function countStatements(replica: Replica): Promise<number> {
  const before = replica.statements();
  await replica.runAll();
  return replica.statements() - before;
}

async function countRequests(platform: Platform): Promise<Record<string, number>> {
  const { actions } = (await platform.control('stats')) as {
    actions: Record<string, Record<string, number>>;
  };
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
  return Object.fromEntries(Object.entries(actions).map(([action, counts]) => [action, sum(counts)]));
}

const asOther = (statement: string) => queryOnce(database.url, asProgram(statement));

test('costs the same few statements however many organizations there are, and one request', async () => {
  const few = await countStatements(await openAfterRun(small));
  const replica = await openAfterRun(large);
  await large.control('stats/reset', {});
  expect(await countStatements(replica)).toBe(few);
  expect(few).toBeLessThanOrEqual(16);
  expect(await countRequests(large)).toEqual({ 'instance.get': 1 });
}, 120_000);

test('a cell that is due is read', async () => {
  const replica = await openAfterRun(small);
  await asOther(`update losant_usage.coverage set next_read_at = now() where stream = 'device_counts'`);
  await small.control('stats/reset', {});
  await replica.runAll();
  expect((await countRequests(small))['instanceOrg.deviceCounts']).toBe(2);
});

test('organizations that were not listed today are listed', async () => {
  const replica = await openAfterRun(small);
  await asOther(`update losant_usage.instances set listed_at = now() - interval '1 day'`);
  await small.control('stats/reset', {});
  await replica.runAll();
  expect((await countRequests(small))['instanceOrgs.get']).toBe(1);
});

test('a list that another process made is gone over', async () => {
  const replica = await openAfterRun(small);
  await asOther('update losant_usage.instances set listed_at = clock_timestamp()');
  const full = await countStatements(replica);
  expect(full).toBeGreaterThan(await countStatements(replica));
});

test('a gap that nobody is to read now is counted all the same', async () => {
  const replica = await openAfterRun(small);
  await asOther(
    `update losant_usage.coverage set standing = 'missing', is_stored = false, reason = 'server_error', attempts = 3,
       next_read_at = now() + interval '8 hours'
     where usage_date = '2026-11-23' and stream = 'device_counts'`,
  );
  await replica.runAll();
  expect(replica.loop.statuses[0]).toMatchObject({
    lastRun: { result: 'complete' },
    trouble: { code: 'gaps_left', message: '2 gaps left in the ledger', kind: 'gaps' },
  });
});
