/** Expected cells: tracks begin and end, cells are created up to yesterday, and become unavailable in the end. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { TRANSACTION_CELLS } from '../../src/ledger/lease.ts';
import { markDeleted, upsertOrganizations } from '../../src/ledger/organizations.ts';
import { failed, minutes, omitted, report } from '../usage/cells.ts';
import { cellResponse, deviceResponse, deviceResponseAt, type RunSettings, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];

const prepareAt = async (instant: string, settings: RunSettings = {}) => {
  await ledger.setTime(instant);
  await ledger.prepare(settings);
};
const ONLY_DEVICES = { streams: DEVICES };
const daysOf = (orgId: string, stream?: string) => ledger.daysOf(orgId, stream);
const unrecorded = () => ledger.queryAsWriter(sql`select from losant_usage_internal.unrecorded_cells`);
const deleteOrg = (orgId: string, today: string) => markDeleted(ledger.writer(), { orgIds: [orgId], today });
const relist = (orgId: string) => upsertOrganizations(ledger.writer(), [{ orgId, problem: 'no name' }]);

describe('a track begins', () => {
  test('with yesterday at the first run, whenever the organization was created', async () => {
    const [oldOrg, undatedOrg] = [await ledger.createOrg({ createdOn: '2024-01-01' }), await ledger.createOrg()];
    await ledger.prepare();
    for (const orgId of [oldOrg, undatedOrg]) {
      expect(await ledger.tracks(orgId)).toHaveLength(4);
      expect(await ledger.cells(orgId)).toEqual([
        '11-23 device_counts waiting never_read 11-24T00:00',
        '11-23 notebook_minutes waiting never_read 11-24T00:00',
        '11-23 payload_sources waiting never_read 11-24T00:00',
        '11-23 payload_totals waiting never_read 11-24T00:00',
      ]);
    }
  });

  test('with the creation day of an organization that is listed later, but not before the first run', async () => {
    await ledger.prepare();
    await ledger.setTime('2026-11-28T00:15:00.000Z');
    const newOrg = await ledger.createOrg({ createdOn: '2026-11-25' });
    const oldOrg = await ledger.createOrg({ createdOn: '2024-01-01' });
    const orgOfToday = await ledger.createOrg({ createdOn: '2026-11-28' });
    await ledger.prepare();
    expect(await daysOf(newOrg)).toEqual(['11-25..11-27 3']);
    expect(await daysOf(oldOrg)).toEqual(['11-23..11-27 5']);
    expect(await daysOf(orgOfToday)).toEqual([]);
    await prepareAt('2026-11-29T00:15:00.000Z');
    expect(await daysOf(orgOfToday)).toEqual(['11-28..11-28 1']);
    // And not before the horizon.
    await ledger.setTime('2027-06-01T00:15:00.000Z');
    const laterOrg = await ledger.createOrg({ createdOn: '2026-11-25' });
    await ledger.prepare(ONLY_DEVICES);
    expect(await ledger.tracks(laterOrg)).toEqual(['device_counts 03-03 06-01 ']);
  });

  test('with yesterday for an organization that the settings name, and for a stream that is enabled later', async () => {
    await ledger.prepare();
    const other = await ledger.createOrg();
    await ledger.setTime('2026-11-28T00:15:00.000Z');
    const orgId = await ledger.createOrg({ createdOn: '2026-11-25' });
    await ledger.prepare({ streams: DEVICES, selection: [orgId] });
    expect(await daysOf(orgId)).toEqual(['11-27..11-27 1']);
    expect(await ledger.tracks(other)).toEqual([]);
    await prepareAt('2026-11-30T00:15:00.000Z');
    expect(await daysOf(orgId)).toEqual(['11-27..11-29 3']);
    expect(await daysOf(orgId, 'payload_totals')).toEqual(['11-29..11-29 1']);
    await prepareAt('2026-12-02T00:15:00.000Z', { streams: ['payload_hours'] });
    expect(await daysOf(orgId, 'payload_hours')).toEqual(['12-01..12-01 1']);
  });
});

describe('a track ends', () => {
  test('with yesterday if its organization or stream leaves the settings; earlier days are still read', async () => {
    const orgId = await ledger.createOrg();
    await ledger.prepare({ streams: ['device_counts', 'payload_totals'] });
    await prepareAt('2026-11-26T00:15:00.000Z', ONLY_DEVICES);
    expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 11-26 ', 'payload_totals 11-23 11-26 11-25']);
    expect(await daysOf(orgId, 'payload_totals')).toEqual(['11-23..11-25 3']);
    await prepareAt('2026-11-28T00:15:00.000Z', { streams: DEVICES, selection: [] });
    expect(await daysOf(orgId)).toEqual(['11-23..11-27 5']);
    await prepareAt('2026-11-29T00:15:00.000Z', { selection: [] });
    expect(await daysOf(orgId)).toEqual(['11-23..11-27 5']);
    const due = sql`select count(*) from losant_usage.coverage where next_read_at is not null`;
    expect(await ledger.listAsWriter(due)).toEqual(['8']);
  });

  test('with the day before the deletion of its organization was noticed; its cells are unavailable', async () => {
    const orgId = await ledger.createOrg();
    await ledger.prepare(ONLY_DEVICES);
    await prepareAt('2026-11-26T12:00:00.000Z', ONLY_DEVICES);
    await ledger.load([
      deviceResponseAt(orgId, '2026-11-23', '2026-11-27T00:00:00Z'),
      deviceResponseAt(orgId, '2026-11-24', '2026-11-26T12:00:00Z'),
    ]);
    await deleteOrg(orgId, '2026-11-27');
    await prepareAt('2026-11-28T12:00:00.000Z', ONLY_DEVICES);
    expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-23 11-27 11-26']);
    expect(await ledger.cells(orgId)).toEqual([
      '11-23 device_counts final  never',
      '11-24 device_counts unavailable org_deleted never',
      '11-25 device_counts unavailable org_deleted never',
      '11-26 device_counts unavailable org_deleted never',
    ]);
    await prepareAt('2026-11-30T12:00:00.000Z', ONLY_DEVICES);
    expect(await daysOf(orgId)).toEqual(['11-23..11-26 4']);
  });
});

test('a track continues with all of its cells due after a deletion, and responses decide their standing', async () => {
  const orgId = await ledger.createOrg();
  const settings = { streams: ['device_counts', 'notebook_minutes'] };
  await ledger.prepare(settings);
  await ledger.load([deviceResponse(orgId, '2026-11-23')]);
  await deleteOrg(orgId, '2026-11-25');
  await prepareAt('2026-11-25T00:15:00.000Z', settings);
  await ledger.setTime('2026-11-27T12:00:00.000Z');
  await relist(orgId);
  await ledger.prepare(settings);
  expect(await ledger.cells(orgId)).toEqual([
    '11-23 device_counts unavailable org_deleted 11-27T12:00',
    '11-23 notebook_minutes unavailable org_deleted 11-27T12:00',
    '11-24 device_counts unavailable org_deleted 11-27T12:00',
    '11-24 notebook_minutes unavailable org_deleted 11-27T12:00',
    '11-25 device_counts waiting never_read 11-26T00:00',
    '11-25 notebook_minutes waiting never_read 11-26T00:00',
    '11-26 device_counts waiting never_read 11-27T00:00',
    '11-26 notebook_minutes waiting never_read 11-27T00:00',
  ]);
  await ledger.load([
    cellResponse(orgId, 'device_counts', '2026-11-23', failed),
    cellResponse(orgId, 'device_counts', '2026-11-24', failed),
    cellResponse(orgId, 'notebook_minutes', '2026-11-23', report(minutes(0, 0))),
    cellResponse(orgId, 'notebook_minutes', '2026-11-24', omitted),
  ]);
  expect((await ledger.cells(orgId)).slice(0, 4)).toEqual([
    '11-23 device_counts unavailable org_deleted 11-27T12:00',
    '11-23 notebook_minutes final  12-01T00:00',
    '11-24 device_counts missing server_error 11-27T12:00',
    '11-24 notebook_minutes stored  11-28T00:00',
  ]);
});

describe('expected cells', () => {
  test('are created once for all days without a run, and none after yesterday', async () => {
    const orgId = await ledger.createOrg();
    await ledger.prepare();
    await ledger.setTime('2026-12-03T23:59:59.999Z');
    expect(await unrecorded()).toHaveLength(4 * 9);
    await ledger.prepare();
    expect(await unrecorded()).toEqual([]);
    expect(await daysOf(orgId)).toEqual(['11-23..12-02 10']);
    const rowVersions = sql`select xmin, ctid::text from losant_usage.coverage order by usage_date, stream`;
    const versionsBefore = await ledger.listAsWriter(rowVersions);
    await ledger.prepare();
    expect(await ledger.listAsWriter(rowVersions)).toEqual(versionsBefore);
    const days = sql`select count(*) as rows, count(distinct usage_date) as days from losant_usage.usage_days`;
    expect(await ledger.listAsWriter(days)).toEqual(['10 10']);
  });

  test('and next_day change together: the next run completes one that was killed between two pages', async () => {
    // 40 days each, so that five organizations fit into a page.
    await ledger.createOrgs(6);
    await ledger.write(sql`update losant_usage.instance set new_orgs_from = '2026-10-15'`);
    const prepare = () => ledger.prepare({ ...ONLY_DEVICES, transactionCells: TRANSACTION_CELLS / 100 });
    const killAtLastOrg = "if new.org_id like '%6' then raise exception 'killed'; end if; return new;";
    const counts = sql`select (select count(*) from losant_usage.tracks) as tracks,
      (select count(*) from losant_usage.coverage) as cells,
      (select count(*) from losant_usage.usage_days) as days,
      (select count(*) from losant_usage_internal.unrecorded_cells) as unrecorded`;
    await ledger.withTrigger('coverage', killAtLastOrg, () => expect(prepare()).rejects.toThrow('killed'));
    expect(await ledger.listAsWriter(counts)).toEqual(['5 200 200 0']);
    await prepare();
    expect(await ledger.listAsWriter(counts)).toEqual(['6 240 240 0']);
    await ledger.setTime('2026-12-31T12:00:00.000Z');
    await ledger.withTrigger('coverage', killAtLastOrg, () => expect(prepare()).rejects.toThrow('killed'));
    expect(await ledger.listAsWriter(counts)).toEqual(['6 425 425 37']);
    await prepare();
    expect(await ledger.listAsWriter(counts)).toEqual(['6 462 462 0']);
    expect((await ledger.tracks('000000000000000000000006'))[0]).toBe('device_counts 10-15 12-31 ');
  });
});

test('cells past the horizon are unavailable, stored or not, unless they are final or waived', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-18', to: '2026-11-23' }, DEVICES);
  await ledger.load([
    deviceResponseAt(orgId, '2026-11-18', '2026-11-23T12:00:00.000Z'),
    deviceResponseAt(orgId, '2026-11-19', '2026-11-20T12:00:00.000Z'),
    cellResponse(orgId, 'device_counts', '2026-11-20', omitted),
    cellResponse(orgId, 'device_counts', '2026-11-21', failed),
  ]);
  // The retry of a final cell ends too.
  await ledger.load([cellResponse(orgId, 'device_counts', '2026-11-18', failed)]);
  await prepareAt('2027-02-20T00:15:00.000Z', { streams: [] });
  const failedReads = sql`select failed_reads from losant_usage.coverage
    where org_id = ${orgId} order by usage_date limit 1`;
  expect(await ledger.listAsWriter(failedReads)).toEqual(['0']);
  expect((await ledger.cells(orgId)).slice(0, 5)).toEqual([
    '11-18 device_counts final  never',
    '11-19 device_counts unavailable past_horizon never',
    '11-20 device_counts unavailable past_horizon never',
    '11-21 device_counts unavailable past_horizon never',
    '11-22 device_counts waiting never_read 11-23T00:00',
  ]);
  await prepareAt('2027-02-21T00:15:00.000Z', { streams: [] });
  expect((await ledger.cells(orgId))[4]).toBe('11-22 device_counts unavailable past_horizon never');
});
