/** A database that fails over, and a month that is closed beside a load. */
import pg from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { asProgram } from '../support/by-hand.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { instanceOf, openReplica } from '../worker/loop.ts';
import { openPlayed, type Played, runWhole } from './played.ts';
import { readStored, readTruth } from './usage.ts';

vi.setConfig({ testTimeout: 120_000 });

// Promise (Database): What a failover of the database has lost is made up for at the next wake-up.
test('what a failover has lost is made up for at the next wake-up', async () => {
  const played = await openPlayed('2026-11-24T10:30:00Z', { orgs: 2 });
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
    const played = await openPlayed('2026-11-24T10:30:00Z', { orgs: 1 });
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
