import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  extendTracking,
  filterTracked,
  readTrackedPage,
  recordExpiry,
  trackOrganizations,
  untrackOrganizations,
  untrackStreams,
} from '../../src/database/write/tracking.ts';
import { INSTANCE, type Ledger, openLedger, rowsOf } from './ledger.ts';

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger('postgres');
});

beforeEach(async () => {
  await sql`truncate losant_usage.organizations cascade`.execute(ledger.db);
  await sql`insert into losant_usage.organizations (org_id, instance_id, name, created_at, first_seen_at, last_seen_at)
    values (${A}, ${INSTANCE}, 'old', '2024-01-01T00:00:00Z', now(), now()),
           (${B}, ${INSTANCE}, 'new', '2026-11-22T23:59:59.999Z', now(), now()),
           (${C}, ${INSTANCE}, 'ageless', null, now(), now())`.execute(ledger.db);
});

afterAll(() => ledger.close());

const A = '5a000000000000000000000a';
const B = '5b000000000000000000000b';
const C = '5c000000000000000000000c';
const ALL = [A, B, C];

const track = (orgIds: readonly string[], streamsFrom: Record<string, string>) =>
  trackOrganizations(ledger.db, { orgIds, streamsFrom });
const tracked = () =>
  rowsOf(
    ledger.db,
    sql`select right(org_id, 1) as org, stream, tracked_from, tracked_to, expired_to
      from losant_usage.tracking order by org_id, stream`,
  );
const open = { tracked_to: null, expired_to: null };

describe('tracking begins', () => {
  test('at the stream’s start or, if it is later, on the organization’s UTC creation day', async () => {
    await track(ALL, { device_counts: '2026-11-10' });
    expect(await tracked()).toEqual([
      { org: 'a', stream: 'device_counts', tracked_from: '2026-11-10', ...open },
      { org: 'b', stream: 'device_counts', tracked_from: '2026-11-22', ...open },
      { org: 'c', stream: 'device_counts', tracked_from: '2026-11-10', ...open },
    ]);
  });

  test('later for a stream that is enabled later', async () => {
    await track([A], { device_counts: '2026-11-10' });
    await track([A], { device_counts: '2026-11-10', payload_sources: '2026-11-23' });
    expect(await tracked()).toMatchObject([
      { stream: 'device_counts', tracked_from: '2026-11-10' },
      { stream: 'payload_sources', tracked_from: '2026-11-23' },
    ]);
  });

  test('once: asked again it stays where it was', async () => {
    await track([A], { device_counts: '2026-11-10' });
    await track([A], { device_counts: '2026-11-23' });
    expect(await tracked()).toMatchObject([{ tracked_from: '2026-11-10' }]);
  });
});

describe('leaving the configuration', () => {
  beforeEach(() => track(ALL, { device_counts: '2026-11-10', payload_sources: '2026-11-10' }));

  test('ends the promise of an organization after its last day, and coming back renews it without a hole', async () => {
    await untrackOrganizations(ledger.db, [A], '2026-11-23');
    await untrackOrganizations(ledger.db, [A], '2026-11-30');
    expect(await tracked()).toMatchObject([
      { org: 'a', stream: 'device_counts', tracked_to: '2026-11-23' },
      { org: 'a', stream: 'payload_sources', tracked_to: '2026-11-23' },
      { org: 'b', tracked_to: null },
      { org: 'b', tracked_to: null },
      { org: 'c', tracked_to: null },
      { org: 'c', tracked_to: null },
    ]);
    await track([A], { device_counts: '2026-11-10' });
    expect(await tracked()).toMatchObject([
      { org: 'a', stream: 'device_counts', tracked_from: '2026-11-10', tracked_to: null },
      { org: 'a', stream: 'payload_sources', tracked_to: '2026-11-23' },
      {},
      {},
      {},
      {},
    ]);
  });

  test('ends the promise of a stream for every organization', async () => {
    await untrackStreams(ledger.db, { instanceId: INSTANCE, streams: ['device_counts'] }, '2026-11-23');
    const ended = (await tracked()).filter((row) => 'tracked_to' in row && row.tracked_to !== null);
    expect(ended).toMatchObject([
      { org: 'a', stream: 'payload_sources', tracked_to: '2026-11-23' },
      { org: 'b', stream: 'payload_sources', tracked_to: '2026-11-23' },
      { org: 'c', stream: 'payload_sources', tracked_to: '2026-11-23' },
    ]);
  });

  test('before a first day was over promises no day', async () => {
    await untrackOrganizations(ledger.db, [B], '2026-11-20');
    expect((await tracked()).slice(2, 4)).toMatchObject([
      { org: 'b', tracked_from: '2026-11-22', tracked_to: '2026-11-21' },
      { org: 'b', tracked_from: '2026-11-22', tracked_to: '2026-11-21' },
    ]);
  });
});

