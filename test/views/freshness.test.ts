/** The view freshness: how complete each stream is. */
import { expect, test } from 'vitest';
import { NOW, ORGS, useWorldLedger } from './world.ts';

const { ledger, rows, rowsAfter } = useWorldLedger();

test('freshness counts organizations, the cells of yesterday, gaps and failing reads of each stream', async () => {
  const freshness = `select stream, first_day, complete_to, orgs, orgs_complete, orgs_with_gaps, gaps, yesterday_expected,
      yesterday_waiting, yesterday_in_doubt, failing
    from losant_usage.freshness order by 1`;
  expect(await rows(freshness)).toEqual([
    'device_counts 2026-09-20 2026-09-24 4 1 3 5 4 1 1 1',
    'notebook_minutes 2026-09-20 2026-11-23 1 1 0 0 1 0 0 0',
    'payload_hours 2026-10-24 2026-10-29 2 0 2 4 2 1 0 0',
    'payload_sources 2026-09-20 2026-11-23 1 1 0 0 1 0 0 0',
    'payload_totals 2026-09-20 2026-10-04 2 1 1 2 2 1 0 1',
  ]);
});

const setCell = (set: string, orgId: string, stream: string, day: string) =>
  `update losant_usage.coverage set ${set} where org_id = '${orgId}' and stream = '${stream}' and usage_date = '${day}'`;
const NOT_STORED = `is_stored = false, is_reported = false, reason = 'timeout'`;

const NOTEBOOKS = { orgs: 1, orgs_complete: 1, orgs_with_gaps: 0, final: 64, stored: 1, complete_to: '2026-11-23' };
const DEVICES = { orgs: 4, orgs_complete: 1, orgs_with_gaps: 3 };

test.each<[situation: string, change: string, stream: string, expected: object]>([
  ['nothing has changed', 'select', 'notebook_minutes', NOTEBOOKS],
  [
    'a cell is waiting: its organization is not complete, and has no gap',
    setCell(`standing = 'waiting', ${NOT_STORED}`, ORGS.whole, 'notebook_minutes', '2026-11-23'),
    'notebook_minutes',
    { ...NOTEBOOKS, orgs_complete: 0, final: 63, complete_to: '2026-11-22' },
  ],
  [
    'every cell is final',
    `update losant_usage.coverage set standing = 'final', finalized_at = now() where stream = 'notebook_minutes'`,
    'notebook_minutes',
    { ...NOTEBOOKS, final: 65, stored: 0 },
  ],
  [
    'the first day is missing: it is complete to no day',
    setCell(`standing = 'missing', ${NOT_STORED}`, ORGS.whole, 'notebook_minutes', '2026-09-20'),
    'notebook_minutes',
    { ...NOTEBOOKS, orgs_complete: 0, orgs_with_gaps: 1, final: 63, complete_to: null },
  ],
  [
    'an organization that is no longer tracked has a gap',
    setCell(`standing = 'missing', ${NOT_STORED}`, ORGS.deleted, 'device_counts', '2026-11-01'),
    'device_counts',
    { ...DEVICES, orgs_with_gaps: 4 },
  ],
  [
    'a response was quarantined',
    setCell(`failed_reads = 1, reason = 'database_rejected'`, ORGS.whole, 'notebook_minutes', '2026-11-20'),
    'notebook_minutes',
    { quarantined: 1, failing: 0 },
  ],
])('%s', async (_, change, stream, expected) => {
  const columns = 'orgs, orgs_complete, orgs_with_gaps, final, stored, complete_to::text, quarantined, failing';
  const row = `select ${columns} from losant_usage.freshness where stream = '${stream}'`;
  expect(await rowsAfter([change], row)).toMatchObject([expected]);
});

test.each([
  ['2026-11-24T03:00:00.000Z', '2026-11-23', 0],
  ['2026-12-03T12:00:00.000Z', '2026-11-23', 0],
  ['2026-12-04T12:00:00.000Z', '-', 0],
  ['2026-12-18T03:00:00.000Z', '-', 1],
])('at %s the newest day that was read lately is %s, and %i gaps pass the horizon within a week', async (...row) => {
  const [now, newestDay, expiring] = row;
  await ledger.setTime(now);
  const newest = `select newest_read_day from losant_usage.freshness where stream = 'notebook_minutes'`;
  expect(await rows(newest)).toEqual([newestDay]);
  expect(await rows('select sum(gaps_expiring) from losant_usage.freshness')).toEqual([`${expiring}`]);
  await ledger.setTime(NOW);
});
