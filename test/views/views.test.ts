/** The views on cells, days, hours and months of a small ledger, and invariants of any ledger. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { syncTracks } from '../../src/ledger/expected.ts';
import { addDays } from '../../src/usage/day.ts';
import { isLate } from '../../src/usage/policy.ts';
import { findWorstStanding, standings } from '../../src/usage/standing.ts';
import { getStream, streamNames } from '../../src/usage/streams/catalog.ts';
import { at } from '../ledger/ledger.ts';
import { queryOnce } from '../support/databases.ts';
import { CONTRADICTIONS, contradictionsOfLocalDays } from './contradictions.ts';
import { NOW, ORGS, useWorldLedger } from './world.ts';

const { ledger, rows } = useWorldLedger();

test('cells has every expected cell through yesterday with its current standing', async () => {
  const notFinal = `select right(org_id, 2), stream, to_char(usage_date, 'MM-DD'), standing, is_stored, is_reported
    from losant_usage.cells where standing <> 'final' or not is_reported order by 1, usage_date, stream`;
  expect(await rows(notFinal)).toEqual([
    'a1 device_counts 09-25 missing false false',
    'a1 payload_totals 10-05 in_doubt true true',
    'a1 payload_sources 10-06 unavailable false false',
    'a1 payload_hours 10-30 missing false false',
    'a1 device_counts 11-02 waived false false',
    'a1 payload_totals 11-20 missing false false',
    'a1 notebook_minutes 11-21 stored true true',
    'a1 payload_hours 11-22 unavailable true true',
    'a1 payload_totals 11-23 waiting false false',
    'a2 device_counts 11-23 in_doubt true false',
    'a4 device_counts 11-20 missing false false',
    'a4 payload_hours 11-20 missing false false',
    'a4 device_counts 11-21 missing false false',
    'a4 payload_hours 11-21 missing false false',
    'a4 device_counts 11-22 missing false false',
    'a4 payload_hours 11-22 missing false false',
    'a4 device_counts 11-23 waiting false false',
    'a4 payload_hours 11-23 waiting false false',
    'a5 device_counts 10-20 waived true true',
    'a5 device_counts 10-21 final true false',
  ]);
  const counts = `select right(org_id, 2), count(*), min(usage_date), max(usage_date)
    from losant_usage.cells group by org_id order by org_id`;
  expect(await rows(counts)).toEqual([
    'a1 291 2026-09-20 2026-11-23',
    'a2 80 2026-10-15 2026-11-23',
    'a3 51 2026-09-20 2026-11-09',
    'a4 54 2026-10-28 2026-11-23',
    'a5 65 2026-09-20 2026-11-23',
  ]);
});

test.each(Object.entries(CONTRADICTIONS))('%s', async (_, contradictions) => {
  expect(await rows(contradictions)).toEqual([]);
});

test('the standing of a day is that of its worst cell, in the database and in the program', async () => {
  expect(await rows('select unnest(enum_range(null::losant_usage.standing))')).toEqual(standings);
  const worst = await rows(`select a as one, b as other, greatest(a, b)
    from unnest(enum_range(null::losant_usage.standing)) a,
      unnest(enum_range(null::losant_usage.standing)) b`);
  const pairs = standings.flatMap((a) => standings.map((b) => `${a} ${b} ${findWorstStanding([a, b])}`));
  expect(worst.sort()).toEqual(pairs.sort());
});

test.each([
  ['2026-11-24T00:00:00.000Z', '2026-11-22'],
  ['2026-11-24T05:59:59.999Z', '2026-11-22'],
  ['2026-11-24T06:00:00.000Z', '2026-11-23'],
  ['2026-11-24T23:59:59.999Z', '2026-11-23'],
  ['2028-03-01T05:59:59.999Z', '2028-02-28'],
  ['2028-03-01T06:00:00.000Z', '2028-02-29'],
])('at %s the last day that is late is %s, in the database and in the program', async (now, lateDay) => {
  await ledger.setTime(now);
  const lateBefore = sql`select losant_usage_internal.late_before() - 1`;
  expect(await ledger.listAsWriter(lateBefore)).toEqual([lateDay]);
  expect([isLate(lateDay, at(now)), isLate(addDays(lateDay, 1), at(now))]).toEqual([true, false]);
  await ledger.setTime(NOW);
});

/** Selects the views with the columns whose comments do not mention null. The program relies on their having values. */
const COLUMNS_WITHOUT_NULLS = `
  select c.relname as view, array_agg(quote_ident(a.attname)) as columns
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'
    and col_description(c.oid, a.attnum) !~* 'null'
  group by c.relname`;

