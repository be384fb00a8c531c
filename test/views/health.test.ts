/** The views health and freshness: what they count of each stream, of instances without any, and of runs. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { NOW, ORGS, useWorldLedger } from './world.ts';

const { ledger, rows, rowsAfter } = useWorldLedger();

test('health counts the expected and the unread cells of yesterday, failing reads and deleted organizations', async () => {
  const health = `select right(instance_id, 2), stream, yesterday_expected, yesterday_waiting, yesterday_unavailable,
      yesterday_in_doubt, yesterday_missing, failing, organizations, organizations_deleted, complete_to
    from losant_usage.health order by 1, 2`;
  expect(await rows(health)).toEqual([
    '01 device_counts 3 1 0 1 0 1 3 1 2026-09-24',
    '01 notebook_minutes 1 0 0 0 0 0 3 1 2026-11-23',
    '01 payload_hours 2 1 0 0 0 0 3 1 2026-10-29',
    '01 payload_sources 1 0 0 0 0 0 3 1 2026-11-23',
    '01 payload_totals 2 1 0 0 0 1 3 1 2026-10-04',
    'ff device_counts 1 0 0 0 0 0 1 0 2026-11-23',
  ]);
});

test.each<[what: string, changes: string, deletedOn: string | null, expected: string]>([
  ['that was only tried', 'listed_at = null', null, '1 t'],
  ['that has no organization', `listed_at = now(), new_orgs_from = '2026-11-23'`, null, '0'],
  ['that has none of the named organizations', 'listed_at = now()', null, '1 t'],
  ['of whose organizations nothing is tracked', `listed_at = now(), new_orgs_from = '2026-11-23'`, 'null', '1 t'],
  ['whose only organization was deleted at once', `listed_at = now(), new_orgs_from = '2026-11-23'`, 'now()', '0'],
  ['that was retired', 'retired_at = now()', null, '0'],
])('health has a row without a stream of an instance that was never read: one %s', async (...situation) => {
  const [, changes, deletedOn, expected] = situation;
  const id = '5c00000000000000000000ee';
  const statements = [
    `insert into losant_usage.instances (instance_id, last_error) values ('${id}', 'HTTP 502')`,
    `update losant_usage.instances set ${changes} where instance_id = '${id}'`,
    `insert into losant_usage.organizations (org_id, instance_id, name, deleted_on, first_seen_at, last_seen_at)
     select '5d00000000000000000000ee', '${id}', 'New', ${deletedOn ?? 'null'}, now(), now()
     where ${deletedOn !== null}`,
  ];
  const row = `select concat_ws(' ', count(*), bool_and(first_attempt_at is not null and last_error = 'HTTP 502'
        and orgs + orgs_complete + orgs_with_gaps + gaps + gaps_expiring + final + waived + stored + waiting
          + unavailable + in_doubt + missing + yesterday_expected + yesterday_waiting + yesterday_unavailable
          + yesterday_in_doubt + yesterday_missing + failing + quarantined + organizations_deleted = 0)) as line
    from losant_usage.health where instance_id = '${id}' and stream is null`;
  expect(await rowsAfter(statements, row)).toEqual([{ line: expected }]);
});

test('an organization of which a cell is waiting is not complete, and has no gap', async () => {
  const orgs = `select orgs, orgs_complete, orgs_with_gaps, complete_to::text from losant_usage.freshness
    where instance_id like '%01' and stream = 'notebook_minutes'`;
  const setWaiting = `update losant_usage.coverage set standing = 'waiting', is_stored = false, is_reported = false,
      reason = 'never_read'
    where org_id = '${ORGS.whole}' and stream = 'notebook_minutes' and usage_date = '2026-11-23'`;
  const complete = { orgs: 1, orgs_complete: 1, orgs_with_gaps: 0, complete_to: '2026-11-23' };
  expect(await rowsAfter([], orgs)).toEqual([complete]);
  expect(await rowsAfter([setWaiting], orgs)).toEqual([{ ...complete, orgs_complete: 0, complete_to: '2026-11-22' }]);
});

test('an organization that is no longer expected counts among those with gaps', async () => {
  const orgs = `select orgs, orgs_complete, orgs_with_gaps from losant_usage.freshness
    where instance_id like '%01' and stream = 'device_counts'`;
  const setMissing = `update losant_usage.coverage set standing = 'missing', is_stored = false, is_reported = false,
      reason = 'timeout'
    where org_id = '${ORGS.deleted}' and stream = 'device_counts' and usage_date = '2026-11-01'`;
  expect(await rowsAfter([], orgs)).toEqual([{ orgs: 3, orgs_complete: 0, orgs_with_gaps: 3 }]);
  expect(await rowsAfter([setMissing], orgs)).toEqual([{ orgs: 3, orgs_complete: 0, orgs_with_gaps: 4 }]);
});

test('health counts the final cells of a stream of which every cell is final', async () => {
  const finish = `update losant_usage.coverage set standing = 'final', finalized_at = now(), next_read_at = null
    where stream = 'notebook_minutes'`;
  const cells = `select orgs_complete, final, stored, complete_to::text from losant_usage.health
    where instance_id like '%01' and stream = 'notebook_minutes'`;
  const finished = { orgs_complete: 1, final: 65, stored: 0, complete_to: '2026-11-23' };
  expect(await rowsAfter([finish], cells)).toEqual([finished]);
});

test('health has the newest day of the last ten that was read', async () => {
  const newest = `select newest_read_day from losant_usage.health
    where stream = 'notebook_minutes' and right(instance_id, 2) = '01'`;
  expect(await rows(newest)).toEqual(['2026-11-23']);
  await ledger.setTime('2026-12-03T12:00:00.000Z');
  expect(await rows(newest)).toEqual(['2026-11-23']);
  await ledger.setTime('2026-12-04T12:00:00.000Z');
  expect(await rows(newest)).toEqual(['-']);
  await ledger.setTime(NOW);
});

test('health has the newest day of each instance by itself', async () => {
  const cell = `insert into losant_usage.coverage
      (usage_date, org_id, stream, standing, last_read_at, last_attempt_at, reason)
    select '2026-11-24', min(org_id), 'device_counts', 'missing', case right(instance_id, 2) when '01' then now() end,
      now(), 'omitted'
    from losant_usage.organizations group by instance_id`;
  const newest = `select newest_read_day::text from losant_usage.health
    where stream = 'device_counts' order by instance_id`;
  expect(await rowsAfter([cell], newest)).toMatchObject([
    { newest_read_day: '2026-11-24' },
    { newest_read_day: '2026-11-23' },
  ]);
});

test('health has the end of the last run, and of the last complete one of all organizations', async () => {
  const addRun = (isFull: boolean, status: string, finishedAt: string) =>
    sql`insert into losant_usage.runs (run_id, instance_id, kind, is_full, status, started_at, finished_at, host, version)
      select gen_random_uuid(), instance_id, 'scheduled', ${isFull}, ${status}, ${finishedAt}, ${finishedAt}, '', ''
      from losant_usage.instances where right(instance_id, 2) = 'ff'`;
  await ledger.asProgram(
    addRun(true, 'complete', '2026-11-20T10:00Z'),
    addRun(false, 'complete', '2026-11-20T11:00Z'),
    addRun(true, 'partial', '2026-11-20T12:00Z'),
  );
  const lastRuns = `select last_run_at, last_complete_run_at from losant_usage.health where right(instance_id, 2) = 'ff'`;
  expect(await rows(lastRuns)).toEqual(['2026-11-20T12:00:00.000Z 2026-11-20T10:00:00.000Z']);
});

test('health counts gaps that pass the horizon within a week', async () => {
  const expiring = 'select sum(gaps_expiring) from losant_usage.health';
  expect(await rows(expiring)).toEqual(['0']);
  await ledger.setTime('2026-12-18T03:00:00.000Z');
  expect(await rows(expiring)).toEqual(['1']);
  await ledger.setTime(NOW);
});
