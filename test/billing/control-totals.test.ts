/** Control totals beside our sums: what is compared, and what is named because it could not be. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { recordTotals } from '../../src/export/store-control-totals.ts';
import { INSTANCE, RUN_1, useLedger } from '../database/ledger.ts';
import { devices, trackedOrg } from '../views/loads.ts';

const ledger = useLedger({ stoppedAt: '2026-11-24T12:00:00.000Z' });
let orgId: string;

const { ask } = ledger;
const change = ledger.ask;
const BEGIN = { runId: RUN_1, lease: null };
const ANSWER = { instanceId: INSTANCE, verifiedAt: '2026-11-24T12:00:01.000Z', sha256: 'ab'.repeat(32) };

beforeAll(async () => {
  await change(sql`update losant_usage.instances set policy = '{"finalAtHours": 72}'`);
  orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-10-30', to: '2026-10-31' });
  await change(sql`update losant_usage.organizations set created_on = '2026-10-30' where org_id = ${orgId}`);
  await ledger.load([devices(orgId, '2026-10-30', 4, 1, 17), devices(orgId, '2026-10-31', 2, 0, 19)]);
});

const days = () =>
  ask(sql`select metric, quantity, total, outcome, reason from losant_usage.reconciliation
    where scope = 'instance_day' and usage_date = '2026-10-31' and metric like 'devices%' order by metric`);

test('what was not asked, refused or left out is named and not equal', async () => {
  const of = { outcome: 'not_compared', total: null };
  expect(await days()).toEqual([
    { metric: 'devices_created', quantity: '2', ...of, reason: 'not_read' },
    { metric: 'devices_deleted', quantity: '0', ...of, reason: 'not_read' },
    { metric: 'devices_total', quantity: '19', ...of, reason: 'not_read' },
  ]);
  await change(sql`insert into losant_usage.control_total_reads (instance_id, question, attempts, attempted_at, reason)
    values (${INSTANCE}, 'device_counts', 1, now(), 'forbidden')`);
  expect((await days())[0]).toMatchObject({ outcome: 'not_compared', reason: 'forbidden' });

  const totals = { devices_created: 2, devices_deleted: null, devices_total: 20 };
  await recordTotals(ledger.db, { ...ANSWER, days: [{ day: '2026-10-31', totals }] }, BEGIN);
  expect(await days()).toEqual([
    { metric: 'devices_created', quantity: '2', total: '2', outcome: 'equal', reason: null },
    { metric: 'devices_deleted', quantity: '0', total: null, outcome: 'not_compared', reason: 'left_out' },
    { metric: 'devices_total', quantity: '19', total: '20', outcome: 'differs', reason: null },
  ]);
});

test('a total that may lack an organization, removed before it was read or at that moment, is no difference', async () => {
  const removeAt = (time: string | null) =>
    change(sql`update losant_usage.organizations set removed_at = ${time} where org_id = ${orgId}`);
  const differing = { outcome: 'differs', reason: null };
  await removeAt('2026-11-24T12:00:02.000Z');
  expect((await days())[2]).toMatchObject(differing);
  await removeAt(ANSWER.verifiedAt);
  expect((await days())[2]).toMatchObject({ outcome: 'pending', reason: 'orgs_removed' });
  await removeAt(null);
  expect((await days())[2]).toMatchObject(differing);
});

test('a number that Losant has changed is kept beside the new one, and an older answer changes nothing', async () => {
  const answerOf = (verifiedAt: string, total: number | null) =>
    recordTotals(
      ledger.db,
      { ...ANSWER, verifiedAt, days: [{ day: '2026-10-30', totals: { devices_total: total } }] },
      BEGIN,
    );
  await answerOf('2026-11-24T12:00:02.000Z', 17);
  await answerOf('2026-11-24T12:00:03.000Z', 18);
  await answerOf('2026-11-24T12:00:01.000Z', 99);
  await answerOf('2026-11-24T12:00:04.000Z', null);
  expect(
    await ask(
      sql`select quantity, verified_at, earlier from losant_usage.instance_totals where usage_date = '2026-10-30'`,
    ),
  ).toEqual([
    {
      quantity: 18,
      verified_at: '2026-11-24T12:00:04.000Z',
      earlier: [{ quantity: 17, verified_at: '2026-11-24T12:00:02+00:00' }],
    },
  ]);
});
