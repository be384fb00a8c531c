/** Every writer locks rows in the order of their keys: while it waits for a row, it has locked no later one. */
import { type RawBuilder, sql } from 'kysely';
import { beforeEach, expect, test } from 'vitest';
import { applyPolicy, retryFailedCells } from '../../src/ledger/due.ts';
import { createExpectedCells, syncTracks } from '../../src/ledger/expected.ts';
import { markDeleted, upsertOrganizations } from '../../src/ledger/organizations.ts';
import { until } from '../support/wait.ts';
import { devices, POLICY, report } from '../usage/cells.ts';
import { cellResponse, useLedger } from './ledger.ts';

const NOW = '2026-11-24T00:15:00.000Z';
const A = '5a000000000000000000000a';
const B = '5b000000000000000000000b';
const ledger = useLedger(NOW);

/** Two organizations with two days each, whose rows are stored in reverse order. */
beforeEach(async () => {
  await ledger.clear();
  const days = sql`(values (date '2026-11-21'), ('2026-11-20')) as d (day)`;
  await ledger.write(
    sql`update losant_usage.instance set new_orgs_from = '2026-11-20'`,
    ...[B, A].flatMap((orgId) => [
      sql`insert into losant_usage.organizations (org_id, name, first_seen_at, last_seen_at)
        values (${orgId}, 'Acme', now(), now())`,
      sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day)
        values (${orgId}, 'notebook_minutes', '2026-11-20', '2026-11-22'), (${orgId}, 'device_counts',
        '2026-11-20', '2026-11-22')`,
    ]),
    sql`insert into losant_usage.coverage (usage_date, org_id, stream, reason, failed_reads, standing, next_read_at)
      select d.day, o.org_id, 'device_counts', 'server_error', 1, 'missing', now() + interval '1 hour'
      from ${days}, (values (${B}), (${A})) as o (org_id)`,
    sql`insert into losant_usage.usage_days (usage_date, org_id) select d.day, o.org_id
      from ${days}, (values (${B}), (${A})) as o (org_id)`,
  );
});

const firstOrg = sql`select from losant_usage.organizations where org_id = ${A}`;
const lastOrg = sql`select from losant_usage.organizations where org_id = ${B}`;
const firstCell = sql`select from losant_usage.coverage where org_id = ${A} and usage_date = '2026-11-20'`;
const lastCell = sql`select from losant_usage.coverage where org_id = ${B} and usage_date = '2026-11-21'`;

/** Starts `work` while `first` is locked, and returns whether `last` is still free when it waits. */
async function leavesFree(work: () => Promise<unknown>, first: RawBuilder<unknown>, last: RawBuilder<unknown>) {
  const { db } = ledger;
  let working: Promise<unknown> = Promise.resolve();
  const isFree = await db.transaction().execute(async (trx) => {
    const lock = await sql`${first} for update`.execute(trx);
    expect(lock.rows).toHaveLength(1);
    working = work();
    await until('the writer waits', async () => (await ledger.countWaiting()) === 1);
    const { rows } = await sql`${last} for update skip locked`.execute(trx);
    return rows.length === 1;
  });
  await working;
  return isFree;
}

const ALL = { orgIds: null, streams: null, range: null };
const sync = (streams: readonly string[]) => syncTracks(ledger.writer(), { streams, selection: null });

type Work = () => Promise<unknown>;

test.each<[string, Work]>([
  ['streams that leave the settings', () => sync([])],
  ['streams of which one leaves and one is new', () => sync(['device_counts', 'payload_totals'])],
  ['cells that are created', () => createExpectedCells(ledger.writer())],
  ['a backfill', () => ledger.backfill('2026-11-18..2026-11-21')],
  ['a waiver', () => ledger.waiveDays(A, '2026-11-18..2026-11-21')],
])('organizations, which lock their tracks: %s', async (_, work) => {
  expect(await leavesFree(work, firstOrg, lastOrg)).toBe(true);
});

test.each([
  ['a list in another order', [B, A], null],
  ['a list with one that has returned', [A, B], '2026-11-22'],
])('organizations: %s', async (_, orgIds, deletedOn) => {
  await ledger.setOrg(B, sql`deleted_on = ${deletedOn}::date`);
  const list = orgIds.map((orgId) => ({ orgId, problem: 'no name' }));
  const work = () => upsertOrganizations(ledger.writer(), list);
  expect(await leavesFree(work, firstOrg, lastOrg)).toBe(true);
});

const SHORT_HORIZON = { ...POLICY, horizonDays: 1 };
const batch = [B, A].flatMap((orgId) =>
  ['2026-11-21', '2026-11-20'].map((day) => cellResponse(orgId, 'device_counts', day, report(devices(1, 1, 1)))),
);

const OTHER_POLICY = { ...POLICY, readAtHours: [0, 49, 73] };
const deleteBoth: Work = async () => {
  await markDeleted(ledger.writer(), { orgIds: [A, B], today: '2026-11-22' });
  await createExpectedCells(ledger.writer());
};

test.each<[string, Work]>([
  ['forced days', () => ledger.backfill('2026-11-18..2026-11-21', { extendsTracks: false, force: true })],
  ['failed reads', () => retryFailedCells(ledger.writer(), ALL)],
  ['a changed policy', () => applyPolicy(ledger.writer({ policy: OTHER_POLICY }))],
  ['days past the horizon', () => createExpectedCells(ledger.writer({ policy: SHORT_HORIZON }))],
  ['deleted organizations', deleteBoth],
  ['a load', () => ledger.load(batch)],
])('coverage: %s', async (_, work) => {
  expect(await leavesFree(work, firstCell, lastCell)).toBe(true);
});

test('usage_days: a backfill has locked no day while it waits for a cell', async () => {
  const day = sql`select from losant_usage.usage_days where org_id = ${A} and usage_date = '2026-11-20'`;
  const work = () => ledger.backfill('2026-11-18..2026-11-21', { force: true });
  expect(await leavesFree(work, firstCell, day)).toBe(true);
});
