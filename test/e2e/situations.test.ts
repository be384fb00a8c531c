/** Sequences of events that nobody plans: each ends in the right numbers, or says what is not right. */
import pg from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { asProgram } from '../support/by-hand.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { instanceOf, openReplica } from '../worker/loop.ts';
import { ALL_FINAL, COUNTERS, type Played, runJson, runWhole, standingsOf, usePlayed } from './played.ts';
import { readStored, readTruth } from './usage.ts';

vi.setConfig({ testTimeout: 120_000 });

const open = usePlayed();

async function deleteOrg({ platform }: Played, orgId: string): Promise<void> {
  expect((await platform.send('DELETE', `/orgs/${orgId}`, {})).status).toBe(200);
}

async function removedIn({ query }: Played): Promise<unknown[]> {
  const rows = await query('select org_id from losant_usage.organizations where removed_on is not null');
  return rows.map(({ org_id }) => org_id);
}

describe('an organization that was found deleted and comes back', () => {
  test('and was restated meanwhile ends with the restated numbers, final', async () => {
    const played = await open('2026-11-24T10:30:00Z');
    const { platform, moveTo } = played;
    const [orgId = ''] = played.orgIds;
    await runWhole(played);
    await deleteOrg(played, orgId);
    await moveTo('2026-11-25T10:30:00Z');
    await runWhole(played);
    expect(await removedIn(played)).toEqual([orgId]);
    await platform.control('orgs/restore', { orgId });
    await platform.control('restate', { orgId, day: '2026-11-23' });
    await moveTo('2026-11-27T10:30:00Z');
    await runWhole(played);
    expect(await removedIn(played)).toEqual([]);
    expect(await readStored(played)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-26'));
    expect(await standingsOf(played, orgId, '2026-11-23')).toEqual(ALL_FINAL);
    expect((await played.run(['gaps'])).code).toBe(0);
  });

  test('is read again also where a person had accepted its number', async () => {
    const played = await open('2026-11-24T10:30:00Z');
    const { platform, moveTo, run } = played;
    const [orgId = ''] = played.orgIds;
    await runWhole(played);
    const omitted = { orgId, day: '2026-11-23', action: 'deviceCounts' };
    await platform.control('omit', omitted);
    await moveTo('2026-11-25T00:30:00Z');
    expect((await runJson(played)).code).toBe(3);
    const waived = ['waive', '--org', orgId, '--day', '2026-11-23', '--stream', 'device_counts'];
    expect((await run([...waived, '--reason', 'agreed'])).code).toBe(0);
    await deleteOrg(played, orgId);
    await moveTo('2026-11-26T10:30:00Z');
    await runWhole(played);
    expect(await removedIn(played)).toEqual([orgId]);
    await platform.control('orgs/restore', { orgId });
    await platform.control('omit', { ...omitted, omit: false });
    await platform.control('restate', { orgId, day: '2026-11-23' });
    await moveTo('2026-11-27T10:30:00Z');
    await runWhole(played);
    expect(await readStored(played)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-26'));
    expect(await standingsOf(played, orgId, '2026-11-23')).toEqual(ALL_FINAL);
    expect(await played.query('select 1 from losant_usage.waivers where lifted_at is null')).toEqual([]);
  });

  test('has its zeros that nothing confirmed read until they are sure', async () => {
    const played = await open('2026-11-24T10:30:00Z');
    const { platform, moveTo } = played;
    const [orgId = ''] = played.orgIds;
    const env = { STREAMS: 'notebook_minutes', READ_AT_HOURS: '0,72' };
    await platform.control('omit', { orgId, day: '2026-11-23', action: 'notebookMinuteCounts' });
    await runWhole(played, env);
    await moveTo('2026-11-27T00:30:00Z');
    await runWhole(played, env);
    expect(await standingsOf(played, orgId, '2026-11-23')).toEqual({ notebook_minutes: 'stored' });
    await deleteOrg(played, orgId);
    await moveTo('2026-11-28T00:30:00Z');
    await runWhole(played, env);
    expect(await removedIn(played)).toEqual([orgId]);
    await platform.control('orgs/restore', { orgId });
    await moveTo('2026-11-29T00:30:00Z');
    await runWhole(played, env);
    expect(await standingsOf(played, orgId, '2026-11-23')).toEqual({ notebook_minutes: 'final' });
  });

  test('with attributes that cannot be read is a failure of the run, and its days are read', async () => {
    const played = await open('2026-11-24T10:30:00Z');
    const { platform, moveTo } = played;
    const [orgId = ''] = played.orgIds;
    await runWhole(played);
    await deleteOrg(played, orgId);
    await moveTo('2026-11-25T10:30:00Z');
    await runWhole(played);
    await platform.control('orgs/restore', { orgId });
    await platform.control('restate', { orgId, day: '2026-11-23' });
    await platform.control('config', { list: { items: { [orgId]: 'no_name' } } });
    await moveTo('2026-11-27T10:30:00Z');
    const ended = await runJson(played);
    expect(ended.code).toBe(3);
    expect(jsonOf(ended).failures).toMatchObject([{ orgId, code: 'org_unreadable' }]);
    expect(await removedIn(played)).toEqual([]);
    expect(await readStored(played)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-26'));
  });

  test('after days, while a stream was taken out and put back, has no hole', async () => {
    const played = await open('2026-11-20T10:30:00Z');
    const { platform, moveTo, run } = played;
    const [orgId = ''] = played.orgIds;
    const without = { STREAMS: 'device_counts,payload_totals,payload_sources' };
    await runWhole(played);
    await deleteOrg(played, orgId);
    await moveTo('2026-11-21T10:30:00Z');
    await runWhole(played);
    await moveTo('2026-11-22T10:30:00Z');
    await runWhole(played, without);
    await platform.control('orgs/restore', { orgId });
    await moveTo('2026-11-24T10:30:00Z');
    await runWhole(played, without);
    await moveTo('2026-11-26T10:30:00Z');
    await runWhole(played);
    expect(await readStored(played)).toEqual(await readTruth(platform, '2026-11-19', '2026-11-25'));
    expect(
      await played.query('select distinct complete_to::text as day from losant_usage.freshness'),
    ).toEqual([{ day: '2026-11-25' }]);
    expect((await run(['status'])).code).toBe(0);
  });
});

// Promise (Database): What a failover of the database has lost is made up for at the next wake-up.
test('what a failover has lost is made up for at the next wake-up', async () => {
  const played = await open('2026-11-24T10:30:00Z', { orgs: 2 });
  const { platform, database, now, moveTo, query } = played;
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
  const standby = await copyOf(database);
  // At the next wake-up nothing is due but the days of an organization that is found then.
  const created = await platform.control('orgs', { creationDate: '2026-11-24T08:00:00Z' });
  await platform.control('config', { list: {} });
  await moveTo('2026-11-25T10:30:00Z');
  expect(await wakeUp()).toBe('complete');
  const truth = await readTruth(platform, '2026-11-23', '2026-11-24');
  expect(await readStored(played)).toEqual(truth);
  // The standby has received the list and nothing of what followed.
  const { orgId } = created as { orgId: string };
  const [{ org, listed } = {}] =
    await query(`select to_jsonb(o) - 'removed_on' as org, i.listed_at::text as listed
    from losant_usage.organizations o join losant_usage.instances i using (instance_id) where org_id = '${orgId}'`);
  const columns = Object.keys(org as object).join(', ');
  const row = JSON.stringify(org).replaceAll("'", "''");
  await queryOnce(
    standby.url,
    asProgram(`insert into losant_usage.organizations (${columns})
       select ${columns} from jsonb_populate_record(null::losant_usage.organizations, '${row}');
     update losant_usage.instances set listed_at = '${String(listed)}', list_problem = null`),
  );
  await takePlaceOf(database, standby);
  expect(await readStored(played)).toHaveLength(truth.length - rowsOf(truth, orgId));
  await moveTo('2026-11-25T10:45:00Z');
  expect(await wakeUp()).toBe('complete');
  expect(await readStored(played)).toEqual(truth);
});

const rowsOf = (lines: readonly string[], orgId: string) =>
  lines.filter((line) => line.includes(orgId)).length;

const END_SESSIONS = (name: string) =>
  `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`;

async function copyOf(database: ClockDatabase): Promise<ClockDatabase> {
  const admin = new URL(database.url);
  admin.pathname = '/postgres';
  await queryOnce(admin.href, END_SESSIONS(database.name));
  const copy = await createClockDatabase(database);
  onTestFinished(() => copy.drop());
  return copy;
}

/** Gives a database the name of another, which is gone then. */
async function takePlaceOf(gone: ClockDatabase, standby: ClockDatabase): Promise<void> {
  const admin = new URL(gone.url);
  admin.pathname = '/postgres';
  await queryOnce(admin.href, END_SESSIONS(gone.name));
  await queryOnce(admin.href, `drop database ${gone.name} with (force)`);
  await queryOnce(admin.href, END_SESSIONS(standby.name));
  await queryOnce(admin.href, `alter database ${standby.name} rename to ${gone.name}`);
}

describe('a month that is closed', () => {
  const OCTOBER = ['--from', '2026-10-01', '--to', '2026-10-31'];

  /** October of one organization, of some streams. */
  async function openOctober(streams: string): Promise<Played & { orgId: string }> {
    const played = await open('2026-11-24T10:30:00Z', { orgs: 1 });
    await runWhole(played);
    expect((await played.run(['backfill', ...OCTOBER, '--stream', streams])).code).toBe(0);
    return { ...played, orgId: played.orgIds[0] ?? '' };
  }

  /** Starts a load, stops it at a row that somebody has locked, closes October, and lets the load go on. */
  async function closeBesideLoad({ database, run, start, query }: Played, load: readonly string[]) {
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    onTestFinished(() => holder.end());
    await holder.query(`begin; select from losant_usage.usage_days
      where usage_date = '2026-10-15' for update`);
    const loading = start(load);
    const waiting = `select 1 from pg_stat_activity where datname = current_database()
      and application_name = 'losant-usage' and wait_event_type = 'Lock'`;
    await until('the load waits', async () => (await query(waiting)).length > 0);
    const close = ['close', '--period', '2026-10'];
    const first = await run([...close, '--json']);
    const [{ blockersHash = null } = {}] = jsonOf<{ instances: { blockersHash?: string }[] }>(
      first,
    ).instances;
    if (blockersHash !== null) {
      const accepted = ['--incomplete', 'as it is', '--blockers', blockersHash];
      expect(await run([...close, ...accepted])).toMatchObject({ code: 0 });
    } else expect(first).toMatchObject({ code: 0 });
    await holder.query('commit');
    expect((await loading.ended).code).toBe(0);
  }

  test('does not know the numbers of a load that waited for the closing', async () => {
    const played = await openOctober('device_counts,payload_totals,payload_sources');
    const { platform, orgId, query } = played;
    await closeBesideLoad(played, ['backfill', ...OCTOBER, '--force']);
    const known = await query(`select count(*)::int as days, count(notebook_minutes)::int as notebooks
      from losant_usage.statements s, losant_usage.usage_as_of(s.closed_at)
      where org_id = '${orgId}' and usage_date between '2026-10-01' and '2026-10-31'`);
    expect(known).toEqual([{ days: 31, notebooks: 0 }]);
    const late = await query(`select distinct c.first_loaded_at > s.closed_at as is_later,
        c.finalized_at > s.closed_at as is_final_later
      from losant_usage.coverage c, losant_usage.statements s where c.stream = 'notebook_minutes'
        and c.usage_date < '2026-11-01'`);
    expect(late).toEqual([{ is_later: true, is_final_later: true }]);
    const stored = (await readStored(played)).filter((line) => line.includes(' 2026-10-'));
    expect(stored).toEqual(await readTruth(platform, '2026-10-01', '2026-10-31'));
  });

  test('does not know what was restated by a load that waited for the closing', async () => {
    const played = await openOctober('device_counts,notebook_minutes,payload_totals,payload_sources');
    const { platform, orgId, query } = played;
    const [then = {}] = await query(billableOf(orgId));
    await platform.control('restate', { orgId, day: '2026-10-15' });
    await closeBesideLoad(played, ['run', '--date', '2026-10-15']);
    expect(await query(billableOf(orgId))).not.toEqual([then]);
    const known = await query(`select sum(payload_billable_count)::text as sum
      from losant_usage.statements s, losant_usage.usage_as_of(s.closed_at)
      where org_id = '${orgId}' and usage_date between '2026-10-01' and '2026-10-31'`);
    expect(known).toEqual([then]);
  });

  test('is closed also where the database has one connection left', async () => {
    const played = await openOctober('device_counts,notebook_minutes,payload_totals,payload_sources');
    const { database, run, query } = played;
    const [{ user: owner } = {}] = await query('select current_user::text as user');
    const role = `clerk_${database.name.slice(-12)}`;
    await query(`create role ${role} login password 'clerk' connection limit 1 in role ${String(owner)}`);
    onTestFinished(async () => {
      await query(`drop role ${role}`);
    });
    const url = new URL(database.url);
    url.username = role;
    url.password = 'clerk';
    const ended = await run(['close', '--period', '2026-10'], { DATABASE_URL: url.href });
    expect(ended).toMatchObject({ code: 0, stderr: '' });
  });
});

const billableOf = (orgId: string) => `select sum(payload_billable_count)::text as sum
  from losant_usage.usage_days where org_id = '${orgId}' and usage_date between '2026-10-01' and '2026-10-31'`;

test('a number that Losant takes back for good can be accepted as it stands, on record', async () => {
  const played = await open('2026-11-24T10:30:00Z', { orgs: 2 });
  const { platform, moveTo, run } = played;
  const orgId = (await readStored(await ranOnce(played)))
    .map((line) => line.split(' '))
    .find(([table, , , minutes]) => table === 'notebook_minutes' && Number(minutes) > 0)?.[1];
  expect(orgId).toBeDefined();
  await platform.control('omit', { orgId, day: '2026-11-23', action: 'notebookMinuteCounts' });
  await moveTo('2026-11-27T10:30:00Z');
  expect((await runJson(played)).code).toBe(3);
  expect(await standingsOf(played, orgId ?? '', '2026-11-23')).toEqual({
    ...ALL_FINAL,
    notebook_minutes: 'in_doubt',
  });
  const waive = ['waive', '--org', orgId ?? '', '--day', '2026-11-23', '--stream', 'notebook_minutes'];
  expect((await run([...waive, '--reason', 'as it was'])).code).toBe(0);
  await runWhole(played);
  expect((await run(['gaps'])).code).toBe(0);
  expect(await standingsOf(played, orgId ?? '', '2026-11-23')).toEqual({
    ...ALL_FINAL,
    notebook_minutes: 'accepted',
  });
});

async function ranOnce(played: Played): Promise<Played> {
  await runWhole(played);
  return played;
}

describe('a few seconds of failures', () => {
  test('are not tried again by the run that met them, although another number is missing in the end', async () => {
    const played = await open('2026-11-24T10:15:00Z');
    const { platform } = played;
    const [failing = '', omitting = ''] = played.orgIds;
    await platform.control('omit', { orgId: omitting, day: '2026-11-23', action: 'deviceCounts' });
    await platform.control('config', {
      faults: {
        kinds: ['server_error'],
        forever: true,
        orgIds: [failing],
        actions: ['instanceOrg.notebookMinuteCounts'],
      },
    });
    const ended = await runJson(played, [], { REQUEST_ATTEMPTS: '1' });
    const { failures, ...report } = jsonOf(ended);
    const byStream = failures.toSorted((a, b) => ((a.stream ?? '') < (b.stream ?? '') ? -1 : 1));
    expect({ code: ended.code, ...report, failures: byStream }).toMatchObject({
      code: 3,
      cells: { planned: 12, loaded: 10, left_out: 1, failed: 1 },
      failures: [
        { orgId: omitting, stream: 'device_counts', code: 'left_out' },
        { orgId: failing, stream: 'notebook_minutes', code: 'server_error' },
      ],
    });
    const { actions } = (await platform.control('stats')) as {
      actions: Record<string, Record<string, number>>;
    };
    const counts = Object.values(actions['instanceOrg.notebookMinuteCounts'] ?? {});
    expect(counts.reduce<number>((sum, each) => sum + each, 0)).toBe(3);
  });

  test('are tried again at the next wake-up, and by a run by hand whatever the time of the next try', async () => {
    const played = await open('2026-11-24T10:15:00Z');
    const { platform, moveTo } = played;
    const failing = { kinds: ['server_error'], forever: true, actions: COUNTERS };
    await platform.control('config', { faults: failing });
    const replica = await openReplica({
      databaseUrl: played.database.url,
      instances: [instanceOf(platform)],
      now: played.now,
      attempts: 1,
    });
    onTestFinished(() => replica.close());
    const wakeUp = async () => {
      await replica.runAll();
      return replica.loop.statuses[0]?.lastRun?.result;
    };
    expect(await wakeUp()).toBe('partial');
    await moveTo('2026-11-24T10:30:00Z');
    const asked = async () => {
      const { actions } = (await platform.control('stats')) as { actions: Record<string, object> };
      return Object.keys(actions).filter((action) => action.startsWith('instanceOrg.')).length;
    };
    await platform.control('stats/reset', {});
    expect(await wakeUp()).toBe('partial');
    expect(await asked()).toBe(4);
    // The second failure in a row is tried again four hours later, unless a person asks for it.
    await platform.control('config', { faults: null });
    await platform.control('stats/reset', {});
    await moveTo('2026-11-24T10:45:00Z');
    // Nothing is due: what failed is the ledger's gap, and no longer this run's failure.
    expect(await wakeUp()).toBe('complete');
    expect(await asked()).toBe(0);
    await runWhole(played);
    expect(await readStored(played)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-23'));
  });

  test('of the control totals are tried again by the next run', async () => {
    const played = await open('2026-11-27T10:30:00Z', { orgs: 1 });
    const { platform, query } = played;
    await platform.control('config', {
      faults: { kinds: ['server_error'], forever: true, actions: ['instance.deviceCounts'] },
    });
    await runWhole(played);
    const problem = async () =>
      (await query('select totals_problem from losant_usage.instances'))[0]?.['totals_problem'];
    expect(await problem()).toContain('instance.deviceCounts');
    await platform.control('config', { faults: null });
    await runWhole(played);
    expect(await problem()).toBeNull();
  });
});
