import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { usePlatform } from '../simulator/platform.ts';
import { holdLease } from '../support/by-hand.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { startProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { instanceOf, openReplica } from './loop.ts';
import { settingsOf } from './process.ts';

/** A database that a newer version migrates while this one stands by. */

const platform = usePlatform({ orgs: 2, now: Date.now });
let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase();
  onTestFinished(() => database.drop());
});

const migrateByNewer = () =>
  queryOnce(
    database.url,
    `insert into losant_usage.migrations (name, timestamp) values ('0999_newer ${'0'.repeat(64)}', '2026-01-01')`,
  );

/** The transactions that wrote the rows of each table: any write changes them. */
async function readWriters(): Promise<unknown> {
  const tables = await queryOnce(
    database.url,
    `select relname as name from pg_class where relnamespace = 'losant_usage'::regnamespace and relkind = 'r'`,
  );
  expect(tables.length).toBeGreaterThan(10);
  const each = tables.map(
    ({ name }) =>
      `select '${String(name)}' as name, array_agg(xmin::text order by xmin::text) as writers from losant_usage.${String(name)}`,
  );
  return await queryOnce(database.url, `${each.join(' union all ')} order by name`);
}

const TABLES = `select (select count(*)::integer from losant_usage.coverage) as cells,
  (select count(*)::integer from losant_usage.runs) as runs,
  (select count(*)::integer from losant_usage.leases) as leases`;

// Promise (Runs): A worker writes nothing into a database that a newer version has migrated meanwhile.
test('a worker whose database was migrated by a newer version writes nothing, and says why', async () => {
  const replica = await openReplica({
    databaseUrl: database.url,
    instances: [instanceOf(platform)],
    now: Date.now,
  });
  onTestFinished(() => replica.close());
  await replica.runAll();
  // Everything is due again.
  await queryOnce(
    database.url,
    `set losant_usage.program = 'test'; update losant_usage.coverage set next_read_at = now()`,
  );
  await migrateByNewer();
  const before = await readWriters();
  await replica.runAll();
  expect(await readWriters()).toEqual(before);
  expect(replica.loop.statuses[0]).toMatchObject({
    lastRun: { result: 'failed' },
    trouble: { code: 'database_too_new' },
  });
});

test('a run that waited for a lease while a newer version migrated exports nothing, exit 2', async () => {
  await queryOnce(
    database.url,
    `set losant_usage.program = 'test';
     insert into losant_usage.instances (instance_id, api_url) values ('${platform.instanceId}', '${platform.url}');
     ${holdLease(platform.instanceId)}`,
  );
  const running = startProgram(['run', '--wait', '40'], settingsOf(platform, database));
  await until('it waits', () => running.stderr().includes('; waiting'));
  await migrateByNewer();
  await queryOnce(database.url, 'delete from losant_usage.leases');
  const { code, stderr } = await running.ended;
  expect(code).toBe(2);
  expect(stderr).toContain('is newer than this program: it has 0999_newer');
  expect(await queryOnce(database.url, TABLES)).toEqual([{ cells: 0, runs: 0, leases: 0 }]);
});
