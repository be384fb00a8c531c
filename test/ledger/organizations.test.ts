/** Organizations as Losant lists them: attributes and history. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  countUnlistedDay,
  markDeleted,
  readOrgIds,
  readUnreadableOrgs,
  upsertOrganizations,
} from '../../src/ledger/organizations.ts';
import type { Organization, UnreadableOrg } from '../../src/usage/organization.ts';
import { useLedger } from './ledger.ts';

const MONDAY = '2026-11-23T00:15:00.000Z';
const TUESDAY = '2026-11-24T00:15:00.000Z';
const WEDNESDAY = '2026-11-25T00:15:00.000Z';
const A = '5a000000000000000000000a';
const B = '5b000000000000000000000b';
const C = '5c000000000000000000000c';
const ledger = useLedger(TUESDAY);

beforeEach(() => ledger.clear());

const idOf = (index: number) => `5a00000000000000000000${String(index).padStart(2, '0')}`;

function acme(changes: Partial<Organization> = {}): Organization {
  return {
    orgId: A,
    name: 'Acme',
    tags: ['gold', 'silver'].map((value) => ({ key: 'tier', value })),
    referralId: 'C-1001',
    planId: '5e0000000000000000000001',
    customerId: null,
    limits: { payload: 1_000_000, device: 50 },
    currentPeriodStart: '2026-11-01T00:00:00.000Z',
    currentPeriodEnd: '2026-12-01T00:00:00.000Z',
    createdOn: '2025-03-04',
    ...changes,
  };
}

type Listed = readonly (Organization | UnreadableOrg)[];
const storeAt = async (seenAt: string, organizations: Listed) => {
  await ledger.setTime(seenAt);
  await upsertOrganizations(ledger.writer(), organizations);
};
const stored = () => ledger.queryRows(sql`select * from losant_usage.organizations order by org_id`);
const history = () =>
  ledger.queryRows(sql`select org_id, name, valid_from, valid_to
    from losant_usage.organization_history order by org_id, valid_from`);

describe('a listed organization', () => {
  test('is stored with all attributes the first time, and begins its history', async () => {
    await storeAt(MONDAY, [acme()]);
    const row = sql`select org_id, name, tags, referral_id, plan_id, customer_id, limits,
      current_period_start, current_period_end, created_on, deleted_on, first_seen_at, last_seen_at, problem
      from losant_usage.organizations`;
    const columns = [
      `${A} Acme [{"key":"tier","value":"gold"},{"key":"tier","value":"silver"}]`,
      'C-1001 5e0000000000000000000001 - {"device":50,"payload":1000000}',
      `2026-11-01T00:00:00.000Z 2026-12-01T00:00:00.000Z 2025-03-04 - ${MONDAY} ${MONDAY} -`,
    ];
    expect(await ledger.list(row)).toEqual([columns.join(' ')]);
    expect(await history()).toEqual([{ org_id: A, name: 'Acme', valid_from: MONDAY, valid_to: null }]);
  });

  test('has another history row for each change, and none for limits in another order', async () => {
    const cases: readonly (readonly [what: string, Partial<Organization>, versions: string])[] = [
      ['limits in another order', { limits: { device: 50, payload: 1_000_000 } }, '23-'],
      ['another name', { name: 'Acme GmbH' }, '23-24 24-'],
      ['other tags', { tags: [{ key: 'tier', value: 'gold' }] }, '23-24 24-'],
      ['tags in another order', { tags: acme().tags.toReversed() }, '23-24 24-'],
      ['another referral id', { referralId: 'C-1002' }, '23-24 24-'],
      ['a customer', { customerId: 'cus_1' }, '23-24 24-'],
      ['another billing period', { currentPeriodEnd: '2027-01-01T00:00:00.000Z' }, '23-24 24-'],
    ];
    const orgs = cases.map(([, changes], index) => acme({ ...changes, orgId: idOf(index) }));
    const acmes = orgs.map(({ orgId }) => acme({ orgId }));
    await storeAt(MONDAY, acmes);
    await storeAt(TUESDAY, orgs);
    expect(await stored()).toMatchObject(orgs.map(() => ({ first_seen_at: MONDAY, last_seen_at: TUESDAY })));
    const versions = await ledger.list(sql`
      select string_agg(concat(to_char(valid_from, 'DD-'), to_char(valid_to, 'DD')), ' ' order by valid_from)
      from losant_usage.organization_history group by org_id order by org_id`);
    expect(cases.map(([what], index) => [what, versions[index]])).toEqual(cases.map(([what, , each]) => [what, each]));
  });

  test('has the earliest creation date that Losant has reported', async () => {
    const cases = [
      ['not reported', '2025-03-04', null, '2025-03-04'],
      ['moved earlier', '2025-03-04', '2024-01-01', '2024-01-01'],
      ['moved later', '2025-03-04', '2026-11-01', '2025-03-04'],
      ['unknown before', null, '2026-11-01', '2026-11-01'],
    ] as const;
    const listOrgs = (column: 1 | 2) =>
      cases.map((each, index) => acme({ orgId: idOf(index), createdOn: each[column] }));
    await storeAt(MONDAY, listOrgs(1));
    await storeAt(TUESDAY, listOrgs(2));
    const days = await ledger.list(sql`select created_on from losant_usage.organizations order by org_id`);
    expect(cases.map(([what], index) => [what, days[index]])).toEqual(cases.map(([what, , , day]) => [what, day]));
  });

  test('does not end a history row that began after it was listed', async () => {
    await storeAt(TUESDAY, [acme()]);
    await storeAt(MONDAY, [acme({ name: 'Acme GmbH' })]);
    expect(await history()).toMatchObject([{ name: 'Acme', valid_from: TUESDAY, valid_to: null }]);
    await storeAt(WEDNESDAY, [acme({ name: 'Acme GmbH' })]);
    const next = { name: 'Acme GmbH', valid_from: WEDNESDAY, valid_to: null };
    expect(await history()).toMatchObject([{ name: 'Acme', valid_to: WEDNESDAY }, next]);
  });
});

test('an unreadable organization keeps its attributes, and its problem until it is readable', async () => {
  await storeAt(MONDAY, [acme()]);
  const knownOrg = { orgId: A, problem: 'no id' };
  const newOrg = { orgId: B, problem: 'tags: not a list' };
  await storeAt(TUESDAY, [{ orgId: A, problem: 'no name' }, knownOrg, newOrg, { orgId: null, problem: 'no id' }]);
  expect(await readUnreadableOrgs(ledger.db)).toEqual([knownOrg, newOrg]);
  expect(await stored()).toMatchObject([{ name: 'Acme', referral_id: 'C-1001' }, { name: B }]);
  await storeAt(WEDNESDAY, [acme(), acme({ orgId: B })]);
  expect(await readUnreadableOrgs(ledger.db)).toEqual([]);
});

describe('an organization that is no longer listed', () => {
  beforeEach(async () => {
    await storeAt(MONDAY, [acme({ orgId: C }), acme({ orgId: A }), acme({ orgId: B })]);
    await storeAt(TUESDAY, [acme({ orgId: B })]);
  });

  test('is found by the time at which it was last listed, in the order of IDs', async () => {
    expect(await readOrgIds(ledger.db)).toEqual([A, B, C]);
    expect(await readOrgIds(ledger.db, { unseenSince: TUESDAY })).toEqual([A, C]);
  });

  test('is counted once a day, until it is listed again', async () => {
    const countDay = async (today: string) => {
      const counts = await countUnlistedDay(ledger.writer(), { orgIds: [A, C], today });
      return [counts.get(A), counts.get(C)];
    };
    expect(await countDay('2026-11-24')).toEqual([1, 1]);
    expect(await countDay('2026-11-24')).toEqual([1, 1]);
    expect(await countDay('2026-11-25')).toEqual([2, 2]);
    await storeAt(WEDNESDAY, [acme()]);
    expect(await countDay('2026-11-26')).toEqual([1, 3]);
  });

  test('keeps its history after its deletion, and the day on which that was noticed', async () => {
    await markDeleted(ledger.writer(), { orgIds: [A], today: '2026-11-24' });
    await markDeleted(ledger.writer(), { orgIds: [A], today: '2026-11-25' });
    expect(await stored()).toMatchObject([{ deleted_on: '2026-11-24' }, { deleted_on: null }, {}]);
    expect(await history()).toHaveLength(3);
    expect(await readOrgIds(ledger.db)).toEqual([B, C]);
    await storeAt(WEDNESDAY, [acme()]);
    expect(await stored()).toMatchObject([{ deleted_on: null, first_seen_at: MONDAY }, {}, {}]);
  });
});
