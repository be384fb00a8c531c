/** Cells before a creation date that moved later: the program waives them, and lifts only its own waivers. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { waiveCells } from '../../src/ledger/waive.ts';
import { devices, failed, POLICY, report } from '../usage/cells.ts';
import { cellResponse, RUN_1, RUN_2, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T12:00:00.000Z');
const ONLY_DEVICES = { streams: ['device_counts'] };

const setCreated = async (orgId: string, day: string) => {
  await ledger.asProgram(sql`update losant_usage.organizations set created_on = ${day} where org_id = ${orgId}`);
  await ledger.prepare(ONLY_DEVICES);
};
const standings = (orgId: string) =>
  ledger.list(
    sql`select to_char(usage_date, 'MM-DD') as day, standing, coalesce(reason, '-')
      from losant_usage.coverage where org_id = ${orgId} order by usage_date`,
    ledger.db,
  );
const waivers = (orgId: string) =>
  ledger.list(sql`select to_char(usage_date, 'MM-DD') as day, kind, reason, waived_by_run,
      lifted_at is not null as is_lifted, lifted_by_run
    from losant_usage.waivers where org_id = ${orgId} order by id`);
const waiveAsPerson = (orgId: string, day: string) =>
  waiveCells(ledger.db, {
    orgIds: [orgId],
    streams: null,
    range: { from: day, to: day },
    reason: 'agreed',
    policy: POLICY,
  });

test('each cell that is not stored gets a waiver of the program, with its run', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, ['device_counts']);
  await ledger.load([
    cellResponse(orgId, 'device_counts', '2026-11-20', report(devices(4, 1, 17))),
    cellResponse(orgId, 'device_counts', '2026-11-21', failed),
  ]);
  await setCreated(orgId, '2026-11-23');
  expect(await standings(orgId)).toEqual([
    '11-20 final -',
    '11-21 waived before_creation',
    '11-22 waived before_creation',
    '11-23 waiting never_read',
  ]);
  const both = [`11-21 program before_creation ${RUN_1} false -`, `11-22 program before_creation ${RUN_1} false -`];
  expect(await waivers(orgId)).toEqual(both);
  // The next run finds nothing more to waive.
  await ledger.prepare(ONLY_DEVICES);
  expect(await waivers(orgId)).toEqual(both);
});

test('a date that moves back lifts only the waivers of the program; those of a person stay', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, ['device_counts']);
  await waiveAsPerson(orgId, '2026-11-20');
  await setCreated(orgId, '2026-11-23');
  // A cell that the program has waived needs no person.
  await expect(waiveAsPerson(orgId, '2026-11-21')).rejects.toThrow('Nothing was waived');
  await setCreated(orgId, '2026-11-22');
  expect(await standings(orgId)).toEqual([
    '11-20 waived waived',
    '11-21 waived before_creation',
    '11-22 waiting never_read',
    '11-23 waiting never_read',
  ]);
  await setCreated(orgId, '2026-11-20');
  expect(await standings(orgId)).toEqual([
    '11-20 waived waived',
    '11-21 waiting never_read',
    '11-22 waiting never_read',
    '11-23 waiting never_read',
  ]);
  expect(await waivers(orgId)).toEqual([
    '11-20 person agreed - false -',
    `11-21 program before_creation ${RUN_1} true ${RUN_1}`,
    `11-22 program before_creation ${RUN_1} true ${RUN_1}`,
  ]);
  await setCreated(orgId, '2026-11-22');
  expect((await waivers(orgId)).slice(3)).toEqual([`11-21 program before_creation ${RUN_1} false -`]);
});

test('a good read lifts a waiver of the program as well', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-22', to: '2026-11-23' }, ['device_counts']);
  await setCreated(orgId, '2026-11-23');
  const read = cellResponse(orgId, 'device_counts', '2026-11-22', report(devices(4, 1, 17)));
  await ledger.load([read], { runId: RUN_2 });
  expect(await waivers(orgId)).toEqual([`11-22 program before_creation ${RUN_1} true ${RUN_2}`]);
});
