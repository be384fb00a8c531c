/** What a person accepts: what may be waived, what lifts it, and what stays on record. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { type Waiver, waiveCells } from '../../src/ledger/waive.ts';
import { asProgram } from '../support/by-hand.ts';
import { asOwner } from '../support/databases.ts';
import { devices, failed, named, POLICY, silence } from '../usage/cells.ts';
import { answer, RUN_1, RUN_2, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T12:00:00.000Z');
const DEVICES = ['device_counts'];

const waive = async (orgId: string, days: string, changes: Partial<Waiver> = {}) => {
  const [from = '', to = from] = days.split('..');
  const waiver = { orgId, streams: null, range: { from, to }, reason: 'known outage', policy: POLICY };
  const waived = await waiveCells(ledger.db, { ...waiver, ...changes });
  return waived.map(({ day, stream }) => `${day.slice(5)} ${stream}`);
};
const devicesOf = (orgId: string, day: string) =>
  answer(orgId, 'device_counts', day, named(devices(4, 1, 17)));
const waivers = (orgId: string) =>
  ledger.list(
    sql`select to_char(usage_date, 'MM-DD') as day, reason, waived_by = session_user as by_me,
      lifted_at is not null as is_lifted, lifted_by_run
    from losant_usage.waivers where org_id = ${orgId} order by id`,
    ledger.db,
  );

test('accepts what is missing, in doubt or unavailable, and passes over what is all right', async () => {
  const orgId = await ledger.want({ from: '2026-08-20', to: '2026-08-20' }, DEVICES);
  await ledger.prepare({ streams: [] });
  await asOwner(ledger.url, asProgram('delete from losant_usage.tracks'));
  await ledger.want({ from: '2026-11-19', to: '2026-11-23' }, DEVICES, orgId);
  await ledger.load([
    devicesOf(orgId, '2026-11-19'),
    devicesOf(orgId, '2026-11-20'),
    devicesOf(orgId, '2026-11-21'),
    answer(orgId, 'device_counts', '2026-11-22', failed),
  ]);
  const later = { sentAtMs: ledger.nowMs + 1_000 };
  const doubted = { ...answer(orgId, 'device_counts', '2026-11-20', silence), ...later };
  await ledger.load([doubted], { runId: RUN_2 });
  // The day before is late and was never read.
  const waived = ['08-20', '11-20', '11-22', '11-23'];
  expect(await waive(orgId, '2026-08-01..2026-11-30')).toEqual(waived.map((day) => `${day} device_counts`));
  expect(await ledger.cells(orgId)).toEqual([
    '08-20 device_counts accepted waived closed',
    '11-19 device_counts final  11-27T00:00',
    '11-20 device_counts accepted waived 11-24T14:00',
    '11-21 device_counts stored  11-25T00:00',
    '11-22 device_counts accepted waived 11-24T12:00',
    '11-23 device_counts accepted waived 11-24T00:00',
  ]);
  expect(await waivers(orgId)).toEqual(waived.map((day) => `${day} known outage true false -`));
  const messages = sql`select distinct message from losant_usage.coverage where standing = 'accepted'`;
  expect(await ledger.list(messages, ledger.db)).toEqual(['known outage']);
});

test('does not accept what is only waiting, and refuses if nothing is left', async () => {
  const orgId = await ledger.want({ from: '2026-11-22', to: '2026-11-23' }, DEVICES);
  await ledger.load([devicesOf(orgId, '2026-11-22')]);
  await ledger.setTime('2026-11-24T05:59:59.000Z');
  const why = 'from 2026-11-22 to 2026-11-23 is all right, or will be read again';
  await expect(waive(orgId, '2026-11-22..2026-11-23')).rejects.toMatchObject({
    name: 'SettingsError',
    message: expect.stringContaining(why) as unknown,
  });
  await expect(waive(orgId, '2026-11-25')).rejects.toThrow('nothing of organization');
  expect(await waivers(orgId)).toEqual([]);
  await ledger.setTime('2026-11-24T06:00:00.000Z');
  expect(await waive(orgId, '2026-11-22..2026-11-23')).toEqual(['11-23 device_counts']);
});

test('accepts a stored number that will not become final, and adds up its day again', async () => {
  const orgId = await ledger.want({ from: '2026-11-23', to: '2026-11-23' }, DEVICES);
  await ledger.load([devicesOf(orgId, '2026-11-23')]);
  const totals = sql`select our_sum, orgs_open from losant_usage.instance_totals
    where usage_date = '2026-11-23' and metric = 'devices_total'`;
  await ledger.asProgram(sql`select losant_usage_internal.sum_days(instance_id) from losant_usage.instances`);
  expect(await ledger.list(totals)).toEqual(['17 1']);
  await ledger.asProgram(sql`update losant_usage.coverage set next_read_at = null`);
  expect(await waive(orgId, '2026-11-23')).toEqual(['11-23 device_counts']);
  expect(await ledger.list(totals)).toEqual(['17 0']);
});

test('accepts days for which no run has made a row yet, of the streams that it names', async () => {
  const orgId = await ledger.newOrg();
  await ledger.prepare({ streams: ['device_counts', 'payload_totals'] });
  await ledger.setTime('2026-11-26T12:00:00.000Z');
  expect(await waive(orgId, '2026-11-24..2026-11-25', { streams: DEVICES })).toEqual([
    '11-24 device_counts',
    '11-25 device_counts',
  ]);
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 11-26 ', 'payload_totals 11-23 11-26 ']);
});

test('lets checkpoints ahead be read: a good read lifts the waiver, which stays on record', async () => {
  const orgId = await ledger.want({ from: '2026-11-22', to: '2026-11-23' }, DEVICES);
  await waive(orgId, '2026-11-22..2026-11-23');
  await ledger.load([answer(orgId, 'device_counts', '2026-11-22', failed)]);
  expect((await ledger.cells(orgId))[0]).toContain('accepted waived');
  await ledger.setTime('2026-11-25T00:15:00.000Z');
  await ledger.load([devicesOf(orgId, '2026-11-22'), answer(orgId, 'device_counts', '2026-11-23', silence)]);
  expect(await ledger.cells(orgId)).toEqual([
    '11-22 device_counts stored  11-26T00:00',
    '11-23 device_counts accepted waived 11-26T00:00',
  ]);
  expect(await waivers(orgId)).toEqual([
    `11-22 known outage true true ${RUN_1}`,
    '11-23 known outage true false -',
  ]);
});

test('takes another reason when it is repeated, and keeps the one before on record', async () => {
  const orgId = await ledger.want({ from: '2026-11-23', to: '2026-11-23' }, DEVICES);
  await waive(orgId, '2026-11-23');
  await waive(orgId, '2026-11-23', { reason: 'agreed with Acme' });
  expect(await waivers(orgId)).toEqual([
    '11-23 known outage true true -',
    '11-23 agreed with Acme true false -',
  ]);
  const message = sql`select message from losant_usage.coverage`;
  expect(await ledger.list(message, ledger.db)).toEqual(['agreed with Acme']);
  const again = ['a', 'b'].map((reason) => waive(orgId, '2026-11-23', { reason }));
  await Promise.all(again);
  expect((await waivers(orgId)).filter((line) => line.endsWith('false -'))).toHaveLength(1);
});
