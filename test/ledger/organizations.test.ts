import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { applyPolicy } from '../../src/ledger/instances.ts';
import {
  addUnreadable,
  countOrganizations,
  filterKnown,
  markRemoved,
  readOrganizationPage,
  readUnreadable,
  readUnseenOrganizations,
  upsertOrganizations,
} from '../../src/ledger/organizations.ts';
import type { Organization } from '../../src/usage/organization.ts';
import { policy } from '../usage/tracks.ts';
import { addCells, addTracking, clearOrganizations, coverageOf, INSTANCE, useLedger } from './ledger.ts';

const ledger = useLedger();

beforeEach(async () => {
  await clearOrganizations(ledger.db);
});

const A = '5a000000000000000000000a';
const B = '5b000000000000000000000b';
const C = '5c000000000000000000000c';

function acme(changes: Partial<Organization> = {}): Organization {
  return {
    orgId: A,
    instanceId: INSTANCE,
    name: 'Acme',
    tags: [
      { key: 'tier', value: 'gold' },
      { key: 'tier', value: 'silver' },
    ],
    referralId: 'C-1001',
    planId: '5e0000000000000000000001',
    customerId: null,
    limits: { payload: 1_000_000, device: 50 },
    isReadOnly: false,
    disabledAt: null,
    currentPeriodStart: '2026-11-01T00:00:00.000Z',
    currentPeriodEnd: '2026-12-01T00:00:00.000Z',
    createdAt: '2025-03-04T05:06:07.089Z',
    ...changes,
  };
}

const see = (seenAt: string, ...organizations: readonly Organization[]) =>
  upsertOrganizations(ledger.db, { instanceId: INSTANCE, organizations, seenAt });
const stored = () => ledger.ask(sql`select * from losant_usage.organizations order by org_id`);
const history = () =>
  ledger.ask(sql`select org_id, name, referral_id, valid_from, valid_to
      from losant_usage.organization_history order by org_id, valid_from`);

const MONDAY = '2026-11-23T00:15:00.000Z';
const TUESDAY = '2026-11-24T00:15:00.000Z';
const WEDNESDAY = '2026-11-25T00:15:00.000Z';

