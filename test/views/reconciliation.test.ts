/** Losant's own totals and counterparts beside our sums: what is compared, what differs, and why something is not. */
import { type RawBuilder, sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { answer, INSTANCE, useLedger } from '../ledger/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { asOwner } from '../support/databases.ts';
import { devices, hours, named, POLICY, sources, totals } from '../usage/cells.ts';

const DAY = '2026-10-20';
const STREAMS = ['device_counts', 'payload_sources', 'payload_totals', 'payload_hours'];
const ledger = useLedger('2026-11-02T12:00:00.000Z');
let orgs: string[];

/** Two organizations with final numbers of a day, and Losant's total of their devices. */
beforeEach(async () => {
  await ledger.clear();
  orgs = [];
  for (const [place, total] of [17, 3].entries()) {
    const orgId = await ledger.want({ from: DAY, to: DAY }, STREAMS);
    orgs.push(orgId);
    await ledger.load([
      answer(orgId, 'device_counts', DAY, named(devices(1, 0, total))),
      answer(orgId, 'payload_sources', DAY, named(sources(21 + place))),
      answer(orgId, 'payload_totals', DAY, named(totals(17, 21 + place, 900))),
      answer(orgId, 'payload_hours', DAY, named(hours(17, 21 + place, 900))),
    ]);
  }
  const policy = JSON.stringify(POLICY);
  await ledger.asProgram(
    sql`update losant_usage.instances set all_from = '2026-10-01', policy = ${policy}::text::jsonb,
      control_totals = 'block',
      totals_problem = null`,
    sql`update losant_usage.organizations set created_on = '2026-10-01'`,
  );
  await setTotal(20);
});

const sum = sql`select losant_usage_internal.sum_days(${INSTANCE})`;
/** Gives Losant's total of the devices, and when it was read; 25 October is late enough. */
const setTotal = (quantity: number | null, verifiedAt: string | null = '2026-10-25') =>
  ledger.asProgram(
    sql`update losant_usage.instance_totals set quantity = ${quantity}, verified_at = ${verifiedAt}
      where metric = 'devices_total'`,
    sum,
  );
const setInstance = (what: RawBuilder<unknown>) =>
  ledger.asProgram(sql`update losant_usage.instances set ${what}`);
const outcome = async (comparedWith = 'losant', metric = 'devices_total') => {
  const [line] = await ledger.list(sql`select outcome, reason from losant_usage.reconciliation
    where compared_with = ${comparedWith} and metric = ${metric}`);
  return line;
};
const UNSET = sql`update losant_usage.instance_totals set our_sum = null`;
/** Marks the sums as changed and adds them up again, after a change. */
const change = async (...statements: RawBuilder<unknown>[]) => {
  await ledger.asProgram(...statements, UNSET, sum);
};

/** Adds an organization without a row of the day. */
const addOrg = (createdOn: string | null, removedOn: string | null) =>
  change(sql`insert into losant_usage.organizations (org_id, instance_id, name, created_on, removed_on, first_seen_at,
    last_seen_at) values ('5d00000000000000000000ff', ${INSTANCE}, 'x', ${createdOn}, ${removedOn}, now(), now())`);
const setStanding = (standing: string, where: RawBuilder<unknown>) =>
  change(sql`update losant_usage.coverage set standing = ${standing}, reason = 'waived' where ${where}`);

test('numbers that agree are equal, with both of them beside each other', async () => {
  const rows = sql`select usage_date, month, stream, kind, compared_with, quantity, total, difference, orgs_missing,
    outcome, reason from losant_usage.reconciliation where metric = 'devices_total'`;
  expect(await ledger.list(rows)).toEqual([
    '2026-10-20 2026-10-01 device_counts level losant 20 20 0 0 equal -',
  ]);
});

/** Deletes the second organization, which has 3 of the 20 devices. */
const deleteOn = (day: string) => () =>
  ledger.asProgram(sql`update losant_usage.organizations set removed_on = ${day} where org_id = ${orgs[1]}`);
const LESS = () => setTotal(17);
const moveOrg = () => setInstance(sql`org_moved_on = ${DAY}`);
const refuseTotals = () => setInstance(sql`totals_problem = 'HTTP 403'`);
const ofDevices = () => sql`stream = 'device_counts' and org_id = ${orgs[0]}`;

type Case = readonly [expected: string, name: string, ...acts: readonly (() => Promise<unknown>)[]];
const CASES: readonly Case[] = [
  ['differs -', 'settled numbers that differ', () => setTotal(21)],
  ['pending total_not_final', 'a total that may still change', () => setTotal(21, '2026-10-22')],
  ['equal -', 'an early total that is equal', () => setTotal(20, '2026-10-22')],
  ['not_compared left_out', 'a total that was left out for good', () => setTotal(null)],
  ['pending not_read', 'a total that was not read yet', () => setTotal(null, null)],
  ['not_compared refused', 'totals that Losant refuses', () => setTotal(null, null), refuseTotals],
  ['pending not_summed', 'a sum that is not added up', () => ledger.asProgram(UNSET)],
  ['pending not_final', 'a number that is not settled', () => setStanding('stored', ofDevices())],
  ['equal -', 'an accepted number, which is settled', () => setStanding('accepted', ofDevices())],
  ['equal -', 'another stream that is open', () => setStanding('stored', sql`stream = 'payload_totals'`)],
  ['not_compared orgs_missing', 'an organization that existed and has no row', () => addOrg(DAY, null)],
  ['equal -', 'an organization that was created the day after', () => addOrg('2026-10-21', null)],
  ['not_compared orgs_missing', 'an organization that was deleted before', () => addOrg(null, DAY)],
  ['not_compared organization_deleted', 'one that differs since a deletion', deleteOn('2026-10-24'), LESS],
  ['differs -', 'one that differed before an organization was deleted', deleteOn('2026-10-26'), LESS],
  ['not_compared selection', 'a selection of organizations', () => setInstance(sql`all_from = null`)],
  ['not_compared organization_moved', 'a day before an organization moved', moveOrg],
];

test.for(CASES)('%s: %s', async ([expected, , ...acts]) => {
  for (const act of acts) await act();
  expect(await outcome()).toBe(expected);
});

describe('counterparts', () => {
  test('that agree are equal: sources beside totals, totals beside hours', async () => {
    expect(await outcome('payload_totals', 'payload_source_count')).toBe('equal -');
    for (const metric of ['payload_billable_count', 'payload_all_count', 'payload_all_bytes']) {
      expect(await outcome('payload_hours', metric)).toBe('equal -');
    }
  });

  test('that differ are shown with the number of organizations, also where their sums agree', async () => {
    await change(
      sql`update losant_usage.usage_days set payload_all_count = payload_all_count +
        case org_id when ${orgs[0]} then 1 else -1 end`,
    );
    expect(await outcome('payload_totals', 'payload_source_count')).toBe('differs -');
    const rows = sql`select orgs_differing, difference from losant_usage.reconciliation
      where compared_with = 'payload_hours'
      and metric = 'payload_all_count'`;
    expect(await ledger.list(rows)).toEqual(['2 0']);
  });

  test('are compared where both are settled', async () => {
    await change(
      sql`update losant_usage.usage_days set payload_all_count = 99 where org_id = ${orgs[0]}`,
      sql`update losant_usage.coverage set standing = 'stored' where stream = 'payload_totals' and org_id = ${orgs[0]}`,
    );
    expect(await outcome('payload_totals', 'payload_source_count')).toBe('equal -');
  });
});

describe('a month that is over is blocked', () => {
  const blockers = () =>
    ledger.list(sql`select cause, array_to_string(streams, ' ') as streams, days, message
      from losant_usage.period_blockers
      where cause = 'contradicted'`);

  const onlyShow = () => setInstance(sql`control_totals = 'show'`);
  const BLOCKING: readonly Case[] = [
    ['contradicted device_counts 1 differs', 'by a difference', () => setTotal(21)],
    ['contradicted device_counts 1 not_read', 'by a day not compared yet', () => setTotal(null, null)],
    ['', 'not where totals are only shown', () => setTotal(21), onlyShow],
    ['', 'not by what cannot be compared', () => setTotal(null)],
  ];

  test.for(BLOCKING)('%s: %s', async ([expected, , ...acts]) => {
    // The other metrics have no total of Losant here.
    await asOwner(
      ledger.url,
      asProgram(`delete from losant_usage.instance_totals where metric <> 'devices_total'`),
    );
    for (const act of acts) await act();
    expect((await blockers()).join()).toBe(expected);
  });
});

test('sums above what a double can count are exact, and take no page away', async () => {
  await change(
    sql`update losant_usage.usage_days set payload_all_bytes = 9007199254740991,
      hours_all_bytes[1] = 9007199254740991 - 900`,
  );
  const rows = sql`select quantity, total, outcome from losant_usage.reconciliation where metric = 'payload_all_bytes'
    and compared_with = 'payload_hours'`;
  expect(await ledger.list(rows)).toEqual(['18014398509481982 18014398509481982 equal']);
  const months = sql`select payload_all_bytes from losant_usage.monthly_usage order by org_id`;
  expect(await ledger.list(months)).toEqual(['9007199254740991', '9007199254740991']);
});
