/** The comparison of our sums with control totals and counterparts: what differs, and why something is not compared. */
import { type RawBuilder, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { COMPUTE_SUMS, cellResponse, INSTANCE, useFilledLedger } from '../ledger/ledger.ts';
import { devices, hours, POLICY, report, sources, totals } from '../usage/cells.ts';

const DAY = '2026-10-20';
const STREAMS = ['device_counts', 'payload_sources', 'payload_totals', 'payload_hours'];
const orgs: string[] = [];

/** Two organizations with final numbers on one day, and the control total of their devices. */
const ledger = useFilledLedger('2026-11-02T12:00:00.000Z', async () => {
  while (orgs.length < 2) orgs.push(await ledger.expectDays({ from: DAY, to: DAY }, STREAMS));
  await ledger.load(
    orgs.flatMap((orgId, index) => [
      cellResponse(orgId, 'device_counts', DAY, report(devices(1, 0, 17 - 14 * index))),
      cellResponse(orgId, 'payload_sources', DAY, report(sources(21 + index))),
      cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21 + index, 900))),
      cellResponse(orgId, 'payload_hours', DAY, report(hours(17, 21 + index, 900))),
    ]),
  );
  const policy = JSON.stringify(POLICY);
  await ledger.asProgram(
    sql`update losant_usage.instances set new_orgs_from = '2026-10-01', policy = ${policy}::text::jsonb,
      control_totals = 'block', unreadable_totals = null`,
    sql`update losant_usage.organizations set created_on = '2026-10-01'`,
  );
  await setTotal(20);
});

/** Sets the control total of the devices, and when it was read; 25 October is late enough. */
const setTotal = (quantity: number | null, lastReadAt: string | null = '2026-10-25') =>
  ledger.asProgram(
    sql`update losant_usage.instance_totals set quantity = ${quantity}, last_read_at = ${lastReadAt}
      where metric = 'devices_total'`,
    COMPUTE_SUMS,
  );
const setInstance = (assignment: RawBuilder<unknown>) =>
  ledger.asProgram(sql`update losant_usage.instances set ${assignment}`);
const outcome = async (comparedWith = 'losant', metric = 'devices_total') => {
  const [line] = await ledger.list(sql`select outcome, reason from losant_usage.reconciliation
    where compared_with = ${comparedWith} and metric = ${metric}`);
  return line;
};
const INVALIDATE_SUMS = sql`update losant_usage.instance_totals set our_sum = null`;
const invalidateSums = () => ledger.asProgram(INVALIDATE_SUMS);
const change = async (...statements: RawBuilder<unknown>[]) => {
  await ledger.asProgram(...statements, INVALIDATE_SUMS, COMPUTE_SUMS);
};

const addOrg = (createdOn: string | null, deletedOn: string | null, lastSeenAt: string | null = null) =>
  change(sql`insert into losant_usage.organizations (org_id, instance_id, name, created_on, deleted_on, first_seen_at,
      last_seen_at)
    values ('5d00000000000000000000ff', ${INSTANCE}, 'x', ${createdOn}, ${deletedOn}, now(),
      coalesce(${lastSeenAt}::timestamptz, now()))`);
const setStanding = (standing: string, where: RawBuilder<unknown>) =>
  change(sql`update losant_usage.coverage set standing = ${standing}, reason = 'waived' where ${where}`);

test('equal sums are shown with both numbers', async () => {
  const rows = sql`select usage_date, month, stream, kind, compared_with, quantity, total, difference, orgs_missing,
    outcome, reason from losant_usage.reconciliation where metric = 'devices_total'`;
  expect(await ledger.list(rows)).toEqual(['2026-10-20 2026-10-01 device_counts level losant 20 20 0 0 equal -']);
});

/** Returns an act that deletes the second organization, which has 3 of the 20 devices. */
const deleteOn =
  (day: string, lastSeenAt = '2026-10-24') =>
  () =>
    ledger.asProgram(sql`update losant_usage.organizations set deleted_on = ${day}, last_seen_at = ${lastSeenAt}
    where org_id = ${orgs[1]}`);
const totalWithoutIt = () => setTotal(17);
const totalOfThatDay = () => setTotal(17, '2026-10-25 12:00Z');
const noTotal = () => setTotal(null, null);
const transferOrg = () => setInstance(sql`org_transferred_on = ${DAY}`);
const selectOrgs = () => setInstance(sql`new_orgs_from = null`);
const rejectTotals = () => setInstance(sql`unreadable_totals = '{device_counts}'`);
const endHorizon = () => setInstance(sql`policy = policy || '{"horizonDays": 12}'`);
const isDeviceCell = () => sql`stream = 'device_counts' and org_id = ${orgs[0]}`;