describe('an organization that is seen', () => {
  test('for the first time is stored with all it has, and begins its history', async () => {
    await see(MONDAY, acme());
    expect(await stored()).toEqual([
      {
        org_id: A,
        instance_id: INSTANCE,
        name: 'Acme',
        tags: [
          { key: 'tier', value: 'gold' },
          { key: 'tier', value: 'silver' },
        ],
        referral_id: 'C-1001',
        plan_id: '5e0000000000000000000001',
        customer_id: null,
        limits: { payload: 1_000_000, device: 50 },
        is_read_only: false,
        disabled_at: null,
        current_period_start: '2026-11-01T00:00:00.000Z',
        current_period_end: '2026-12-01T00:00:00.000Z',
        created_at: '2025-03-04T05:06:07.089Z',
        first_seen_at: MONDAY,
        last_seen_at: MONDAY,
        removed_at: null,
        problem: null,
        created_on: '2025-03-04',
        removed_on: null,
      },
    ]);
    expect(await history()).toEqual([
      { org_id: A, name: 'Acme', referral_id: 'C-1001', valid_from: MONDAY, valid_to: null },
    ]);
  });

  test('unchanged makes no new version', async () => {
    await see(MONDAY, acme());
    await see(TUESDAY, acme());
    expect(await stored()).toMatchObject([{ first_seen_at: MONDAY, last_seen_at: TUESDAY }]);
    expect(await history()).toHaveLength(1);
  });

  test.each<[string, Partial<Organization>]>([
    ['name', { name: 'Acme GmbH' }],
    ['tags', { tags: [{ key: 'tier', value: 'gold' }] }],
    [
      'order of equal tag keys',
      {
        tags: [
          { key: 'tier', value: 'silver' },
          { key: 'tier', value: 'gold' },
        ],
      },
    ],
    ['referral id', { referralId: 'C-1002' }],
    ['plan', { planId: null }],
    ['customer', { customerId: 'cus_1' }],
    ['limits', { limits: { payload: 2_000_000, device: 50 } }],
    ['read-only flag', { isReadOnly: true }],
    ['disabling', { disabledAt: '2026-11-23T10:00:00.000Z' }],
    ['billing period', { currentPeriodEnd: '2027-01-01T00:00:00.000Z' }],
  ])('with another %s ends a version and begins one', async (_, changes) => {
    await see(MONDAY, acme());
    await see(TUESDAY, acme(changes));
    expect(await history()).toMatchObject([
      { name: 'Acme', valid_from: MONDAY, valid_to: TUESDAY },
      { valid_from: TUESDAY, valid_to: null },
    ]);
  });

  test('with limits in another order makes no new version', async () => {
    await see(MONDAY, acme());
    await see(TUESDAY, acme({ limits: { device: 50, payload: 1_000_000 } }));
    expect(await history()).toHaveLength(1);
  });

  test('without its creation time keeps the one that is known', async () => {
    await see(MONDAY, acme());
    await see(TUESDAY, acme({ createdAt: null }));
    expect(await stored()).toMatchObject([{ created_at: '2025-03-04T05:06:07.089Z' }]);
  });

  test('after it was removed is back, with the cells that were given up for it', async () => {
    await see(MONDAY, acme());
    await markRemoved(ledger.db, [A], TUESDAY);
    await applyPolicy(ledger.db, INSTANCE, { policy, nowMs: Date.parse(TUESDAY) });
    await addCells(ledger.db, A, [
      { day: '2026-10-20', standing: 'final', verifiedAt: TUESDAY },
      { day: '2026-11-18', standing: 'final', verifiedAt: TUESDAY },
      { day: '2026-11-19', standing: 'in_doubt', reason: 'left_out', verifiedAt: MONDAY },
      { day: '2026-11-20', standing: 'accepted', reason: 'waived' },
      { day: '2026-11-17', standing: 'missing', reason: 'changed_by_hand' },
      { day: '2026-11-21', standing: 'unavailable', reason: 'past_horizon' },
      { day: '2026-11-22', standing: 'unavailable', reason: 'org_deleted', verifiedAt: MONDAY },
      { day: '2026-11-23', standing: 'stored', verifiedAt: TUESDAY },
    ]);
    await see(WEDNESDAY, acme());
    expect(await stored()).toMatchObject([{ removed_at: null, last_seen_at: WEDNESDAY }]);
    const rows = await coverageOf(ledger.db, A);
    expect(
      rows.map((cell) => ({
        ...cell,
        next_read_at: String((cell as Record<string, unknown>)['next_read_at']),
      })),
    ).toMatchObject([
      { usage_date: '2026-10-20', standing: 'final', next_read_at: 'null' },
      { usage_date: '2026-11-17', standing: 'missing', next_read_at: WEDNESDAY },
      { usage_date: '2026-11-18', standing: 'final', next_read_at: '2026-11-26T00:00:00.000Z' },
      { usage_date: '2026-11-19', standing: 'in_doubt', next_read_at: WEDNESDAY },
      { usage_date: '2026-11-20', standing: 'accepted', next_read_at: 'null' },
      { usage_date: '2026-11-21', standing: 'unavailable', next_read_at: 'null' },
      { usage_date: '2026-11-22', standing: 'missing', verified_at: null, next_read_at: WEDNESDAY },
      { usage_date: '2026-11-23', standing: 'stored', next_read_at: '2026-11-24T06:00:00.000Z' },
    ]);
  });

  const FIRST_CREATED = '2025-03-04T05:06:07.089Z';
  test.each<[string, string | null, string, string]>([
    ['that moved later, after what is tracked', FIRST_CREATED, '2026-11-10T00:00:00.000Z', '2025-03-04'],
    ['that moved earlier', FIRST_CREATED, '2024-01-01T00:00:00.000Z', '2024-01-01'],
    ['that moved later, before what is tracked', FIRST_CREATED, '2026-10-01T00:00:00.000Z', '2026-10-01'],
    ['that was not known before, after what is tracked', null, '2026-11-10T00:00:00.000Z', '2026-11-01'],
    ['that was not known before, before what is tracked', null, '2026-10-01T00:00:00.000Z', '2026-10-01'],
  ])(
    'with a creation date %s takes no tracked day away, and has it on record',
    async (_, firstCreatedAt, createdAt, createdOn) => {
      await see(MONDAY, acme({ createdAt: firstCreatedAt }));
      await addTracking(ledger.db, A, { streams: ['device_counts'], days: '{[2026-11-01,2026-11-21)}' });
      await addCells(ledger.db, A, [{ day: '2026-11-02', standing: 'stored' }]);
      const cells = () =>
        ledger.ask(sql`select standing, reason, count(*)::integer as cells from losant_usage.cells
          where org_id = ${A} group by standing, reason order by standing`);
      const before = [
        { standing: 'stored', reason: null, cells: 1 },
        { standing: 'missing', reason: 'never_read', cells: 19 },
      ];
      expect(await cells()).toEqual(before);
      await see(TUESDAY, acme({ createdAt }));
      expect(await stored()).toMatchObject([{ created_at: createdAt, created_on: createdOn }]);
      expect(await cells()).toEqual(before);
      const versions = sql`select created_at from losant_usage.organization_history order by valid_from`;
      expect(await ledger.ask(versions)).toEqual([{ created_at: firstCreatedAt }, { created_at: createdAt }]);
    },
  );

  test('by a process that is late does not end a version that began after it', async () => {
    await see(TUESDAY, acme());
    await see(MONDAY, acme({ name: 'Acme GmbH' }));
    expect(await history()).toMatchObject([{ name: 'Acme', valid_from: TUESDAY, valid_to: null }]);
    await see(WEDNESDAY, acme({ name: 'Acme GmbH' }));
    expect(await history()).toMatchObject([
      { name: 'Acme', valid_from: TUESDAY, valid_to: WEDNESDAY },
      { name: 'Acme GmbH', valid_from: WEDNESDAY, valid_to: null },
    ]);
  });

  test('keeps whatever text it carries', async () => {
    const name = `'); drop table x; -- "ü" \\ \u{1F600} \uFFFD`;
    await see(MONDAY, acme({ name, referralId: '' }));
    expect(await stored()).toMatchObject([{ name, referral_id: '' }]);
  });
});

