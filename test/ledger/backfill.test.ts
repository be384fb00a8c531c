/** Which cells a backfill creates and makes due. */
import { expect, test } from 'vitest';
import { type MarkDueOptions, markDaysDue } from '../../src/ledger/expected.ts';
import { markDeleted } from '../../src/ledger/organizations.ts';
import { devices, omitted, report } from '../usage/cells.ts';
import { cellResponse, INSTANCE, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T00:15:00.000Z');
const DEVICES = ['device_counts'];

/** Backfills the days of `FROM..TO`. */
const backfill = (days: string, options: Partial<MarkDueOptions> = {}) => {
  const [from = '', to = ''] = days.split('..');
  const defaults = { orgIds: null, streams: null, range: { from, to }, insertsCells: true, force: false };
  return markDaysDue(ledger.writer(), { ...defaults, ...options });
};

// Guarantee (Missing numbers): A backfill makes its days expected, and those up to the days that already are: what it
// fails to read stays a gap.
test('a backfill creates the cells of its scope from its first day to the first day of the track', async () => {
  const [orgId, otherOrg] = [await ledger.createOrg(), await ledger.createOrg()];
  await ledger.prepare({ streams: ['device_counts', 'payload_totals'] });
  expect(await backfill('2026-11-10..2026-11-12', { orgIds: [orgId], streams: DEVICES })).toBe(0);
  expect(await ledger.tracks(orgId)).toEqual(['device_counts 11-10 11-24 ', 'payload_totals 11-23 11-24 ']);
  expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-23 14']);
  expect(await ledger.daysOf(otherOrg)).toEqual(['11-23..11-23 1']);
  expect((await ledger.cells(orgId))[0]).toBe('11-10 device_counts waiting never_read 11-24T00:15');
});

test('a backfill creates no cells before the creation of an organization, or before the horizon', async () => {
  const [orgId, oldOrg] = [await ledger.createOrg({ createdOn: '2026-11-15' }), await ledger.createOrg()];
  await ledger.prepare({ streams: DEVICES });
  await backfill('2020-01-01..2026-11-23');
  await backfill('2020-01-01..2020-12-31');
  await backfill('2026-11-01..2049-12-31');
  expect(await ledger.daysOf(orgId)).toEqual(['11-15..11-23 9']);
  expect(await ledger.daysOf(oldOrg)).toEqual(['08-26..11-23 90']);
});

test('a backfill makes cells due that are not stored, and with force all of its range', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-20', to: '2026-11-23' }, DEVICES);
  await ledger.load([
    cellResponse(orgId, 'device_counts', '2026-11-21', report(devices(4, 1, 17))),
    cellResponse(orgId, 'device_counts', '2026-11-22', omitted),
  ]);
  await ledger.setTime('2026-11-24T03:00:00.000Z');
  const range = '2026-11-21..2026-11-22';
  expect(await backfill(range)).toBe(1);
  expect((await ledger.cells(orgId)).slice(1, 3)).toEqual([
    '11-21 device_counts stored  11-25T00:00',
    '11-22 device_counts waiting omitted 11-24T03:00',
  ]);
  await ledger.setTime('2026-11-24T04:00:00.000Z');
  await backfill(range, { force: true });
  const next = (await ledger.cells(orgId)).map((cell) => cell.split(' ').at(-1));
  expect(next).toEqual(['11-21T00:00', '11-24T04:00', '11-24T04:00', '11-24T00:00']);
});

test('a backfill adds exactly its own days to a track that has ended, and the track stays ended', async () => {
  const orgId = await ledger.expectDays({ from: '2026-11-10', to: '2026-11-12' }, DEVICES);
  await backfill('2026-11-20..2026-11-21');
  expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-12 3', '11-20..11-21 2']);
  expect((await ledger.tracks(orgId))[0]).toMatch(/ 11-12$/);
  await backfill('2026-11-22..2049-12-31');
  expect(await ledger.daysOf(orgId)).toEqual(['11-10..11-12 3', '11-20..11-23 4']);
  await backfill('2026-11-05..2026-11-06');
  expect(await ledger.daysOf(orgId)).toEqual(['11-05..11-12 8', '11-20..11-23 4']);
});

test('a backfill skips deleted organizations', async () => {
  const orgId = await ledger.createOrg();
  await ledger.prepare({ streams: DEVICES });
  await markDeleted(ledger.writer(), { orgIds: [orgId], today: '2026-11-24' });
  expect(await backfill('2026-11-10..2026-11-23', { force: true })).toBe(0);
  expect(await ledger.daysOf(orgId)).toEqual(['11-23..11-23 1']);
});

test('a backfill of an organization or stream without a track is an error', async () => {
  const orgId = await ledger.createOrg();
  await ledger.prepare({ streams: DEVICES });
  const unknownOrg = 'f'.repeat(24);
  const range = '2026-11-20..2026-11-23';
  await expect(backfill(range, { orgIds: [orgId, unknownOrg] })).rejects.toThrow(
    `--org ${unknownOrg}: not tracked in instance`,
  );
  await expect(backfill(range, { streams: ['device_counts', 'payload_totals'] })).rejects.toMatchObject({
    name: 'SettingsError',
    message: `--stream payload_totals: not tracked in instance ${INSTANCE}`,
  });
  expect(await ledger.daysOf(orgId)).toEqual(['11-23..11-23 1']);
});
