/** Cells before a creation date that moved later: the program waives them, and lifts only its own waivers. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { failed, POLICY } from '../usage/cells.ts';
import { cellResponse, deviceResponse, RUN_1, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T12:00:00.000Z');
const ONLY_DEVICES = { streams: ['device_counts'] };

const setCreated = async (orgId: string, day: string) => {
  await ledger.setOrg(orgId, sql`created_on = ${day}`);
  await ledger.prepare(ONLY_DEVICES);
};
const cells = async (orgId: string) => (await ledger.cells(orgId)).map((cell) => cell.replace(' device_counts', ''));
const waivers = (orgId: string) =>
  ledger.list(sql`select to_char(usage_date, 'MM-DD') as day, kind, reason, waived_by_run,
      lifted_at is not null as is_lifted, lifted_by_run
    from losant_usage.waivers where org_id = ${orgId} order by id`);

test('each cell that is not stored gets a waiver of the program, with its run, and is not read', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, ['device_counts']);
  await ledger.load([deviceResponse(orgId, '2026-11-20'), cellResponse(orgId, 'device_counts', '2026-11-21', failed)]);
  await setCreated(orgId, '2026-11-23');
  const waivedCells = ['11-21 waived before_creation never', '11-22 waived before_creation never'];
  const [final, waiting] = ['11-20 final  11-28T00:00', '11-23 waiting never_read 11-24T00:00'];
  expect(await cells(orgId)).toEqual([final, ...waivedCells, waiting]);
  // Neither a backfill nor a changed policy reads them, and the next run finds nothing more to waive.
  expect(await ledger.backfill('2026-11-21..2026-11-22', { force: true })).toBe(0);
  await ledger.prepare({ ...ONLY_DEVICES, policy: { ...POLICY, readAtHours: [0, 100, 720] } });
  await ledger.prepare(ONLY_DEVICES);
  expect((await cells(orgId)).slice(1, 3)).toEqual(waivedCells);
  expect(await waivers(orgId)).toEqual([
    `11-21 program before_creation ${RUN_1} false -`,
    `11-22 program before_creation ${RUN_1} false -`,
  ]);
});

test('a date that moves back lifts only the waivers of the program; those of a person stay', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, ['device_counts']);
  await ledger.waiveDays(orgId, '2026-11-20');
  await setCreated(orgId, '2026-11-23');
  // A cell that the program has waived needs no person.
  await expect(ledger.waiveDays(orgId, '2026-11-21')).rejects.toThrow('Nothing was waived');
  await setCreated(orgId, '2026-11-22');
  const waivedCell = '11-20 waived waived never';
  const dueCells = ['11-22 waiting never_read 11-24T12:00', '11-23 waiting never_read 11-24T00:00'];
  expect(await cells(orgId)).toEqual([waivedCell, '11-21 waived before_creation never', ...dueCells]);
  await setCreated(orgId, '2026-11-20');
  expect(await cells(orgId)).toEqual([waivedCell, '11-21 waiting never_read 11-24T12:00', ...dueCells]);
  expect(await waivers(orgId)).toEqual([
    '11-20 person known outage - false -',
    `11-21 program before_creation ${RUN_1} true ${RUN_1}`,
    `11-22 program before_creation ${RUN_1} true ${RUN_1}`,
  ]);
  await setCreated(orgId, '2026-11-22');
  expect((await waivers(orgId)).slice(3)).toEqual([`11-21 program before_creation ${RUN_1} false -`]);
});

test('a date that moves back after the horizon has passed leaves the cells unavailable', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-21', to: '2026-11-23' }, ['device_counts']);
  await setCreated(orgId, '2026-11-23');
  await ledger.setTime('2027-06-01T00:15:00.000Z');
  await ledger.prepare(ONLY_DEVICES);
  await setCreated(orgId, '2026-11-01');
  for (const cell of (await cells(orgId)).slice(0, 3)) expect(cell).toContain('unavailable past_horizon never');
});