describe('an organization that is not seen any more', () => {
  beforeEach(async () => {
    await see(MONDAY, acme({ orgId: C }), acme({ orgId: A }), acme({ orgId: B }));
    await see(TUESDAY, acme({ orgId: B }));
  });

  test('is found by when it was last seen, in the order of ids, no more than asked for', async () => {
    const unseen = (limit: number) =>
      readUnseenOrganizations(ledger.db, { instanceId: INSTANCE, since: TUESDAY, limit });
    expect(await unseen(10)).toEqual([A, C]);
    expect(await unseen(1)).toEqual([A]);
  });

  test('stays, with its history, and does not count when it is removed', async () => {
    expect(await countOrganizations(ledger.db, INSTANCE)).toBe(3);
    await markRemoved(ledger.db, [A], TUESDAY);
    await markRemoved(ledger.db, [A], WEDNESDAY);
    expect(await countOrganizations(ledger.db, INSTANCE)).toBe(2);
    expect(await stored()).toMatchObject([{ org_id: A, removed_at: TUESDAY }, { org_id: B }, { org_id: C }]);
    expect(await history()).toHaveLength(3);
    expect(await filterKnown(ledger.db, INSTANCE, [A, B, 'f'.repeat(24)])).toEqual(new Set([B]));
    const since = { instanceId: INSTANCE, since: TUESDAY, limit: 10 };
    expect(await readUnseenOrganizations(ledger.db, since)).toEqual([C]);
  });

  test('is passed over when existing ones are read page by page', async () => {
    await markRemoved(ledger.db, [B], TUESDAY);
    const page = (afterOrgId: string) => readOrganizationPage(ledger.db, INSTANCE, { afterOrgId, limit: 1 });
    expect(await page('')).toMatchObject([{ orgId: A, name: 'Acme' }]);
    expect(await page(A)).toMatchObject([{ orgId: C }]);
    expect(await page(C)).toEqual([]);
  });
});

test('an organization that one page lists twice is stored as listed last', async () => {
  await see(MONDAY, acme(), acme({ name: 'Acme GmbH' }));
  expect(await stored()).toMatchObject([{ name: 'Acme GmbH' }]);
  expect(await history()).toHaveLength(1);
});

test('an organization that cannot be read and that the list has twice is stored once', async () => {
  const twice = ['no name', 'no id'].map((problem) => ({ orgId: A, problem }));
  await addUnreadable(ledger.db, { instanceId: INSTANCE, unreadable: twice, seenAt: MONDAY });
  expect(await readUnreadable(ledger.db, INSTANCE)).toEqual([{ orgId: A, problem: 'no id' }]);
});

test('nothing seen is nothing stored', async () => {
  await see(MONDAY);
  expect(await stored()).toEqual([]);
});