type Case = readonly [expected: string, name: string, ...acts: readonly (() => Promise<unknown>)[]];
const CASES: readonly Case[] = [
  ['differs -', 'settled sums that differ', () => setTotal(21)],
  ['pending total_not_final', 'a total that may still change', () => setTotal(21, '2026-10-22')],
  ['equal -', 'an early total that is equal', () => setTotal(20, '2026-10-22')],
  ['not_compared omitted', 'a total that Losant omitted for good', () => setTotal(null)],
  ['pending not_read', 'a total that was not read yet', noTotal],
  ['not_compared refused', 'totals that Losant rejects', noTotal, rejectTotals],
  ['not_compared past_horizon', 'a total that can no longer be read', noTotal, endHorizon],
  ['not_compared past_horizon', 'a total that cannot become final', () => setTotal(21, '2026-10-22'), endHorizon],
  ['differs -', 'a final total past the horizon', () => setTotal(21), endHorizon],
  ['pending not_summed', 'a sum that is not computed', invalidateSums],
  ['pending not_summed', 'a selection without a sum, so without a counterpart', noTotal, selectOrgs, invalidateSums],
  ['pending not_summed', 'a day without a sum, before a transfer', transferOrg, invalidateSums],
  ['pending not_final', 'a cell that is not settled', () => setStanding('stored', isDeviceCell())],
  ['equal -', 'a waived cell, which is settled', () => setStanding('waived', isDeviceCell())],
  ['equal -', 'an unsettled cell of another stream', () => setStanding('stored', sql`stream = 'payload_totals'`)],
  ['not_compared orgs_missing', 'an organization that existed and has no cell', () => addOrg(DAY, null)],
  ['equal -', 'an organization that was created on the next day', () => addOrg('2026-10-21', null)],
  ['not_compared orgs_missing', 'an organization that was deleted on the day', () => addOrg(null, DAY)],
  ['not_compared organization_deleted', 'a total read after a deletion', deleteOn('2026-10-24'), totalWithoutIt],
  [
    'not_compared organization_deleted',
    'a total read after a deletion that was noticed days later',
    deleteOn('2026-10-27', '2026-10-24 00:15Z'),
    totalWithoutIt,
  ],
  [
    'not_compared organization_deleted',
    'a total read on the day of a deletion, after the list',
    deleteOn('2026-10-25', '2026-10-25 00:15Z'),
    totalOfThatDay,
  ],
  ['differs -', 'a total read on the last day with it', deleteOn('2026-10-26', '2026-10-25 00:15Z'), totalOfThatDay],
  ['differs -', 'a total before a deletion of its day', deleteOn('2026-10-25', '2026-10-25 12:00Z'), totalWithoutIt],
  ['differs -', 'a deletion before the day', () => addOrg(null, '2026-10-19', '2026-10-18'), () => setTotal(21)],
  ['not_compared selection', 'a selection of organizations', noTotal, selectOrgs],
  ['differs -', 'a final total read before organizations were selected', () => setTotal(21), selectOrgs],
  ['not_compared organization_transferred', 'a day before an organization was transferred', transferOrg],
];

test.for(CASES)('%s: %s', async ([expected, , ...acts]) => {
  for (const act of acts) await act();
  expect(await outcome()).toBe(expected);
});

test('a month has the days of each stream, however many of its metrics are compared', async () => {
  const days = sql`select stream, compared_with, outcome, days
    from losant_usage.month_reconciliation(${INSTANCE}, '2026-10-01') where compared_with <> 'losant' order by stream`;
  expect(await ledger.list(days)).toEqual([
    'payload_sources payload_totals equal 1',
    'payload_totals payload_hours equal 1',
  ]);
});

describe('counterparts', () => {
  test('are compared: sources with totals, and totals with hours', async () => {
    expect(await outcome('payload_totals', 'payload_source_count')).toBe('equal -');
    for (const metric of ['payload_billable_count', 'payload_all_count', 'payload_all_bytes']) {
      expect(await outcome('payload_hours', metric)).toBe('equal -');
    }
  });

  test('that differ are shown with the number of organizations, even if their sums are equal', async () => {
    await change(sql`update losant_usage.usage_days set payload_all_count = payload_all_count +
      case org_id when ${orgs[0]} then 1 else -1 end`);
    expect(await outcome('payload_totals', 'payload_source_count')).toBe('differs -');
    const rows = sql`select orgs_differing, difference from losant_usage.reconciliation
      where compared_with = 'payload_hours' and metric = 'payload_all_count'`;
    expect(await ledger.list(rows)).toEqual(['2 0']);
  });

  test('are compared only if both are settled', async () => {
    await change(
      sql`update losant_usage.usage_days set payload_all_count = 99 where org_id = ${orgs[0]}`,
      sql`update losant_usage.coverage set standing = 'stored' where stream = 'payload_totals' and org_id = ${orgs[0]}`,
    );
    expect(await outcome('payload_totals', 'payload_source_count')).toBe('equal -');
  });
});

const blockers = () =>
  ledger.list(sql`select cause, array_to_string(streams, ' ') as streams, days, detail
    from losant_usage.month_blockers where cause = 'not_reconciled'`);

const onlyShow = () => setInstance(sql`control_totals = 'show'`);
const BLOCKING: readonly Case[] = [
  ['not_reconciled device_counts 1 differs', 'by a difference', () => setTotal(21)],
  ['not_reconciled device_counts 1 not_read', 'by a day not compared yet', noTotal],
  ['', 'not if CONTROL_TOTALS is show', () => setTotal(21), onlyShow],
  ['', 'not by a total that cannot be compared', () => setTotal(null)],
  ['', 'not by a total that can no longer be read', noTotal, endHorizon],
];

test.for(BLOCKING)('%s: a past month is blocked %s', async ([expected, , ...acts]) => {
  await ledger.asProgram(sql`update losant_usage.instance_totals set quantity = our_sum, last_read_at = '2026-10-25'
    where metric <> 'devices_total'`);
  for (const act of acts) await act();
  expect((await blockers()).join()).toBe(expected);
});
