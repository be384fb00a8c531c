/** Waivers of a person: which cells can be waived, what lifts a waiver, and what stays on record. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { applyPolicy } from '../../src/ledger/due.ts';
import type { Waiver } from '../../src/ledger/waive.ts';
import { asOwner } from '../support/databases.ts';
import { containing } from '../support/texts.ts';
import { failed, omitted, POLICY } from '../usage/cells.ts';
import { COMPUTE_SUMS, cellResponse, deviceResponse, INSTANCE, RUN_1, RUN_2, useFreshLedger } from './ledger.ts';

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

const CONTINUE_TRACKS = sql`update losant_usage.tracks t set last_day = null where not exists (
  select from losant_usage.tracks l where (l.org_id, l.stream) = (t.org_id, t.stream) and l.first_day > t.first_day)`;

test('waives cells that are missing, in doubt or unavailable, and passes over others', async () => {
  const orgId = await ledger.expectDays({ from: '2026-08-20', to: '2026-08-20' }, DEVICES);
  await ledger.prepare({ streams: [] });
  await ledger.expectDays({ from: '2026-11-19', to: '2026-11-23' }, DEVICES, orgId);
  await ledger.load([
    deviceResponse(orgId, '2026-11-19'),
    deviceResponse(orgId, '2026-11-20'),
    deviceResponse(orgId, '2026-11-21'),
    cellResponse(orgId, 'device_counts', '2026-11-22', failed),
  ]);
  const omission = cellResponse(orgId, 'device_counts', '2026-11-20', omitted);
  await ledger.load([{ ...omission, sentAtMs: ledger.nowMs + 1_000 }], { runId: RUN_2 });
  await ledger.asProgram(CONTINUE_TRACKS);
  // The 23rd is late and was never read.
  const waivedDays = ['08-20', '11-20', '11-22', '11-23'];
  expect(await waive(orgId, '2026-08-01..2026-11-30')).toEqual(waivedDays.map((day) => `${day} device_counts`));
  expect(await ledger.cells(orgId)).toEqual([
    '08-20 device_counts waived waived never',
    '11-19 device_counts final  11-27T00:00',
    '11-20 device_counts waived waived 11-24T13:00',
    '11-21 device_counts stored  11-25T00:00',
    '11-22 device_counts waived waived 11-24T12:00',
    '11-23 device_counts waived waived 11-24T00:00',
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

test('waives a stored cell that will not become final, and computes the sums of its day', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-23', to: '2026-11-23' }, DEVICES);
  await ledger.load([deviceResponse(orgId, '2026-11-23')]);
  const totals = sql`select our_sum, orgs_unsettled from losant_usage.instance_totals
    where usage_date = '2026-11-23' and metric = 'devices_total'`;
  await ledger.asProgram(COMPUTE_SUMS);
  expect(await ledger.list(totals)).toEqual(['17 1']);
  await ledger.asProgram(sql`update losant_usage.coverage set next_read_at = null`);
  expect(await waive(orgId, '2026-11-23')).toEqual(['11-23 device_counts']);
  expect(await ledger.list(totals)).toEqual(['17 0']);
});

describe('a cell that is due for more than a day', () => {
  /** Adds a run that started and, if it has, finished an hour later. */
  const addRun = async (startedAt: string, { isFinished = true } = {}) =>
    await ledger.asProgram(
      sql`insert into losant_usage.runs (run_id, instance_id, kind, is_full, status, started_at, finished_at, host,
          version)
        values (gen_random_uuid(), ${INSTANCE}, 'scheduled', true, 'partial', ${startedAt},
          case when ${isFinished} then ${startedAt}::timestamptz + interval '1 hour' end, 'host', '1.0.0')`,
    );
  /** Stores four days at noon of the 24th, of which the oldest is final. Nothing is read at the next checkpoints. */
  const storeDays = async (now: string) => {
    const days = ['2026-11-20', '2026-11-21', '2026-11-22', '2026-11-23'] as const;
    const orgId = await ledger.expectDays({ from: days[0], to: days[3] }, DEVICES);
    await ledger.load(days.map((day) => deviceResponse(orgId, day)));
    await ledger.setTime(now);
    return orgId;
  };
  beforeEach(() => asOwner(ledger.url, 'delete from losant_usage.runs'));
  const nothingWaived = 'is fine or will be read again';

  test('can be waived once a run that began after that has ended, and not earlier', async () => {
    const orgId = await storeDays('2026-11-26T00:00:01.000Z');
    await expect(waive(orgId, '2026-11-20..2026-11-23')).rejects.toThrow(nothingWaived);
    await addRun('2026-11-24T23:59:59Z');
    await addRun('2026-11-25T00:15:00Z', { isFinished: false });
    await expect(waive(orgId, '2026-11-20..2026-11-23')).rejects.toThrow(nothingWaived);
    await addRun('2026-11-25T01:15:00Z');
    await ledger.setTime('2026-11-26T00:00:00.000Z');
    await expect(waive(orgId, '2026-11-20..2026-11-23')).rejects.toThrow(nothingWaived);
    await ledger.setTime('2026-11-26T00:00:01.000Z');
    const waived = ['11-21 device_counts', '11-22 device_counts', '11-23 device_counts'];
    expect(await waive(orgId, '2026-11-20..2026-11-23')).toEqual(waived);
  });

  test('can be waived once an attempt that began after that has failed before it read anything', async () => {
    const orgId = await storeDays('2026-11-26T00:00:01.000Z');
    const attempt = async (at: string, error: string | null) =>
      await ledger.asProgram(sql`update losant_usage.instances set last_attempt_at = ${at}, last_error = ${error}`);
    await attempt('2026-11-25T00:15:00Z', null);
    await expect(waive(orgId, '2026-11-22')).rejects.toThrow(nothingWaived);
    await attempt('2026-11-23T00:15:00Z', 'HTTP 401');
    await expect(waive(orgId, '2026-11-22')).rejects.toThrow(nothingWaived);
    await attempt('2026-11-25T00:15:00Z', 'HTTP 401');
    expect(await waive(orgId, '2026-11-22')).toEqual(['11-22 device_counts']);
    await attempt('2026-11-25T00:15:00Z', null);
  });

  test('is read next at its next checkpoint ahead, or never again if its track has ended', async () => {
    const orgId = await storeDays('2026-11-28T00:30:00.000Z');
    await addRun('2026-11-27T00:15:00Z');
    await waive(orgId, '2026-11-21');
    // Neither after a change of the checkpoints.
    await applyPolicy(ledger.writer({ policy: { ...POLICY, readAtHours: [...POLICY.readAtHours, 744] } }));
    await ledger.asProgram(CONTINUE_TRACKS);
    expect(await waive(orgId, '2026-11-20..2026-11-23')).toHaveLength(3);
    expect((await ledger.cells(orgId)).slice(0, 4)).toEqual([
      '11-20 device_counts final  11-28T00:00',
      '11-21 device_counts waived waived never',
      '11-22 device_counts waived waived 11-30T00:00',
      '11-23 device_counts waived waived 12-01T00:00',
    ]);
    await ledger.load([deviceResponse(orgId, '2026-11-22')]);
    expect((await waivers(orgId)).filter((line) => line.includes('true true'))).toHaveLength(2);
  });
});

