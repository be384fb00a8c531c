import { sql } from 'kysely';
import { beforeAll, expect, it } from 'vitest';
import { readDuePages } from '../../src/ledger/due.ts';
import { readOrganizationPage, upsertOrganizations } from '../../src/ledger/organizations.ts';
import { trackOrganizations } from '../../src/ledger/tracking.ts';
import { policy } from '../usage/tracks.ts';
import { asProgram, INSTANCE, useLedger } from './ledger.ts';

const ORGS = 30_000;
/** The page that follows is from the middle of all organizations. */
const MIDDLE = '5d0000000000000000015000';
/** A page of 100 organizations with their four streams, of 500 where tracking begins. */
const ROWS_OF_A_PAGE = 10_000;

const ledger = useLedger();

/** Organizations as a first run has just stored them, as wide as real ones: no statistics tell of them. */
beforeAll(async () => {
  await ledger.ask(sql`alter table losant_usage.organizations set (autovacuum_enabled = false)`);
  await ledger.ask(sql`alter table losant_usage.organization_history set (autovacuum_enabled = false)`);
  await ledger.ask(sql`alter table losant_usage.tracking set (autovacuum_enabled = false)`);
  await ledger.ask(sql`insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
    select '5d' || lpad(n::text, 22, '0'), ${INSTANCE}, repeat('Acme ', 80), now(), now()
    from generate_series(1, ${ORGS}) as n`);
  await ledger.ask(sql`insert into losant_usage.organization_history
      (org_id, valid_from, instance_id, name, tags, limits, is_read_only)
    select org_id, '2026-11-24T00:15:00Z', instance_id, name, tags, limits, is_read_only
    from losant_usage.organizations`);
  await ledger.ask(sql`begin; set local session_replication_role = replica;
    insert into losant_usage.tracking (org_id, stream, tracked_days)
    select org_id, stream, '{[2026-11-24,)}' from losant_usage.organizations, losant_usage.streams
      where stream <> 'payload_hours'; commit`);
});

it('reads the next page of organizations without going over all of them', async () => {
  const page = () => readOrganizationPage(ledger.db, INSTANCE, { afterOrgId: MIDDLE, limit: 500 });
  expect((await page()).at(0)?.orgId).toBe('5d0000000000000000015001');
  expect(await rowsRead(page)).toBeLessThan(ROWS_OF_A_PAGE);
});

it('finds a page of what is due without going over all tracks', async () => {
  const scope = { instanceId: INSTANCE, streams: null, orgIds: null, shard: null };
  const options = { nowMs: Date.parse('2026-11-25T12:00:00Z'), policy };
  const pages = readDuePages(ledger.db, scope, options);
  const counted = await rowsRead(async () => {
    const { value } = await pages.next();
    expect(value).toHaveLength(400);
  });
  expect(counted).toBeLessThan(ROWS_OF_A_PAGE);
  expect(await rowsRead(() => pages.next())).toBeLessThan(ROWS_OF_A_PAGE);
  await pages.return(undefined);
});

it('finds a page of what is due without going over all organizations when most were read', async () => {
  await asProgram(ledger.db, (trx) =>
    sql`update losant_usage.tracking set read_days = '{[2026-11-24,2026-11-25)}'
      where org_id < '5d0000000000000000029500'`.execute(trx),
  );
  await ledger.ask(sql`vacuum losant_usage.tracking`);
  const scope = { instanceId: INSTANCE, streams: null, orgIds: null, shard: null };
  const options = { nowMs: Date.parse('2026-11-25T12:00:00Z'), policy };
  const pages = readDuePages(ledger.db, scope, options);
  const counted = await rowsRead(async () => {
    const { value } = await pages.next();
    expect(value).toMatchObject({ 0: { orgId: '5d0000000000000000029500' }, length: 400 });
  });
  expect(counted).toBeLessThan(ROWS_OF_A_PAGE);
  await pages.return(undefined);
});

it('begins to track a page of organizations without going over all tracks', async () => {
  const orgIds = Array.from({ length: 500 }, (_, n) => `5d${String(15_000 + n).padStart(22, '0')}`);
  const streamsFrom = { device_counts: '2026-11-24', payload_totals: '2026-11-24' };
  const track = () => trackOrganizations(ledger.db, { orgIds, streamsFrom, horizon: '2026-08-27' });
  expect(await rowsRead(track)).toBeLessThan(ROWS_OF_A_PAGE);
});

it('looks up the versions of a page of organizations without going over all versions', async () => {
  const attributes = { name: 'Acme', tags: [], referralId: null, planId: null, customerId: null, limits: {} };
  const times = { disabledAt: null, currentPeriodStart: null, currentPeriodEnd: null, createdAt: null };
  const organizations = Array.from({ length: 100 }, (_, n) => ({
    orgId: `5d${String(15_000 + n).padStart(22, '0')}`,
    ...{ instanceId: INSTANCE, ...attributes, isReadOnly: false, ...times },
  }));
  const seenAt = '2026-11-25T12:00:00.000Z';
  const upsert = () => upsertOrganizations(ledger.db, { instanceId: INSTANCE, organizations, seenAt });
  expect(await rowsRead(upsert)).toBeLessThan(ROWS_OF_A_PAGE);
});

it('begins to track a new organization without going through the ledger', async () => {
  await ledger.ask(sql`begin; set local session_replication_role = replica;
    insert into losant_usage.coverage (usage_date, stream, org_id, standing, is_stored, revision, first_loaded_at)
    select day, 'device_counts', org_id, 'stored', true, 1, now() from losant_usage.organizations,
      unnest('{2026-11-22,2026-11-23}'::date[]) as day; commit`);
  const blocks = async () => {
    await ledger.ask(sql`select pg_stat_force_next_flush(), pg_stat_clear_snapshot()`);
    const { rows } = await sql<{ count: number }>`
      select sum(idx_blks_hit + idx_blks_read + heap_blks_hit + heap_blks_read)::integer as count
      from pg_statio_user_tables where relname = 'coverage'`.execute(ledger.db);
    return rows[0]?.count ?? Number.NaN;
  };
  const orgId = '5e0000000000000000000001';
  await ledger.ask(sql`insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
    values (${orgId}, ${INSTANCE}, 'Acme', now(), now())`);
  const streamsFrom = { device_counts: '2026-11-24', payload_totals: '2026-11-24' };
  const before = await blocks();
  await trackOrganizations(ledger.db, { orgIds: [orgId], streamsFrom, horizon: '2026-08-27' });
  expect((await blocks()) - before).toBeLessThan(100);
});

/** Rows of tables and entries of indexes that Postgres has read for it. */
async function rowsRead(work: () => Promise<unknown>): Promise<number> {
  const before = await readCounter();
  await work();
  return (await readCounter()) - before;
}

async function readCounter(): Promise<number> {
  // Idle connections are reused, so that this is the one that has done the work.
  await ledger.ask(sql`select pg_stat_force_next_flush(), pg_stat_clear_snapshot()`);
  const { rows } = await sql<{
    count: number;
  }>`select ((select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_user_tables)
     + (select sum(idx_tup_read) from pg_stat_user_indexes))::integer as count`.execute(ledger.db);
  return rows[0]?.count ?? Number.NaN;
}
