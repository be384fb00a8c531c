/** Old years are removed as docs/operations.md says, and nothing is missing or on record for it. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { sqlBelow } from '../support/sql-blocks.ts';

/** Removed is what lies before it. */
const FIRST_KEPT = daysAgo(10);
const RECIPE = sqlBelow(readFileSync('docs/operations.md', 'utf8'), 'Remove old years');

let simulator: Simulator;
let database: TestDatabase;

beforeAll(async () => {
  simulator = await startSimulator({ orgs: 3 });
  database = await createTestDatabase();
  await program('run');
  await program('backfill', '--from', daysAgo(20), '--to', daysAgo(2));
  await queryOnce(
    database.url,
    `begin;
     set local losant_usage.program = 'on';
     insert into losant_usage.waivers (org_id, stream, usage_date, reason)
     select org_id, stream, usage_date, 'agreed' from losant_usage.coverage
     where usage_date in ('${daysAgo(11)}', '${FIRST_KEPT}') and stream = 'device_counts';
     commit;`,
  );
});

afterAll(async () => {
  await simulator.close();
  await database.drop();
});

async function program(...args: readonly string[]) {
  const { url, instanceId, token } = simulator;
  return await runProgram([...args, '--json'], {
    LOSANT_API_URL: url,
    LOSANT_INSTANCE_ID: instanceId,
    LOSANT_API_TOKEN: token,
    DATABASE_URL: database.url,
    REQUESTS_PER_SECOND: '2000',
  });
}

async function numbersBetween(from: string, to: string): Promise<Record<string, unknown>[]> {
  return await queryOnce(
    database.url,
    `select d.* from losant_usage.daily_usage d where usage_date between '${from}' and '${to}'
     order by usage_date, org_id`,
  );
}

it('removes the numbers and the ledger before a day, and nothing else', async () => {
  const kept = await numbersBetween(FIRST_KEPT, daysAgo(1));
  expect(await numbersBetween(daysAgo(20), daysAgo(11))).toHaveLength(30);
  await queryOnce(database.url, RECIPE.replaceAll('2025-01-01', FIRST_KEPT));
  expect(await numbersBetween(daysAgo(20), daysAgo(11))).toEqual([]);
  expect(await numbersBetween(FIRST_KEPT, daysAgo(1))).toEqual(kept);
  expect(kept).toHaveLength(30);
});

it('removes the waivers of removed days, and no other', async () => {
  const waived = 'select distinct usage_date::text as day from losant_usage.waivers';
  expect(await queryOnce(database.url, waived)).toEqual([{ day: FIRST_KEPT }]);
});

it('leaves no gap and no change on record, and reads nothing again', async () => {
  expect(await queryOnce(database.url, 'select * from losant_usage.revisions')).toEqual([]);
  expect(await queryOnce(database.url, 'select * from losant_usage.known_missing')).toEqual([]);
  const gaps = await program('gaps', '--all');
  expect(gaps).toMatchObject({ code: 0 });
  expect(jsonOf(gaps)).toEqual([]);
  const run = await program('run');
  expect(run).toMatchObject({ code: 0 });
  expect(jsonOf(run)).toMatchObject({ status: 'complete', cells: { planned: 0 } });
  expect(await program('status')).toMatchObject({ code: 0 });
  expect(await numbersBetween(daysAgo(20), daysAgo(11))).toEqual([]);
});

it('lets tracking begin with that day, also of streams and organizations that come later', async () => {
  const tracked = `select distinct first_day::text as day from losant_usage.tracked
    union select distinct value from losant_usage.instances, jsonb_each_text(streams_from)`;
  expect(await queryOnce(database.url, `${tracked} order by 1`)).toEqual([
    { day: FIRST_KEPT },
    { day: daysAgo(1) },
  ]);
});
