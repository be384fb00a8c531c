import { expect, onTestFinished, test } from 'vitest';
import { asProgram } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';
import { instanceOf, openReplica } from '../worker/loop.ts';
import { createTimedInstallation } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

// Guarantee (Database): What a database failover has lost is loaded again at the next wake-up.
test('what a failover has lost is loaded again at the next wake-up', async () => {
  const installation = await createTimedInstallation('2026-11-24T10:30:00Z', { orgs: 2 });
  const { platform, database, now, moveTo, query } = installation;
  const replica = await openReplica({ databaseUrl: database.url, instances: [instanceOf(platform)], now });
  onTestFinished(() => replica.close());
  const wakeUp = async () => {
    await replica.runAll();
    return replica.loop.statuses[0]?.lastRun?.result;
  };
  expect(await wakeUp()).toBe('complete');
  await moveTo('2026-11-25T10:15:00Z');
  await platform.control('config', { list: { totalCount: 9 } });
  expect(await wakeUp()).toBe('partial');
  const standby = await database.makeStandby();
  // At the next wake-up only the days of a new organization are due.
  const created = await platform.control('orgs', { creationDate: '2026-11-24T08:00:00Z' });
  await platform.control('config', { list: {} });
  await moveTo('2026-11-25T10:30:00Z');
  expect(await wakeUp()).toBe('complete');
  const truth = await readTruth(platform, '2026-11-23', '2026-11-24');
  expect(await readStored(installation)).toEqual(truth);
  // The standby has received the list, and nothing after it.
  const { orgId } = created as { orgId: string };
  const [{ org, listed } = {}] = await query(`select to_jsonb(o) - 'deleted_on' as org, i.listed_at::text as listed
    from losant_usage.organizations o join losant_usage.instances i using (instance_id) where org_id = '${orgId}'`);
  const columns = Object.keys(org as object).join(', ');
  const row = JSON.stringify(org).replaceAll("'", "''");
  await asWriter(
    standby,
    asProgram(`insert into losant_usage.organizations (${columns})
       select ${columns} from jsonb_populate_record(null::losant_usage.organizations, '${row}');
     update losant_usage.instances set listed_at = '${String(listed)}', list_problem = null`),
  );
  await database.failOver();
  expect(await readStored(installation)).toEqual(truth.filter((line) => !line.includes(orgId)));
  await moveTo('2026-11-25T10:45:00Z');
  expect(await wakeUp()).toBe('complete');
  expect(await readStored(installation)).toEqual(truth);
});
