/** The comparison of our sums with control totals and with other streams: what differs, and why nothing is compared. */
import { type RawBuilder, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { cellResponse, useFilledLedger } from '../ledger/ledger.ts';
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
  await ledger.write(
    sql`update losant_usage.instance set new_orgs_from = '2026-10-01', policy = ${JSON.stringify(POLICY)}::text::jsonb`,
    sql`update losant_usage.organizations set created_on = '2026-10-01'`,
  );
  await setTotal(20);
});

/** Sets the control total of the devices, and when it was read; 25 October is late enough. */
const setTotal = (total: number | null, readAt = '2026-10-25') =>
  ledger.write(sql`insert into losant_usage.instance_totals (usage_date, metric, losant_total, last_read_at)
    values (${DAY}, 'devices_total', ${total}, ${readAt})
    on conflict (usage_date, metric) do update
    set losant_total = excluded.losant_total, last_read_at = excluded.last_read_at`);
const removeTotal = () => ledger.write(sql`update losant_usage.instance_totals set usage_date = '2026-09-01'`);
const setInstance = (assignment: RawBuilder<unknown>) =>
  ledger.write(sql`update losant_usage.instance set ${assignment}`);
const readOutcome = async (comparedWith = 'losant', metric = 'devices_total') => {
  const [line] = await ledger.list(sql`select outcome, reason, is_settled from losant_usage.reconciliation
    where usage_date = ${DAY} and compared_with = ${comparedWith} and metric = ${metric}`);
  return line;
};

const addOrg = (createdOn: string | null, deletedOn: string | null, lastSeenAt: string | null = null) =>
  ledger.write(sql`insert into losant_usage.organizations (org_id, name, created_on, deleted_on, first_seen_at,
      last_seen_at)
    values ('5d00000000000000000000ff', 'x', ${createdOn}, ${deletedOn}, now(),
      coalesce(${lastSeenAt}::timestamptz, now()))`);
const setStanding = (standing: string, stream: string) => () =>
  ledger.write(sql`update losant_usage.coverage set standing = ${standing}::losant_usage.standing, reason = 'waived'
    where stream = ${stream} and org_id = ${orgs[0]}`);
/** Returns an act that deletes the second organization, which has 3 of the 20 devices. */
const deleteOn =
  (day: string, lastSeenAt = '2026-10-24') =>
  () =>
    ledger.setOrg(orgs[1] ?? '', sql`deleted_on = ${day}, last_seen_at = ${lastSeenAt}`);
const loseDay = () =>
  ledger.write(
    sql`update losant_usage.coverage set standing = 'missing', is_stored = false, is_reported = false, reason = 'timeout'
      where stream = 'device_counts' and org_id = ${orgs[0]}`,
    sql`update losant_usage.usage_days set devices_created = null, devices_deleted = null, devices_total = null
      where org_id = ${orgs[0]}`,
  );
const selectOrgs = () => setInstance(sql`new_orgs_from = null`);
const rejectTotals = () => setInstance(sql`rejected_totals = '{device_counts}'`);
const endHorizon = () => setInstance(sql`policy = policy || '{"horizonDays": 12}'`);

