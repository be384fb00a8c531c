/** A stream that a later migration adds is in every view, trigger and function, and none of them was touched. */
import { type RawBuilder, sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addTracking, type Ledger, openLedger, revisionsOf, rowsOf } from '../database/ledger.ts';
import { devices, load } from './loads.ts';

const MIGRATION = `
  alter table losant_usage.usage_days
    add column files_stored bigint check (files_stored between 0 and 9007199254740991),
    add column files_written bigint check (files_written between 0 and 9007199254740991);
  insert into losant_usage.streams (stream, missing_means, detail_table, position, description)
  values ('file_counts', 'absent', null, 5, 'Files. Source: Losant fileCounts.');
  insert into losant_usage.metrics (metric, stream, source_column, unit, kind, position, description) values
    ('files_stored', 'file_counts', 'stored', 'files', 'level', 13, 'Files at about the end of the day'),
    ('files_written', 'file_counts', 'written', 'files', 'flow', 14, 'Files written');
  do $$ begin perform losant_usage.build(); end $$`;

let ledger: Ledger;
let orgId: string;

const ask = (query: RawBuilder<unknown>) => rowsOf(ledger.db, query);

beforeAll(async () => {
  ledger = await openLedger('postgres');
  orgId = await ledger.newOrg();
  await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2026-10-01,2026-11-01)}' });
  await load(ledger, [devices(orgId, '2026-10-01', 4, 1, 17)]);
  for (const statement of MIGRATION.split(/;\n/)) await sql.raw(statement).execute(ledger.db);
  await addTracking(ledger.db, orgId, { streams: ['file_counts'], days: '{[2026-10-01,2026-10-04)}' });
  await sql`update losant_usage.usage_days set files_stored = 10, files_written = 3
    where org_id = ${orgId} and usage_date = '2026-10-01'`.execute(ledger.db);
  await sql`insert into losant_usage.usage_days (usage_date, org_id, files_stored, files_written)
    values ('2026-10-02', ${orgId}, 12, 2)`.execute(ledger.db);
});

afterAll(() => ledger.close());

describe('a fifth stream', () => {
  test('is in the daily views, and a tracked day without it counts as expected and not held', async () => {
    expect(
      await ask(sql`select usage_date, streams_expected, streams_held, devices_total, files_stored, files_written
        from losant_usage.daily_usage where org_id = ${orgId} and usage_date < '2026-10-05' order by usage_date`),
    ).toEqual([
      {
        usage_date: '2026-10-01',
        streams_expected: 2,
        streams_held: 2,
        devices_total: 17,
        files_stored: 10,
        files_written: 3,
      },
      {
        usage_date: '2026-10-02',
        streams_expected: 2,
        streams_held: 1,
        devices_total: null,
        files_stored: 12,
        files_written: 2,
      },
      {
        usage_date: '2026-10-03',
        streams_expected: 2,
        streams_held: 0,
        devices_total: null,
        files_stored: null,
        files_written: null,
      },
      {
        usage_date: '2026-10-04',
        streams_expected: 1,
        streams_held: 0,
        devices_total: null,
        files_stored: null,
        files_written: null,
      },
    ]);
    expect(
      await ask(sql`select usage_date, metric, unit, kind, quantity from losant_usage.daily_usage_long
        where org_id = ${orgId} and stream = 'file_counts' and usage_date >= '2026-10-02' order by usage_date, metric`),
    ).toEqual([
      { usage_date: '2026-10-02', metric: 'files_stored', unit: 'files', kind: 'level', quantity: 12 },
      { usage_date: '2026-10-02', metric: 'files_written', unit: 'files', kind: 'flow', quantity: 2 },
      { usage_date: '2026-10-03', metric: 'files_stored', unit: 'files', kind: 'level', quantity: null },
      { usage_date: '2026-10-03', metric: 'files_written', unit: 'files', kind: 'flow', quantity: null },
    ]);
  });

  test('is in the month: flows summed, of levels the last, the greatest and the average', async () => {
    expect(
      await ask(sql`select files_stored, files_stored_on, files_stored_max, files_stored_avg, files_written,
          days_expected, days_held from losant_usage.monthly_usage where org_id = ${orgId}`),
    ).toEqual([
      {
        files_stored: 12,
        files_stored_on: '2026-10-02',
        files_stored_max: 12,
        files_stored_avg: '11.00',
        files_written: 5,
        days_expected: 31,
        days_held: 1,
      },
    ]);
  });

  test('has a view in the words of the source', async () => {
    expect(
      await ask(sql`select usage_date, stored, written, revision from losant_usage.file_counts
        where org_id = ${orgId} order by usage_date`),
    ).toEqual([
      { usage_date: '2026-10-01', stored: 10, written: 3, revision: 1 },
      { usage_date: '2026-10-02', stored: 12, written: 2, revision: 1 },
    ]);
  });

  test('has its gaps', async () => {
    expect(
      await ask(sql`select usage_date, state from losant_usage.coverage_gaps
        where org_id = ${orgId} and stream = 'file_counts' and state = 'never_read' order by usage_date`),
    ).toEqual([{ usage_date: '2026-10-03', state: 'never_read' }]);
    expect(
      await ask(sql`select stream, orgs_tracked from losant_usage.freshness where stream = 'file_counts'`),
    ).toEqual([{ stream: 'file_counts', orgs_tracked: 0 }]);
  });

  test('goes on record when it changes, and is told as it was before', async () => {
    const [clock] = await ask(sql`select clock_timestamp()::text as now`);
    const { now } = clock as { now: string };
    await sql`update losant_usage.usage_days set files_written = 7
      where org_id = ${orgId} and usage_date = '2026-10-02'`.execute(ledger.db);
    expect((await revisionsOf(ledger.db, orgId)).at(-1)).toMatchObject({
      stream: 'file_counts',
      usage_date: '2026-10-02',
      revision: 2,
      old: { stored: 12, written: 2 },
      new: { stored: 12, written: 7 },
    });
    const then = sql`select files_written from losant_usage.usage_as_of(${now}::timestamptz)
      where org_id = ${orgId} and usage_date = '2026-10-02'`;
    expect(await ask(then)).toEqual([{ files_written: 2 }]);
    const since = sql`select metric, change, old_quantity, new_quantity
      from losant_usage.changes_since(${now}::timestamptz) where org_id = ${orgId}`;
    expect(await ask(since)).toEqual([
      { metric: 'files_written', change: 'restated', old_quantity: 2, new_quantity: 7 },
    ]);
  });

  test('leaves no column without a comment', async () => {
    const nameless = sql`
      select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v') and a.attnum > 0
        and not a.attisdropped and coalesce(col_description(c.oid, a.attnum), '') = ''`;
    expect(await ask(nameless)).toEqual([]);
  });

  test('does not disturb the loads of the others', async () => {
    await load(ledger, [devices(orgId, '2026-10-02', 1, 0, 18)]);
    expect(
      await ask(sql`select devices_total, files_stored, streams_held from losant_usage.daily_usage
        where org_id = ${orgId} and usage_date = '2026-10-02'`),
    ).toEqual([{ devices_total: 18, files_stored: 12, streams_held: 2 }]);
  });
});
