/** Losant's own totals beside our sums: agreement, differences, and totals that cannot be read. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readBlockers } from '../../src/billing/month.ts';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { readControlTotalProblems, readReconciliation } from '../../src/queries/reconciliation.ts';
import { asProgram } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal, runProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { instanceOf, openReplica, type Replica } from '../worker/loop.ts';
import { startTestWorker } from '../worker/process.ts';
import { orgIdsOf, useExport } from './export.ts';

/** The newest month that ended more than three days ago: all of it can be final. */
const lastOf = new Date(`${daysAgo(3).slice(0, 7)}-01T00:00:00Z`).getTime() - 86_400_000;
const monthEnd = new Date(lastOf).toISOString().slice(0, 10);
const month = `${monthEnd.slice(0, 7)}-01`;
const day = daysAgo(5);

const exported = useExport({ orgs: 3, hostile: false });
let orgIds: string[];
let handle: DatabaseHandle;
let replica: Replica;
let token: string;

beforeAll(async () => {
  const { platform, place } = exported;
  orgIds = await orgIdsOf(platform);
  await exported.run(['backfill', '--from', month, '--to', daysAgo(1)]);
  handle = await createDatabase({ url: place.url, applicationName: 'control totals test', poolSize: 2 });
  const instances = [instanceOf(platform, () => token)];
  replica = await openReplica({ databaseUrl: place.url, instances, now: Date.now });
});
afterAll(async () => {
  await replica.close();
  await handle.close();
});
beforeEach(async () => {
  token = exported.platform.token;
  await exported.platform.control('config', { bias: null, faults: null, list: null });
});

const reconcile = (...args: string[]) =>
  runProgram(['reconcile', ...args], { DATABASE_URL: exported.place.url });

/** All comparisons since the month began, those that differ and others. */
const compareAll = () =>
  readReconciliation(handle.db, {
    range: { from: month, to: daysAgo(1) },
    instanceIds: null,
    withEqual: true,
  });

/** What differs on final numbers. */
const findDifferences = async () => (await compareAll()).rows.filter(({ outcome }) => outcome === 'differs');
const readProblems = () => readControlTotalProblems(handle.db, null);
const blockersOf = async (of: string) =>
  (await readBlockers(handle.db, { month: of })).filter(({ cause }) => cause === 'contradicted');

const forget = () =>
  exported.place.query(
    'delete from losant_usage.instance_totals; delete from losant_usage.monthly_summaries; delete from losant_usage.control_total_reads',
  );

/** A run, as at a wake-up. Returns what it logged. */
async function run(): Promise<string[]> {
  const before = replica.logged.length;
  await replica.runAll();
  expect(replica.loop.statuses[0]?.lastRun?.result).toBe('complete');
  return replica.logged.slice(before).map((line) => (JSON.parse(line) as { msg: string }).msg);
}

/** A run to which every control total is due. */
async function readAnew(): Promise<string[]> {
  await forget();
  return await run();
}

const NOT_READ = 'control totals not read, numbers and run are not affected';

