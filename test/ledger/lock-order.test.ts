/**
 * Every writer locks rows in the order of their keys: one that waits for a row
 * holds none that comes later, so no two of them can wait for each other.
 */
import { type RawBuilder, sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { applyPolicy } from '../../src/ledger/instances.ts';
import { markRemoved, upsertOrganizations } from '../../src/ledger/organizations.ts';
import { trackDays, untrackOrganizations, untrackStreams } from '../../src/ledger/tracking.ts';
import { until } from '../support/wait.ts';
import { policy } from '../usage/tracks.ts';
import { addCells, addTracking, asProgram, clearOrganizations, INSTANCE, useLedger } from './ledger.ts';

const A = '5a000000000000000000000a';
const B = '5b000000000000000000000b';
const BOTH = [A, B];
const ledger = useLedger();

/** Two organizations with two days each, whose rows lie in the table the wrong way round. */
beforeEach(async () => {
  await clearOrganizations(ledger.db);
  await asProgram(ledger.db, async (trx) => {
    for (const orgId of BOTH.toReversed()) {
      await sql`insert into losant_usage.organizations (org_id, instance_id, name, created_at, first_seen_at, last_seen_at)
        values (${orgId}, ${INSTANCE}, 'Acme', '2024-01-01T00:00:00Z', '2026-11-01T00:00:00Z', '2026-11-01T00:00:00Z')`.execute(
        trx,
      );
      await addTracking(trx, orgId, {
        streams: ['payload_sources', 'device_counts'],
        days: '{[2026-11-01,)}',
      });
    }
    for (const day of ['2026-11-21', '2026-11-20'])
      for (const orgId of BOTH.toReversed()) {
        const times = { verifiedAt: '2026-11-22T00:15:00Z', nextReadAt: '2026-11-23T00:00:00Z' };
        await addCells(trx, orgId, [{ day, standing: 'missing', reason: 'left_out', ...times }]);
      }
  });
});

/** Begins `work` while somebody has locked `first`; whether `last` is still free then. */
async function leavesFree(
  work: () => Promise<unknown>,
  { first, last }: { first: RawBuilder<unknown>; last: RawBuilder<unknown> },
): Promise<boolean> {
  let working: Promise<unknown> = Promise.resolve();
  const isFree = await ledger.db.transaction().execute(async (trx) => {
    const locked = await sql`${first} for update`.execute(trx);
    expect(locked.rows).toHaveLength(1);
    working = work();
    await until('the writer waits', async () => {
      const { rows } = await sql`select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(ledger.db);
      return rows.length === 1;
    });
    const { rows } = await sql`${last} for update skip locked`.execute(trx);
    return rows.length === 1;
  });
  await working;
  return isFree;
}

const track = (orgId: string, stream: string) =>
  sql`select org_id from losant_usage.tracking where org_id = ${orgId} and stream = ${stream}`;
const cell = (orgId: string, day: string) =>
  sql`select org_id from losant_usage.coverage where org_id = ${orgId} and usage_date = ${day}`;

describe('a writer that waits for the first row has not locked the last', () => {
  const tracks = { first: track(A, 'device_counts'), last: track(B, 'payload_sources') };
  const cells = { first: cell(A, '2026-11-20'), last: cell(B, '2026-11-21') };
  const range = { from: '2026-10-01', to: '2026-10-31' };

  test.each<[string, () => Promise<unknown>]>([
    [
      'a backfill that tracks days',
      () =>
        trackDays(
          ledger.db,
          { instanceId: INSTANCE, orgIds: null, streams: null, horizon: '2026-08-26' },
          range,
        ),
    ],
    ['organizations that leave', () => untrackOrganizations(ledger.db, BOTH, '2026-11-23')],
    [
      'streams that are taken out',
      () => untrackStreams(ledger.db, { instanceId: INSTANCE, streams: [] }, '2026-11-23'),
    ],
    ['removed organizations', () => markRemoved(ledger.db, BOTH, '2026-11-24T00:15:00.000Z')],
  ])('of what is tracked: %s', async (_, work) => {
    expect(await leavesFree(work, tracks)).toBe(true);
  });

  test.each<[string, () => Promise<void>]>([
    ['removed organizations', () => markRemoved(ledger.db, BOTH, '2026-11-24T00:15:00.000Z')],
    [
      'another policy',
      async () => {
        await ledger.ask(sql`update losant_usage.instances set policy = '{}'`);
        const nowMs = Date.parse('2026-11-24T00:15:00.000Z');
        await applyPolicy(ledger.db, INSTANCE, { policy: { ...policy, readAtHours: [0, 100] }, nowMs });
      },
    ],
  ])('of the ledger: %s', async (_, work) => {
    expect(await leavesFree(work, cells)).toBe(true);
  });

  test('of the ledger: organizations that are back', async () => {
    await markRemoved(ledger.db, BOTH, '2026-11-24T00:15:00.000Z');
    await asProgram(ledger.db, (trx) =>
      sql`update losant_usage.coverage set standing = 'unavailable', reason = 'org_deleted'`.execute(trx),
    );
    const organizations = BOTH.map((orgId) => ({
      orgId,
      instanceId: INSTANCE,
      name: 'Acme',
      tags: [],
      referralId: null,
      planId: null,
      customerId: null,
      limits: {},
      isReadOnly: false,
      disabledAt: null,
      currentPeriodStart: null,
      currentPeriodEnd: null,
      createdAt: null,
    }));
    const seen = { instanceId: INSTANCE, organizations, seenAt: '2026-11-25T00:15:00.000Z' };
    expect(await leavesFree(() => upsertOrganizations(ledger.db, seen), cells)).toBe(true);
  });
});
