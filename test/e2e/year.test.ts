/**
 * A year that is billed: organizations come and go, numbers are restated before and after a month is closed,
 * a gap is waived and filled later. A leap year of the past, as the program's clock is the database's.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closePeriod } from '../../src/billing/close.ts';
import { createDatabase, type DatabaseHandle } from '../../src/database/open.ts';
import { type Export, openExport, orgIdsOf } from './export.ts';
import { readTruth } from './usage.ts';

const YEAR = ['--from', '2024-01-01', '--to', '2024-12-31'];
const MONTHS = Array.from({ length: 12 }, (_, index) => `2024-${String(index + 1).padStart(2, '0')}`);
/** The metrics that are sums, by stream, in the order in which the platform names their numbers. */
const FLOWS: Readonly<Record<string, readonly string[]>> = {
  device_counts: ['devices_created', 'devices_deleted'],
  notebook_minutes: [
    'notebook_minutes',
    'notebook_completed',
    'notebook_canceled',
    'notebook_errored',
    'notebook_timeout',
  ],
  payload_totals: ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'],
};

let exported: Export;
let handle: DatabaseHandle;
let folder: string;

beforeAll(async () => {
  exported = await openExport({ orgs: 2 });
  handle = await createDatabase({ url: exported.place.url, applicationName: 'year test', poolSize: 3 });
  folder = await mkdtemp(join(tmpdir(), 'year-'));
  // The platform keeps the detail of all these days, and the program asks for them.
  await exported.platform.control('config', { detailDays: 3650 });
});

afterAll(async () => {
  await handle.close();
  await exported.close();
  await rm(folder, { recursive: true });
});

const query = async (statement: string) => await exported.place.query(statement);
const backfill = async (...args: readonly string[]) =>
  await exported.run(['backfill', '--json', ...args], { HORIZON_DAYS: '3650' });

const readAgain = async (orgId: string, day: string) =>
  (await backfill('--org', orgId, '--from', day, '--to', day, '--force')).code;

async function closeMonth(month: string) {
  const instance = { instanceId: exported.platform.instanceId, name: null, source: 'calendar' } as const;
  const { signal } = new AbortController();
  const request = { reason: null, isAdjustment: false, isDryRun: false, newId: randomUUID, signal };
  return await closePeriod(handle, instance, { month, ...request });
}

/** The sum of every flow over the year by organization, `ORG METRIC`, of the days on which it was there. */
async function sumTruth(until: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const sums = new Map<string, bigint>();
  for (const line of await readTruth(exported.platform, '2024-01-01', '2024-12-31')) {
    const [stream = '', orgId = '', day = '', ...numbers] = line.split(' ');
    if (day > (until[orgId] ?? '9999')) continue;
    for (const [index, metric] of (FLOWS[stream] ?? []).entries()) {
      const key = `${orgId} ${metric}`;
      sums.set(key, (sums.get(key) ?? 0n) + BigInt(numbers[index] ?? '0'));
    }
  }
  return Object.fromEntries([...sums].map(([key, sum]) => [key, `${sum}`]));
}

async function sumStatements(): Promise<Record<string, string>> {
  const rows = await query(`select l.org_id || ' ' || l.metric as key, sum(l.quantity)::text as sum
    from losant_usage.statement_lines l
    where l.kind = 'flow' and l.metric <> 'payload_source_count' group by 1`);
  return Object.fromEntries(rows.map(({ key, sum }) => [String(key), String(sum)]));
}

test('every month of a leap year is closed, adjusted and verified, and comes to the truth', async () => {
  const { platform, run } = exported;
  const [first = '', second = ''] = await orgIdsOf(platform);
  await platform.control('orgs', { id: 'a'.repeat(24), creationDate: '2024-02-29T08:00:00Z', size: 0.5 });
  await platform.control('orgs', { id: 'b'.repeat(24), creationDate: '2024-05-10T23:59:59Z', size: 0.2 });
  await platform.control('omit', { orgId: first, day: '2024-07-10', action: 'deviceCounts' });
  // Left out after its last checkpoint, a level is unavailable: known to be missing, and no gap.
  expect((await backfill(...YEAR)).code).toBe(0);
  // Deleted in September, as far as this database knows; the program would say: now.
  await query(
    `update losant_usage.organizations set removed_at = '2024-09-15T10:00Z' where org_id = '${second}'`,
  );

  // Restated before its month is closed: read again, billed once.
  await platform.control('restate', { orgId: first, day: '2024-03-05' });
  expect(await readAgain(first, '2024-03-05')).toBe(0);

  for (const month of MONTHS) {
    const outcome = await closeMonth(month);
    expect([month, outcome.kind]).toEqual([month, month === '2024-07' ? 'refused' : 'closed']);
  }
  const waive = ['--org', first, '--day', '2024-07-10', '--stream', 'device_counts', '--reason', 'no count'];
  expect((await run(['waive', ...waive])).code).toBe(0);
  expect((await closeMonth('2024-07')).kind).toBe('closed');
  expect(await query('select * from losant_usage.adjustments')).toEqual([]);

  // After the closing: a restatement on the leap day, one in November, and the number that was waived.
  await platform.control('restate', { orgId: 'a'.repeat(24), day: '2024-02-29' });
  await platform.control('restate', { orgId: first, day: '2024-11-30' });
  await platform.control('omit', { orgId: first, day: '2024-07-10', action: 'deviceCounts', omit: false });
  expect(await readAgain('a'.repeat(24), '2024-02-29')).toBe(0);
  expect(await readAgain(first, '2024-07-10')).toBe(0);
  expect(await readAgain(first, '2024-11-30')).toBe(0);
  expect(
    await query(`select distinct to_char(period_month, 'YYYY-MM') as month, cause
      from losant_usage.adjustments order by 1`),
  ).toEqual([
    { month: '2024-02', cause: 'restated' },
    { month: '2024-07', cause: 'loaded_later' },
    { month: '2024-11', cause: 'restated' },
  ]);
  for (const month of ['2024-02', '2024-07', '2024-11']) {
    expect((await run(['close', '--period', month, '--adjust'])).code).toBe(0);
    const out = join(folder, month);
    expect((await run(['statement', '--period', month, '--out', out])).code).toBe(0);
    expect(await run(['verify', out])).toMatchObject({ code: 0, stderr: '' });
  }
  expect(await query('select * from losant_usage.adjustments')).toEqual([]);
  expect(await sumStatements()).toEqual(await sumTruth({ [second]: '2024-09-15' }));
});