describe('control totals', () => {
  it('are not there before the first run, and reconcile says so with exit code 0', async () => {
    expect(await reconcile()).toMatchObject({
      code: 0,
      stdout: `No totals of Losant's own have been read for ${daysAgo(31)}..${daysAgo(1)}: run and the worker read them, unless only named organizations are exported.\n`,
    });
  });

  it('agree with days and months to the last payload, at no request of the run', async () => {
    const ended = await exported.run(['run', '--json']);
    expect(jsonOf(ended)).toMatchObject({ status: 'complete', requests: 1 });
    expect(await reconcile('--from', month)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/: no difference\.\n[^]*: no difference\.\n$/) as string,
    });
    const { daysCompared, monthsCompared, rows } = await compareAll();
    expect(daysCompared).toBeGreaterThanOrEqual(31);
    expect(monthsCompared).toEqual([{ month, organizations: 3 }]);
    expect(rows.filter(({ outcome }) => outcome === 'differs')).toEqual([]);
    const final = rows.filter(({ outcome }) => outcome === 'equal');
    expect(final.filter((row) => row.scope === 'instance_day' && row.day === day)).toHaveLength(12);
    expect(
      final
        .filter(({ scope, orgId }) => scope === 'org_month' && orgId === orgIds[0])
        .map(({ metric }) => metric),
    ).toEqual([
      'devices_total',
      'notebook_minutes',
      'payload_billable_count',
      'payload_all_count',
      'payload_all_bytes',
    ]);
  });

  it('that differ on a final day are exit code 3, with the day, the metric and both numbers', async () => {
    await exported.platform.control('config', { bias: [{ counter: 'payload_totals', day, by: -7 }] });
    await readAnew();
    expect(await findDifferences()).toMatchObject(
      ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'].map((metric) => ({
        ...{ scope: 'instance_day', day, metric, difference: '7' },
      })),
    );
    const { code, stdout } = await reconcile();
    expect(code).toBe(3);
    expect(stdout).toContain('3 final numbers differ.');
    expect(stdout).toMatch(new RegExp(`${day}  payload_billable_count +[\\d,]+ +[\\d,]+ +\\+7  final`));
  });

  it('that differ block the month of their day, unless CONTROL_TOTALS is show', async () => {
    const blocked = [{ orgId: null, days: 1, firstDay: day, lastDay: day, streams: ['payload_totals'] }];
    expect(await blockersOf(day.slice(0, 7))).toMatchObject(blocked);
    expect(await exported.run(['run'], { CONTROL_TOTALS: 'show' })).toMatchObject({ code: 0 });
    expect(await blockersOf(day.slice(0, 7))).toEqual([]);
    expect(await findDifferences()).toHaveLength(3);
    expect(await exported.run(['run'])).toMatchObject({ code: 0 });
    expect(await blockersOf(day.slice(0, 7))).toMatchObject(blocked);
  });

  it('that differ are in the metrics, on the page and in /status.json of the worker too', async () => {
    const { instanceId } = exported.platform;
    const worker = await startTestWorker(exported.env);
    const series = `losant_usage_reconciliation_differences{instance_id="${instanceId}",scope="instance_day"}`;
    await until('the differences are counted', async () => (await worker.metric(series)) === 3);
    const { ledger } = JSON.parse((await worker.get('/status.json')).text) as {
      ledger: { instances: readonly { differences: Record<string, number> }[] };
    };
    expect(ledger.instances[0]?.differences).toEqual({ instance_day: 3, org_day: 0, org_month: 0 });
    expect((await worker.get('/')).text).toContain('3 final numbers differ from Losant');
    // So that it gives its lease back, should its first run not be over.
    expect(await worker.stop()).toMatchObject({ code: 0 });
  });

  it('that Losant changes are believed, and what it named before is kept', async () => {
    await exported.place.query(
      `update losant_usage.instance_totals set verified_at = verified_at - interval '40 days'`,
    );
    await run();
    const rows = await exported.place.query(
      `select metric, quantity - (earlier -> 0 ->> 'quantity')::bigint as change, jsonb_array_length(earlier) as times
       from losant_usage.instance_totals where earlier <> '[]' and usage_date = '${day}' order by metric`,
    );
    expect(rows).toEqual(
      ['payload_all_bytes', 'payload_all_count', 'payload_billable_count'].map((metric) => ({
        ...{ metric, change: '7', times: 1 },
      })),
    );
    expect(await findDifferences()).toEqual([]);
  });

  it('differ for certain only while no organization is missing from the sum', async () => {
    await exported.platform.control('config', { bias: [{ counter: 'device_counts', day, by: 1 }] });
    await readAnew();
    expect(await findDifferences()).toMatchObject([{ metric: 'devices_total', difference: '-1' }]);
    await exported.place.query(
      asProgram(`update losant_usage.usage_days set devices_created = null, devices_deleted = null, devices_total = null
        where usage_date = '${day}' and org_id = '${orgIds[0]}'`),
    );
    expect(await findDifferences()).toEqual([]);
    expect((await reconcile()).stdout).toContain('1 organization missing from the sum');
    await exported.run(['run', '--date', day, '--stream', 'device_counts']);
    await readAnew();
    expect(await findDifferences()).toHaveLength(1);
  });

  it('do not differ while they are older than the number that was restated', async () => {
    await readAnew();
    expect(await findDifferences()).toEqual([]);
    await exported.platform.control('restate', { orgId: orgIds[0], day, counter: 'device_counts' });
    await exported.platform.control('config', {
      faults: { kinds: ['server_error'], forever: true, actions: ['instance.deviceCounts'] },
    });
    await exported.run(['backfill', '--from', day, '--to', day, '--force']);
    await exported.platform.control('config', { faults: null });
    const found = (await compareAll()).rows.filter((row) => row.day === day && row.difference !== '0');
    expect(new Set(found.map(({ outcome }) => outcome))).toEqual(new Set(['pending']));
    expect(found.length).toBeGreaterThan(0);
    await readAnew();
    expect(await findDifferences()).toEqual([]);
  });

  it('name an organization that has a summary and was never listed', async () => {
    const orgId = '5f00000000000000000000aa';
    const attributes = { name: 'Shadow' };
    await exported.platform.control('config', { list: { hide: [orgId] } });
    await exported.platform.control('orgs', { id: orgId, creationDate: `${month}T00:00:00Z`, attributes });
    await readAnew();
    const { code, stdout } = await reconcile('--from', month);
    expect(code).toBe(3);
    expect(stdout).toContain(`${orgId}  Shadow  was never listed: nothing was exported of it`);
    expect(stdout).toMatch(/instance's totals, [^:]*: \d+ final numbers differ/);
    await exported.platform.send('DELETE', `/orgs/${orgId}`, {});
  });

  it('stand beside payloads by source that differ from all payloads, by organization', async () => {
    await readAnew();
    const add = (by: number) =>
      exported.place.query(
        asProgram(`update losant_usage.usage_days set payload_all_count = payload_all_count + ${by}
          where usage_date = '${day}' and org_id = '${orgIds[1]}'`),
      );
    await add(5);
    const found = (await findDifferences()).filter(({ scope }) => scope === 'org_day');
    expect(found).toMatchObject([
      { orgId: orgIds[1], day, metric: 'payload_source_count', difference: '-5' },
    ]);
    await add(-5);
  });

  it('are not compared for an instance that the database does not have', async () => {
    const ended = await reconcile('--json', '--instance', '0'.repeat(24));
    expect(ended.code).toBe(2);
    expect(jsonOf<Refusal>(ended).error.message).toBe(
      'The database has nothing of instance 000000000000000000000000',
    );
  });
});