test('no view has a null that the comment of its column does not mention', async () => {
  for (const { view, columns } of await queryOnce(ledger.url, COLUMNS_WITHOUT_NULLS)) {
    const conditions = (columns as string[]).map((column) => `${column} is null`);
    const nulls = await rows(`select * from losant_usage.${String(view)} where ${conditions.join(' or ')}`);
    expect([view, nulls]).toEqual([view, []]);
  }
});

test('streams and metrics are the same in the program, the tables and the columns of usage_days', async () => {
  expect(await rows('select stream from losant_usage.streams order by position')).toEqual(streamNames);
  const isMetric = (column: string) => column !== 'payload_sources' && !column.startsWith('hours_');
  const metrics = streamNames.flatMap((stream) =>
    getStream(stream)
      .columns.filter(isMetric)
      .map((metric) => `${stream} ${metric}`),
  );
  expect((await rows('select stream, metric from losant_usage.metrics')).sort()).toEqual(metrics.sort());
  const columns = await rows(`select attname from pg_attribute
    where attrelid = 'losant_usage.usage_days'::regclass and attnum > 0 and not attisdropped`);
  const ofDays = 'usage_date month org_id standing is_waiting is_stored unreported_streams changed_at'.split(' ');
  const streamColumns = streamNames.flatMap((name) => getStream(name).columns);
  expect(columns.sort()).toEqual([...ofDays, ...streamColumns].sort());
});

test('world.ts has a number of every metric, so that these tests compare it in every view', async () => {
  const absent = `select metric from losant_usage.metrics m
    where not exists (select from losant_usage.daily_usage d where to_jsonb(d) ->> m.metric is not null)`;
  expect(await rows(absent)).toEqual([]);
});

test('organization_tags has a row for each tag, and counts the repetitions of a key', async () => {
  const tags = `select key, value, nth from losant_usage.organization_tags
    where org_id = '${ORGS.whole}' order by 1, 3`;
  expect(await rows(tags)).toEqual(['area north 1', 'tier gold 1', 'tier silver 2']);
});

describe('local_daily_usage', () => {
  test.each(['UTC', 'America/New_York', 'Pacific/Auckland', 'Europe/Berlin'])(
    'sums the UTC hours of a day in %s, and is null unless all are stored',
    async (zone) => expect(await rows(contradictionsOfLocalDays(zone))).toEqual([]),
  );

  test.each([
    ['Asia/Kolkata', 'differs from UTC by a fraction of an hour'],
    ['Australia/Lord_Howe', 'differs from UTC by a fraction of an hour'],
    ['Mars/Olympus', 'time zone'],
  ])('rejects %s', async (zone, message) => {
    await expect(rows(`select from losant_usage.local_daily_usage('${zone}')`)).rejects.toThrow(message);
  });
});

test('a stream that begins or returns makes days of other streams wait until it is read', async () => {
  const orgId = ORGS.deleted;
  const days = sql.raw(`usage_date between '2026-10-01' and '2026-10-03' and org_id = '${orgId}'`);
  const standingsOfDays = `select distinct standing from losant_usage.daily_usage
    where org_id = '${orgId}' and usage_date between '2026-10-01' and '2026-10-03'`;
  expect(await rows(standingsOfDays)).toEqual(['final']);
  await ledger.write(
    sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
      values (${orgId}, 'payload_totals', '2026-09-30', '2026-10-01', '2026-09-30')`,
    sql`update losant_usage.organizations set deleted_on = null where org_id = ${orgId}`,
  );
  await syncTracks(ledger.writer(), { streams: ['device_counts', 'payload_totals'], selection: [orgId] });
  expect(await rows(standingsOfDays)).toEqual(['missing']);
  await ledger.write(
    sql`update losant_usage.coverage set standing = 'final', is_stored = true, revision = 1, first_loaded_at = now(),
      finalized_at = now(), last_read_at = now() where ${days}`,
  );
  expect(await rows(standingsOfDays)).toEqual(['final']);
  // A late waiting cell is missing, which is worse than unavailable.
  await ledger.write(sql`update losant_usage.coverage set is_stored = false, reason = 'why',
    standing = (case stream when 'payload_totals' then 'unavailable' else 'waiting' end)::losant_usage.standing
    where ${days}`);
  expect(await rows(standingsOfDays)).toEqual(['missing']);
});
