/** Which streams count where: those with metrics for days, months and statements; hours for themselves. */
import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { eachDay } from '../../src/usage/day.ts';
import type { Numbers } from '../../src/usage/numbers.ts';
import { COMPUTE_SUMS, cellResponse, useFreshLedger } from '../ledger/ledger.ts';
import { failed, hours, minutes, POLICY, report, totals } from '../usage/cells.ts';

const DAY = '2026-10-20';
const ledger = useFreshLedger('2026-11-10T12:00:00.000Z');

/** An organization whose totals and hours are expected on one day. */
async function expectDay(streams = ['payload_totals', 'payload_hours']): Promise<string> {
  const policy = JSON.stringify(POLICY);
  await ledger.asProgram(
    sql`update losant_usage.instances set new_orgs_from = ${DAY}, control_totals = 'block', policy = ${policy}::text::jsonb`,
  );
  const orgId = await ledger.expectDays({ from: DAY, to: DAY }, streams);
  await ledger.asProgram(sql`update losant_usage.organizations set created_on = ${DAY}, deleted_on = '2026-10-21'`);
  return orgId;
}

const totalsOf = (orgId: string) => cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21, 900)));
const hoursOf = (orgId: string, billable = 17) =>
  cellResponse(orgId, 'payload_hours', DAY, report(hours(billable, 21, 900)));
const read = (query: string) => ledger.list(sql.raw(query));
const causes = () => read("select cause, streams from losant_usage.month_blockers where cause <> 'not_over'");

describe('a missing hour', () => {
  test('is a gap of its stream, and neither of its day nor of its month', async () => {
    const orgId = await expectDay();
    await ledger.load([totalsOf(orgId), cellResponse(orgId, 'payload_hours', DAY, failed)]);
    await ledger.asProgram(sql`update losant_usage.instances set control_totals = 'show'`);
    expect(await read('select stream, standing from losant_usage.coverage_gaps')).toEqual(['payload_hours missing']);
    const days = 'select standing, is_final, is_reported from losant_usage.daily_usage';
    expect(await read(days)).toEqual(['final true true']);
    const months = 'select standing, days_stored, days_final, is_billable from losant_usage.monthly_usage';
    expect(await read(months)).toEqual(['final 1 1 true']);
    expect(await read('select distinct standing from losant_usage.hourly_usage')).toEqual(['missing']);
    expect(await causes()).toEqual([]);
  });

  test('does not make days with omitted hours unreported', async () => {
    const orgId = await expectDay();
    await ledger.load([totalsOf(orgId), hoursOf(orgId)]);
    await ledger.asProgram(sql`update losant_usage.coverage set is_reported = false where stream = 'payload_hours'`);
    expect(await read('select days_unreported from losant_usage.monthly_usage')).toEqual(['0']);
  });

  test('that no run has created yet makes no day wait', async () => {
    const orgId = await expectDay();
    await ledger.load([totalsOf(orgId), hoursOf(orgId)]);
    await ledger.asProgram(
      sql`update losant_usage.tracks set last_day = null where stream = 'payload_hours'`,
      sql`update losant_usage.organizations set deleted_on = null`,
    );
    expect(await read('select count(*) from losant_usage.cells')).toEqual(['22']);
    expect(await read('select usage_date from losant_usage.daily_usage')).toEqual([DAY]);
  });
});

test('a day on which only hours are expected is in no view of days or months', async () => {
  const orgId = await expectDay(['payload_hours']);
  const dayViews = `select count(*) from losant_usage.daily_usage union all
    select count(*) from losant_usage.monthly_usage union all select count(*) from losant_usage.cells`;
  expect(await read(dayViews)).toEqual(['0', '0', '1']);
  await ledger.load([hoursOf(orgId)]);
  expect(await read(dayViews)).toEqual(['0', '0', '1']);
  expect(await read('select distinct standing from losant_usage.hourly_usage')).toEqual(['final']);
  await ledger.asProgram(sql`update losant_usage.instances set list_problem = 'page 2 failed'`);
  expect(await causes()).toEqual([]);
  expect(await read('select month from losant_usage.months')).toEqual([]);
  await ledger.asProgram(
    sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
      values (${orgId}, 'payload_totals', ${DAY}, ${DAY}, ${DAY})`,
    sql`update losant_usage.organizations set deleted_on = null`,
  );
  await ledger.prepare({ streams: [] });
  expect(await read('select standing from losant_usage.daily_usage')).toEqual(['missing']);
});

test('hours that were not collected on every day keep no month from being billed', async () => {
  const orgId = await ledger.createOrg({ createdOn: '2026-10-20' });
  await ledger.expectDays({ from: '2026-10-20', to: '2026-10-31' }, ['payload_totals'], orgId);
  await ledger.expectDays({ from: '2026-10-25', to: '2026-10-31' }, ['payload_hours'], orgId);
  await ledger.asProgram(sql`update losant_usage.coverage set standing = 'waived', reason = 'waived'`, COMPUTE_SUMS);
  expect(await causes()).toEqual([]);
});

test('a month of which a stream was tracked in part is not compared with another', async () => {
  const orgId = await ledger.createOrg({ createdOn: '2026-09-01' });
  const load = async (stream: string, from: string, to: string, numbers: Numbers) => {
    await ledger.expectDays({ from, to }, [stream], orgId);
    await ledger.load(eachDay({ from, to }).map((day) => cellResponse(orgId, stream, day, report(numbers))));
  };
  await load('notebook_minutes', '2026-09-01', '2026-10-31', minutes(2, 1));
  await load('payload_totals', '2026-09-01', '2026-09-30', totals(10, 10, 900));
  await load('payload_totals', '2026-10-22', '2026-10-31', totals(10, 10, 900));
  const question = readFileSync('docs/sql/month-over-month.sql', 'utf8').replace(/;\s*$/, '');
  const columns = 'payloads_before, payloads, payloads_change, payloads_share_by_day, minutes_change';
  expect(await read(`select ${columns} from (${question}) as q`)).toEqual(['300 100 - - 2']);
});

test.each([
  ['block the month once they are settled', 'final', ['not_reconciled ["payload_hours","payload_totals"]']],
  ['are not compared if they are waived', 'waived', []],
])('hours that differ from the totals %s', async (_, standing, expected) => {
  const orgId = await expectDay();
  await ledger.load([totalsOf(orgId), hoursOf(orgId, 16)]);
  await ledger.asProgram(
    sql`update losant_usage.coverage set standing = ${standing}, reason = 'waived' where stream = 'payload_hours'`,
    sql`update losant_usage.instance_totals set our_sum = null, quantity = 17 where metric like 'payload%'`,
    COMPUTE_SUMS,
    sql`update losant_usage.instance_totals set quantity = our_sum`,
  );
  expect(await causes()).toEqual(expected);
});