describe('control totals that cannot be read', () => {
  it('leave the run complete, are logged once, shown as a problem, and asked for again later', async () => {
    await exported.platform.control('config', {
      faults: { kinds: ['server_error'], every: 1, forever: true, actions: ['instance.deviceCounts'] },
    });
    expect((await readAnew()).filter((message) => message === NOT_READ)).toHaveLength(1);
    expect(await readProblems()).toMatchObject([{ question: 'device_counts', reason: 'server_error' }]);
    expect(await run()).not.toContain(NOT_READ);
    await exported.platform.control('config', { faults: null });
    await exported.place.query(`update losant_usage.control_total_reads set next_read_at = now()`);
    await run();
    expect(await readProblems()).toEqual([]);
  });

  it('for want of a scope are remembered and logged once, and the other questions are asked', async () => {
    const scopes = [
      'instance.get',
      'instanceOrgs.get',
      'instanceOrg.get',
      'instance.deviceCounts',
      'instance.payloadCounts',
      'instance.payloadCountsBreakdown',
    ];
    await exported.platform.control('tokens', { token: 'narrow', scopes });
    token = 'narrow';
    expect((await readAnew()).filter((message) => message === NOT_READ)).toHaveLength(2);
    expect((await readProblems()).map(({ question, reason }) => [question, reason])).toEqual([
      [`monthly_summaries ${month.slice(0, 7)}`, 'forbidden'],
      ['notebook_minutes', 'forbidden'],
    ]);
    const { rows } = await compareAll();
    expect(
      rows.filter(({ day: of, outcome }) => of === day && outcome === 'equal').map(({ metric }) => metric),
    ).toContain('payload_source_count');
    // What was not read is not equal.
    expect(
      rows
        .filter(({ day: of, outcome }) => of === day && outcome === 'not_compared')
        .map(({ metric }) => metric),
    ).toEqual(['minutes', 'completed', 'canceled', 'errored', 'timeout'].map((name) => `notebook_${name}`));
    const check = await exported.run(['check'], { LOSANT_API_TOKEN: 'narrow' });
    expect(check.stdout).toContain('control totals: notebook_minutes not read');
    await exported.place.query('update losant_usage.control_total_reads set next_read_at = now()');
    expect(await run()).not.toContain(NOT_READ);
  });
});