describe('a backfill', () => {
  beforeEach(() => track(ALL, { device_counts: '2026-11-20' }));

  const extend = (from: string, to: string) =>
    extendTracking(ledger.db, { orgIds: ALL, streams: ['device_counts'] }, { from, to });
  const starts = async () => (await tracked()).map((row) => 'tracked_from' in row && row.tracked_from);

  test('that reaches up to what is promised widens the promise, not before the creation day', async () => {
    await extend('2026-09-01', '2026-11-19');
    expect(await starts()).toEqual(['2026-09-01', '2026-11-22', '2026-09-01']);
  });

  test('that leaves a hole of a day does not', async () => {
    await extend('2026-09-01', '2026-11-18');
    expect(await starts()).toEqual(['2026-11-20', '2026-11-22', '2026-11-20']);
  });

  test('that lies within the promise does not narrow it', async () => {
    await extend('2026-11-21', '2026-11-23');
    expect(await starts()).toEqual(['2026-11-20', '2026-11-22', '2026-11-20']);
  });

  test('opens again what was settled past the horizon, so that a gap in it shows', async () => {
    await recordExpiry(ledger.db, { orgIds: [A], streams: ['device_counts'] }, '2026-11-21');
    await extend('2026-09-01', '2026-11-19');
    expect((await tracked())[0]).toEqual({
      org: 'a',
      stream: 'device_counts',
      tracked_from: '2026-09-01',
      tracked_to: null,
      expired_to: '2026-09-01',
    });
  });
});

test('the horizon is noted once it has passed a first promised day, and only moves on', async () => {
  await track(ALL, { device_counts: '2026-08-20' });
  const expire = (before: string) =>
    recordExpiry(ledger.db, { orgIds: ALL, streams: ['device_counts', 'payload_sources'] }, before);
  const expiry = async () => (await tracked()).map((row) => 'expired_to' in row && row.expired_to);
  await expire('2026-08-20');
  expect(await expiry()).toEqual([null, null, null]);
  await expire('2026-08-26');
  expect(await expiry()).toEqual(['2026-08-26', null, '2026-08-26']);
  await expire('2026-08-25');
  expect(await expiry()).toEqual(['2026-08-26', null, '2026-08-26']);
});

describe('pages of tracked organizations', () => {
  beforeEach(async () => {
    await track([A, B], { payload_sources: '2026-11-10', device_counts: '2026-11-10' });
    await track([C], { device_counts: '2026-11-10' });
  });

  const scope = (orgIds: readonly string[] | null, streams: string[]) => ({
    instanceId: INSTANCE,
    streams,
    orgIds,
  });
  const page = async (
    afterOrgId: string,
    limit: number,
    of = scope(null, ['payload_sources', 'device_counts']),
  ) => {
    const rows = await readTrackedPage(ledger.db, of, { afterOrgId, limit });
    return rows.map(({ orgId, stream }) => `${orgId.slice(-1)} ${stream}`);
  };

  test('hold whole organizations in the order of ids, their streams in the order asked for', async () => {
    expect(await page('', 2)).toEqual([
      'a payload_sources',
      'a device_counts',
      'b payload_sources',
      'b device_counts',
    ]);
    expect(await page(B, 2)).toEqual(['c device_counts']);
    expect(await page(C, 2)).toEqual([]);
  });

  test('hold the streams and organizations that are meant', async () => {
    expect(await page('', 10, scope(null, ['payload_sources']))).toEqual([
      'a payload_sources',
      'b payload_sources',
    ]);
    expect(await page('', 10, scope([B, C], ['device_counts']))).toEqual([
      'b device_counts',
      'c device_counts',
    ]);
    expect(await page('', 10, { ...scope(null, ['device_counts']), instanceId: 'f'.repeat(24) })).toEqual([]);
  });

  test('say what bounds the promise', async () => {
    await sql`update losant_usage.organizations set removed_at = '2026-11-23T10:00:00Z' where org_id = ${B}`.execute(
      ledger.db,
    );
    await untrackOrganizations(ledger.db, [B], '2026-11-23');
    expect(
      await readTrackedPage(ledger.db, scope([B], ['device_counts']), { afterOrgId: '', limit: 1 }),
    ).toEqual([
      {
        orgId: B,
        stream: 'device_counts',
        trackedFrom: '2026-11-22',
        trackedTo: '2026-11-23',
        expiredTo: null,
        createdAt: '2026-11-22T23:59:59.999Z',
        removedAt: '2026-11-23T10:00:00.000Z',
      },
    ]);
  });

  test('know who is or was tracked', async () => {
    await untrackOrganizations(ledger.db, [C], '2026-11-23');
    expect(await filterTracked(ledger.db, INSTANCE, [A, C, 'f'.repeat(24)])).toEqual(new Set([A, C]));
  });
});