type Case = readonly [expected: string, name: string, ...acts: readonly (() => Promise<unknown>)[]];
const CASES: readonly Case[] = [
  ['equal - true', 'equal numbers'],
  ['difference - true', 'settled numbers that differ', () => setTotal(21)],
  ['difference - false', 'a total that may still change', () => setTotal(21, '2026-10-22')],
  ['difference - false', 'a number that is not settled', setStanding('stored', 'device_counts'), () => setTotal(21)],
  [
    'difference - true',
    'a waived number, which is settled',
    setStanding('waived', 'device_counts'),
    () => setTotal(21),
  ],
  [
    'difference - true',
    'another stream that is not settled',
    setStanding('stored', 'payload_totals'),
    () => setTotal(21),
  ],
  ['not_compared omitted true', 'a total that Losant omitted', () => setTotal(null)],
  ['pending not_read false', 'a total that was not read yet', removeTotal],
  ['not_compared rejected false', 'totals that Losant rejects', removeTotal, rejectTotals],
  ['not_compared past_horizon true', 'a total that can no longer be read', removeTotal, endHorizon],
  ['difference - true', 'a total that cannot become final', () => setTotal(21, '2026-10-22'), endHorizon],
  ['not_compared orgs_missing true', 'an organization that existed and has no number', () => addOrg(DAY, null)],
  ['pending orgs_missing false', 'a number that is still awaited', loseDay],
  ['equal - true', 'an organization that was created on the next day', () => addOrg('2026-10-21', null)],
  ['not_compared orgs_missing true', 'an organization that was deleted on the day', () => addOrg(null, DAY)],
  [
    'difference - true',
    'a deletion before the day',
    () => addOrg(null, '2026-10-19', '2026-10-18'),
    () => setTotal(21),
  ],
  ['not_compared organization_deleted true', 'a deletion before the read', deleteOn('2026-10-24'), () => setTotal(17)],
  [
    'not_compared organization_deleted true',
    'a deletion before the read that was noticed days later',
    deleteOn('2026-10-27', '2026-10-24 00:15Z'),
    () => setTotal(17),
  ],
  [
    'difference - true',
    'a read on the last day with the organization',
    deleteOn('2026-10-26', '2026-10-25 00:15Z'),
    () => setTotal(17, '2026-10-25 12:00Z'),
  ],
  ['not_compared selection true', 'a selection of organizations', selectOrgs],
];

test.for(CASES)('%s: %s', async ([expected, , ...acts]) => {
  for (const act of acts) await act();
  expect(await readOutcome()).toBe(expected);
});

test('numbers are shown with their difference', async () => {
  await setTotal(17);
  const rows = sql`select usage_date, month, stream, kind, quantity, losant_total, compared_quantity, difference,
    orgs_missing, orgs_differing from losant_usage.reconciliation
    where metric = 'devices_total' and compared_with = 'losant'`;
  expect(await ledger.list(rows)).toEqual(['2026-10-20 2026-10-01 device_counts level 20 17 - 3 0 -']);
});

describe('streams that count the same payloads', () => {
  const changeTotals = () =>
    ledger.write(sql`update losant_usage.usage_days set payload_all_count = payload_all_count +
      case org_id when ${orgs[0]} then 1 else -1 end`);
  const readCause = () =>
    ledger.list(sql`select state, detail from losant_usage.month_blockers
      where cause = 'not_reconciled' and 'payload_sources' = any (streams)`);

  test('are compared: sources with totals, and totals with hours', async () => {
    expect(await readOutcome('payload_totals', 'payload_source_count')).toBe('equal - true');
    for (const metric of ['payload_billable_count', 'payload_all_count', 'payload_all_bytes']) {
      expect(await readOutcome('payload_hours', metric)).toBe('equal - true');
    }
    const rows = sql`select quantity, compared_quantity, losant_total, orgs_differing from losant_usage.reconciliation
      where compared_with = 'payload_totals'`;
    expect(await ledger.list(rows)).toEqual(['43 43 - 0']);
  });

  test('and differ block the month, even if their sums are equal', async () => {
    await changeTotals();
    expect(await readOutcome('payload_totals', 'payload_source_count')).toBe('difference - true');
    const rows = sql`select orgs_differing, difference from losant_usage.reconciliation
      where compared_with = 'payload_hours' and metric = 'payload_all_count'`;
    expect(await ledger.list(rows)).toEqual(['2 0']);
    expect(await readCause()).toContain('blocked difference, not_read');
  });

  test.each([
    ['may still change', 'stored', 'difference - true'],
    ['was waived', 'waived', 'difference - true'],
  ])('and differ where a number of one organization %s are settled by the other', async (_, standing, expected) => {
    await changeTotals();
    await setStanding(standing, 'payload_totals')();
    expect(await readOutcome('payload_totals', 'payload_source_count')).toBe(expected);
  });

  test('and differ only where a number is not final block nothing', async () => {
    await ledger.write(sql`update losant_usage.usage_days set payload_source_count = 99 where org_id = ${orgs[0]}`);
    await setStanding('waived', 'payload_totals')();
    expect(await readOutcome('payload_totals', 'payload_source_count')).toBe('difference - false');
    expect(await readCause()).not.toContain('blocked difference');
  });
});