test('waives a stored cell whose reads fail', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-23', to: '2026-11-23' }, DEVICES);
  await ledger.load([deviceResponse(orgId, '2026-11-23')]);
  await ledger.load([{ ...cellResponse(orgId, 'device_counts', '2026-11-23', failed), sentAtMs: ledger.nowMs + 1 }]);
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

test('leaves later checkpoints: a good read lifts the waiver, which stays on record', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-23' }, DEVICES);
  await waive(orgId, '2026-11-22..2026-11-23');
  await ledger.load([cellResponse(orgId, 'device_counts', '2026-11-22', failed)]);
  expect((await ledger.cells(orgId))[0]).toContain('waived waived');
  await ledger.setTime('2026-11-25T00:15:00.000Z');
  await ledger.load([deviceResponse(orgId, '2026-11-22'), cellResponse(orgId, 'device_counts', '2026-11-23', omitted)]);
  expect(await ledger.cells(orgId)).toEqual([
    '11-22 device_counts stored  11-26T00:00',
    '11-23 device_counts waived waived 11-26T00:00',
  ]);
  expect(await waivers(orgId)).toEqual([`11-22 known outage true true ${RUN_1}`, '11-23 known outage true false -']);
});

test('a good read lifts the waiver even if the clock of the database was set back since', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-22' }, DEVICES);
  await waive(orgId, '2026-11-22');
  await ledger.setTime('2026-11-24T11:00:00.000Z');
  await ledger.load([deviceResponse(orgId, '2026-11-22')]);
  expect(await waivers(orgId)).toEqual([`11-22 known outage true true ${RUN_1}`]);
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
