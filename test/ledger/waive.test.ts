/** Waivers: which cells can be waived, also as zeros, what lifts a waiver, and what stays on record. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import type { Waiver } from '../../src/ledger/waive.ts';
import { containing } from '../support/texts.ts';
import { failed, minutes, omitted, report, totals } from '../usage/cells.ts';
import { cellResponse, deviceResponse, RUN_1, RUN_2, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T12:00:00.000Z');
const DEVICES = ['device_counts'];

const waive = async (orgId: string, days: string, changes: Partial<Waiver> = {}) => {
  const cells = await ledger.waiveDays(orgId, days, changes);
  return cells.map(({ day, stream }) => `${day.slice(5)} ${stream}`);
};
const waivers = (orgId: string) =>
  ledger.listAsWriter(sql`select to_char(usage_date, 'MM-DD') as day, reason, waived_by = session_user as by_me,
      lifted_at is not null as is_lifted, lifted_by_run
    from losant_usage.waivers where org_id = ${orgId} order by id`);

test('waives cells that are missing, in doubt, unavailable or failing, and passes over others', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-18', to: '2026-11-23' }, DEVICES);
  await ledger.load(['18', '19', '20', '21', '23'].map((day) => deviceResponse(orgId, `2026-11-${day}`)));
  await ledger.load([cellResponse(orgId, 'device_counts', '2026-11-22', failed)]);
  await ledger.setTime('2026-11-24T12:01:00.000Z');
  await ledger.load([
    cellResponse(orgId, 'device_counts', '2026-11-20', omitted),
    cellResponse(orgId, 'device_counts', '2026-11-23', failed),
  ]);
  await sql`update losant_usage.coverage set standing = 'unavailable', reason = 'past_horizon', next_read_at = null
    where usage_date = '2026-11-18'`.execute(ledger.db);
  const waivedDays = ['11-18', '11-20', '11-22', '11-23'];
  expect(await waive(orgId, '2026-11-01..2026-11-30')).toEqual(waivedDays.map((day) => `${day} device_counts`));
  expect(await ledger.cells(orgId)).toEqual([
    '11-18 device_counts waived waived never',
    '11-19 device_counts final  11-27T00:00',
    '11-20 device_counts waived waived 11-25T12:00',
    '11-21 device_counts stored  11-25T00:00',
    '11-22 device_counts waived waived 11-24T12:00',
    '11-23 device_counts waived waived 11-24T12:00',
  ]);
  expect(await waivers(orgId)).toEqual(waivedDays.map((day) => `${day} known outage true false -`));
  const details = sql`select distinct detail from losant_usage.coverage where standing = 'waived'`;
  expect(await ledger.listAsWriter(details)).toEqual(['known outage']);
});

test('does not waive waiting cells, and fails if there is nothing to waive', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-23' }, DEVICES);
  await ledger.load([deviceResponse(orgId, '2026-11-22')]);
  await ledger.setTime('2026-11-24T05:59:59.000Z');
  const problem = 'from 2026-11-22 to 2026-11-23 is fine or will be read again';
  await expect(waive(orgId, '2026-11-22..2026-11-23')).rejects.toMatchObject({
    name: 'SettingsError',
    message: containing(problem),
  });
  await expect(waive(orgId, '2026-11-25')).rejects.toThrow('no cells of organization');
  expect(await waivers(orgId)).toEqual([]);
  await ledger.setTime('2026-11-24T06:00:00.000Z');
  expect(await waive(orgId, '2026-11-22..2026-11-23')).toEqual(['11-23 device_counts']);
});

test('waives a stored cell that is not read again, or that was due more than a day ago', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-23' }, DEVICES);
  await ledger.load([deviceResponse(orgId, '2026-11-22'), deviceResponse(orgId, '2026-11-23')]);
  await sql`update losant_usage.coverage set next_read_at = null where usage_date = '2026-11-22'`.execute(ledger.db);
  await ledger.setTime('2026-11-26T00:00:00.000Z');
  expect(await waive(orgId, '2026-11-22..2026-11-23')).toEqual(['11-22 device_counts']);
  await ledger.setTime('2026-11-26T00:00:01.000Z');
  expect(await waive(orgId, '2026-11-23')).toEqual(['11-23 device_counts']);
});

test('waives days whose cells no run has created yet, of the streams that it names', async () => {
  const orgId = await ledger.createOrg();
  await ledger.prepare({ streams: ['device_counts', 'payload_totals'] });
  await ledger.setTime('2026-11-26T12:00:00.000Z');
  const waived = ['11-24 device_counts', '11-25 device_counts'];
  expect(await waive(orgId, '2026-11-24..2026-11-25', { streams: DEVICES })).toEqual(waived);
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 11-26 ', 'payload_totals 11-23 11-26 ']);
});

test('a good read lifts the waiver, which stays on record, even if the clock was set back since', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-23' }, DEVICES);
  await waive(orgId, '2026-11-22..2026-11-23');
  await ledger.load([cellResponse(orgId, 'device_counts', '2026-11-22', failed)]);
  expect((await ledger.cells(orgId))[0]).toContain('waived waived');
  await ledger.setTime('2026-11-24T11:00:00.000Z');
  await ledger.load([deviceResponse(orgId, '2026-11-22'), cellResponse(orgId, 'device_counts', '2026-11-23', omitted)]);
  expect(await ledger.cells(orgId)).toEqual([
    '11-22 device_counts stored  11-25T00:00',
    '11-23 device_counts waived waived 11-25T00:00',
  ]);
  expect(await waivers(orgId)).toEqual([`11-22 known outage true true ${RUN_1}`, '11-23 known outage true false -']);
});

test('repeating a waiver replaces the reason and keeps the earlier one', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-23', to: '2026-11-23' }, DEVICES);
  await waive(orgId, '2026-11-23');
  await waive(orgId, '2026-11-23', { reason: 'agreed with Acme' });
  expect(await waivers(orgId)).toEqual(['11-23 known outage true true -', '11-23 agreed with Acme true false -']);
  const details = sql`select detail from losant_usage.coverage`;
  expect(await ledger.listAsWriter(details)).toEqual(['agreed with Acme']);
  await Promise.all(['a', 'b'].map((reason) => waive(orgId, '2026-11-23', { reason })));
  expect((await waivers(orgId)).filter((line) => line.endsWith('false -'))).toHaveLength(1);
});

describe('a waiver that replaces numbers by zeros', () => {
  const DAY = '2026-11-20';
  const STREAMS = ['device_counts', 'notebook_minutes', 'payload_totals'];

  /** Returns an organization with a final day, of which Losant has left out everything since. */
  const createOmittedDay = async () => {
    const orgId = await ledger.expectDays({ from: DAY, to: '2026-11-21' }, STREAMS);
    await ledger.load([
      deviceResponse(orgId, DAY),
      cellResponse(orgId, 'notebook_minutes', DAY, report(minutes(17, 4))),
      cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21, 900))),
      cellResponse(orgId, 'payload_totals', '2026-11-21', report(totals(1, 1, 1))),
    ]);
    await ledger.setTime('2026-11-24T13:00:00.000Z');
    await ledger.load(
      STREAMS.map((stream) => cellResponse(orgId, stream, DAY, omitted)),
      { runId: RUN_2 },
    );
    return orgId;
  };
  const numbers = (orgId: string) =>
    ledger.listAsWriter(sql`select devices_total, notebook_minutes, payload_billable_count, payload_all_bytes
      from losant_usage.usage_days where org_id = ${orgId} order by usage_date`);
  const revisions = (orgId: string) =>
    ledger.list(sql`select stream, revision, old, new, was_final, run_id, reason, changed_by = 'losant_usage_writer' as is_writer
      from losant_usage.revisions where org_id = ${orgId} order by id`);

  test('is a restatement with its reason, and a report of the day ends it', async () => {
    const orgId = await createOmittedDay();
    expect(await waive(orgId, DAY, { streams: ['payload_totals'], isZeroed: true })).toEqual(['11-20 payload_totals']);
    expect(await numbers(orgId)).toEqual(['17 17 0 0', '- - 1 1']);
    const old = '{"payload_all_bytes":900,"payload_all_count":21,"payload_billable_count":17}';
    const zeros = '{"payload_all_bytes":0,"payload_all_count":0,"payload_billable_count":0}';
    expect(await revisions(orgId)).toEqual([`payload_totals 2 ${old} ${zeros} true - known outage true`]);
    const cells = sql`select standing, is_reported, revision, run_id, finalized_at is not null as was_final
      from losant_usage.coverage where org_id = ${orgId} and stream = 'payload_totals' and usage_date = ${DAY}`;
    expect(await ledger.listAsWriter(cells)).toEqual([`waived false 2 ${RUN_2} true`]);
    expect(await waivers(orgId)).toEqual(['11-20 known outage true false -']);
    await ledger.load([cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21, 900)))]);
    expect(await ledger.listAsWriter(cells)).toEqual([`final true 3 ${RUN_1} true`]);
    expect(await waivers(orgId)).toEqual([`11-20 known outage true true ${RUN_1}`]);
  });

  test.each<[string, string, readonly string[] | null, string]>([
    ['a level', DAY, null, `device_counts of organization ORG on ${DAY} is in doubt`],
    [
      'a stored cell',
      `${DAY}..2026-11-21`,
      ['payload_totals'],
      'payload_totals of organization ORG on 2026-11-21 is stored',
    ],
    [
      'a missing cell',
      '2026-11-21',
      ['notebook_minutes'],
      'notebook_minutes of organization ORG on 2026-11-21 is missing',
    ],
  ])('is rejected with all of its range if that contains %s', async (_, days, streams, problem) => {
    const orgId = await createOmittedDay();
    const before = [await numbers(orgId), await ledger.cells(orgId)];
    await expect(waive(orgId, days, { streams, isZeroed: true })).rejects.toMatchObject({
      name: 'SettingsError',
      message: containing(problem.replace('ORG', orgId)),
      hint: containing('losant-usage gaps lists them'),
    });
    expect([await numbers(orgId), await ledger.cells(orgId)]).toEqual(before);
    expect([await waivers(orgId), await revisions(orgId)]).toEqual([[], []]);
  });
});
