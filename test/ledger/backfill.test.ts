/** Which cells a backfill creates and makes due. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { markDeleted } from '../../src/ledger/organizations.ts';
import { findUntracked, selectAddedDays } from '../../src/ledger/tracks.ts';
import { omitted } from '../usage/cells.ts';
import { cellResponse, deviceResponse, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];

test('a backfill creates the cells of its scope from its first day to the first day of the track', async () => {
  const [orgId, otherOrg] = [await ledger.createOrg(), await ledger.createOrg()];
  await ledger.prepare({ streams: ['device_counts', 'payload_totals'] });
  expect(await ledger.backfill('2026-11-10..2026-11-12', { orgIds: [orgId], streams: DEVICES })).toBe(3);
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-10 11-24 ', 'payload_totals 11-23 11-24 ']);
  expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-23 14']);
  expect(await ledger.daysOf(otherOrg)).toEqual(['11-23..11-23 1']);
  expect((await ledger.cells(orgId)).slice(0, 4).map((cell) => cell.slice(0, 5) + cell.slice(-12))).toEqual([
    '11-10 11-24T00:15',
    '11-11 11-24T00:15',
    '11-12 11-24T00:15',
    '11-13 11-24T01:15',
  ]);
});

test('a backfill creates no cells before the creation of an organization, or before the horizon', async () => {
  const [orgId, oldOrg] = [await ledger.createOrg({ createdOn: '2026-11-15' }), await ledger.createOrg()];
  await ledger.prepare({ streams: DEVICES });
  await ledger.backfill('2020-01-01..2026-11-23');
  await ledger.backfill('2020-01-01..2020-12-31');
  await ledger.backfill('2026-11-01..2049-12-31');
  expect(await ledger.daysOf(orgId)).toEqual(['11-15..11-23 9']);
  expect(await ledger.daysOf(oldOrg)).toEqual(['08-26..11-23 90']);
});

test('a backfill after the end of a track extends it to its days', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-10', to: '2026-11-12' }, DEVICES);
  await ledger.backfill('2026-11-20..2026-11-21');
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-10 11-22 11-21']);
  expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-21 12']);
});

test('a backfill makes cells due that are not stored, and with force all of its range', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, DEVICES);
  await ledger.load([deviceResponse(orgId, '2026-11-21'), cellResponse(orgId, 'device_counts', '2026-11-22', omitted)]);
  await ledger.setTime('2026-11-24T03:00:00.000Z');
  const range = '2026-11-21..2026-11-22';
  expect(await ledger.backfill(range)).toBe(1);
  expect((await ledger.cells(orgId)).slice(1, 3)).toEqual([
    '11-21 device_counts stored  11-25T00:00',
    '11-22 device_counts waiting omitted 11-24T03:00',
  ]);
  await ledger.setTime('2026-11-24T04:00:00.000Z');
  await ledger.backfill(range, { force: true });
  const next = (await ledger.cells(orgId)).map((cell) => cell.split(' ').at(-1));
  expect(next).toEqual(['11-21T00:00', '11-24T04:00', '11-24T04:00', '11-24T00:00']);
});

test('a backfill skips deleted organizations', async () => {
  const orgId = await ledger.createOrg();
  await ledger.prepare({ streams: DEVICES });
  await markDeleted(ledger.writer(), { orgIds: [orgId], today: '2026-11-24' });
  expect(await ledger.backfill('2026-11-10..2026-11-23', { force: true })).toBe(0);
  expect(await ledger.daysOf(orgId)).toEqual(['11-23..11-23 1']);
  // Also one whose deletion was noticed after its page was read.
  const days = selectAddedDays({ from: '2026-11-10', to: '2026-11-23' }, sql`t.org_id = ${orgId}`);
  expect(await ledger.queryRows(days)).toEqual([]);
});

describe('organizations and streams that never had a track', () => {
  const unknownOrg = 'f'.repeat(24);
  const find = (orgIds: readonly string[] | null, streams: readonly string[] | null) =>
    findUntracked(ledger.writer(), { orgIds, streams, range: null });

  test('are named', async () => {
    const [orgId, otherOrg] = [await ledger.createOrg(), await ledger.createOrg()];
    await ledger.prepare({ streams: DEVICES, selection: [orgId] });
    await ledger.prepare({ streams: ['payload_totals'], selection: [orgId, otherOrg] });
    expect(await find(null, null)).toEqual([]);
    expect(await find([orgId, unknownOrg], null)).toEqual([{ orgId: unknownOrg, stream: null }]);
    const untracked = [{ orgId: otherOrg, stream: 'device_counts' }];
    expect(await find(null, ['device_counts', 'payload_totals'])).toEqual(untracked);
    expect(await find([orgId, otherOrg], DEVICES)).toEqual(untracked);
  });

  test('are an error if a command names nothing else', async () => {
    const orgId = await ledger.createOrg();
    await ledger.prepare({ streams: DEVICES });
    await expect(find([unknownOrg], null)).rejects.toThrow(`--org ${unknownOrg}: not tracked`);
    await expect(find([orgId], ['payload_totals'])).rejects.toMatchObject({
      name: 'SettingsError',
      message: `--org ${orgId} --stream payload_totals: not tracked`,
    });
    await expect(find(null, ['payload_totals'])).rejects.toThrow('--stream payload_totals: not tracked');
  });
});
