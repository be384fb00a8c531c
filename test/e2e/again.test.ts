import { expect, it, onTestFinished } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { instanceOf, openReplica } from '../worker/loop.ts';
import { openExport, orgIdsOf, useExport } from './export.ts';
import { type Row, readStored, readTruth } from './usage.ts';

/** Without hostile numbers, whose sum Losant's own total may not be able to say: it would be asked for again. */
const exported = useExport({ orgs: 20, hostile: false });

/** Each row of numbers with where it lies and which transaction made it. */
async function physicalRows(): Promise<Row[]> {
  return await exported.place.query(
    'select ctid::text, xmin::text, org_id from losant_usage.usage_days order by 1',
  );
}

/** Row changes of the numbers that Postgres has counted. */
async function changesCounted(): Promise<Row> {
  const [row = {}] = await exported.place.query(`
    select n_tup_ins::int as inserted, n_tup_upd::int as updated, n_tup_del::int as deleted
    from pg_stat_all_tables where schemaname = 'losant_usage' and relname = 'usage_days'`);
  return row;
}

it('a day read again writes no row and no revision', async () => {
  const { platform, place, run } = exported;
  const day = daysAgo(1);
  expect((await run(['run'])).code).toBe(0);
  const before = await physicalRows();
  await until(
    'the counters have come in',
    async () => (await changesCounted())['inserted'] === before.length,
  );

  const again = await run(['run', '--json', '--date', day]);
  expect(again.code).toBe(0);
  const written = await changesCounted();
  const { cells, rows, requests } = jsonOf(again);
  expect(cells).toMatchObject({ planned: 80, loaded: 0, unchanged: 80 });
  expect(rows).toEqual({ inserted: 0, updated: 0, deleted: 0, unchanged: 80 });
  expect(requests).toBe(122);
  expect(await physicalRows()).toEqual(before);
  expect(await place.query('select * from losant_usage.revisions')).toEqual([]);

  // The change of one organization is all that is written, and proves that the counters have come in.
  const [orgId = ''] = await orgIdsOf(platform);
  await platform.control('restate', { orgId, day, counter: 'device_counts' });
  const restated = await run(['run', '--json', '--date', day]);
  expect(restated.code).toBe(0);
  expect(jsonOf(restated)).toMatchObject({
    cells: { loaded: 1, unchanged: 79 },
    rows: { inserted: 0, updated: 1, deleted: 0, unchanged: 79 },
  });
  await until(
    'the change is counted',
    async () => (await changesCounted())['updated'] !== written['updated'],
  );
  expect(await changesCounted()).toEqual({ ...written, updated: (written['updated'] as number) + 1 });
  expect(
    await place.query('select stream, org_id, usage_date::text, revision from losant_usage.revisions'),
  ).toEqual([{ stream: 'device_counts', org_id: orgId, usage_date: day, revision: 2 }]);
  expect(await readStored(place)).toEqual(await readTruth(platform, day, day));
});

// Promise (Runs): A run with nothing due asks for no usage and leaves no trace.
it('a run with nothing due reads nothing and leaves no trace', async () => {
  const { place, run } = exported;
  const runs = await place.query('select run_id from losant_usage.runs order by 1');
  const before = await physicalRows();
  const ended = await run(['run', '--json']);
  expect(ended.code).toBe(0);
  expect(jsonOf(ended)).toMatchObject({ runId: null, status: 'complete', from: null, requests: 2 });
  expect(await place.query('select run_id from losant_usage.runs order by 1')).toEqual(runs);
  expect(await physicalRows()).toEqual(before);
});

it('a run by hand tries again what has failed, and leaves it to its retry where the worker wakes up', async () => {
  const failing = await openExport({ orgs: 2, hostile: false });
  onTestFinished(() => failing.close());
  const { platform, place, run } = failing;
  const faults = [{ kinds: ['no_counts'], rate: 1, forever: true, actions: ['deviceCounts'] }];
  await platform.control('config', { faults });
  expect((await run(['run'])).code).toBe(3);
  await platform.control('config', { faults: null });
  const replica = await openReplica({
    databaseUrl: place.url,
    instances: [instanceOf(platform)],
    now: Date.now,
  });
  await replica.runAll();
  // It has done all that was due; the two gaps are the ledger's.
  expect(replica.loop.statuses[0]).toMatchObject({ lastRun: { result: 'complete' } });
  await replica.close();
  const planned = await run(['run', '--json', '--dry-run']);
  expect(JSON.parse(planned.stdout)).toMatchObject({ cells: 2 });
  const again = await run(['run', '--json']);
  expect(again.code).toBe(0);
  expect(jsonOf(again).cells).toMatchObject({ planned: 2, loaded: 2 });
});
