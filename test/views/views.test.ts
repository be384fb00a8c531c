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

const { ledger, rows, rowsAfter } = useWorldLedger();

// Guarantee (Missing numbers): Every expected cell has exactly one standing, the same in database and program.
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

// Guarantee (Missing numbers): The view coverage_gaps has exactly the cells that are in doubt, or late and not stored,
// or failed.
// Guarantee (Missing numbers): A number that is not stored is null, never 0, and every expected day has a row.
test.each(Object.entries(CONTRADICTIONS))('%s', async (_, contradictions) => {
  expect(await rows(contradictions)).toEqual([]);
});

// Guarantee (Missing numbers): The standing of a day, an organization or a month is that of its worst cell.
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

describe('a month', () => {
  test('counts its days by standing, and tells whether it is billable', async () => {
    const months = `select right(org_id, 2), to_char(month, 'MM'), days_in_month, days_expected, days_stored, days_final,
        days_waived, days_unavailable, days_unreported, standing, is_over, is_final, is_billable
      from losant_usage.monthly_usage order by 1, 2`;
    expect(await rows(months)).toEqual([
      'a1 09 30 11 10 10 0 0 0 missing true false false',
      'a1 10 31 31 30 29 0 1 0 in_doubt true false false',
      'a1 11 30 23 20 19 1 0 0 missing false false false',
      'a2 10 31 17 17 17 0 0 0 final true true true',
      'a2 11 30 23 23 22 0 0 1 in_doubt false false false',
      'a3 09 30 11 11 11 0 0 0 final true false false',
      'a3 10 31 31 31 31 0 0 0 final true true true',
      'a3 11 30 9 9 9 0 0 0 final false false false',
      'a4 10 31 4 4 4 0 0 0 final true true true',
      'a4 11 30 23 19 19 0 0 0 missing false false false',
      'a5 09 30 11 11 11 0 0 0 final true false false',
      'a5 10 31 31 31 30 1 0 1 waived true false true',
      'a5 11 30 23 23 23 0 0 0 final false false false',
    ]);
    const devices = `select to_char(month, 'MM'), devices_total, devices_total_max, devices_total_avg, devices_created
      from losant_usage.monthly_usage where org_id = '${ORGS.whole}' order by 1`;
    expect(await rows(devices)).toEqual(['09 10 20 15.00 250', '10 9 39 24.00 496', '11 17 39 27.55 274']);
    const streams = await rows('select distinct stream from losant_usage.metrics order by 1');
    const ofStreams = streams.flatMap((name) => [`${name}_standing`, `${name}_days_stored`]);
    const byStream = `select right(org_id, 2), to_char(month, 'MM'), ${ofStreams.join(', ')}
      from losant_usage.monthly_usage where month >= '2026-10-01' order by 1, 2`;
    expect(await rows(byStream)).toEqual([
      'a1 10 final 31 final 31 unavailable 30 in_doubt 31',
      'a1 11 waived 22 stored 23 final 23 missing 21',
      'a2 10 final 17 - 0 - 0 final 17',
      'a2 11 in_doubt 23 - 0 - 0 final 23',
      'a3 10 final 31 - 0 - 0 - 0',
      'a3 11 final 9 - 0 - 0 - 0',
      'a4 10 final 4 - 0 - 0 - 0',
      'a4 11 missing 19 - 0 - 0 - 0',
      'a5 10 waived 31 - 0 - 0 - 0',
      'a5 11 final 23 - 0 - 0 - 0',
    ]);
  });

  test('is compared with limits of any size', async () => {
    const limits = `select limit_name, metric, limit_quantity, quantity, share from losant_usage.usage_vs_limits
      where org_id = '${ORGS.whole}' order by 1`;
    expect(await rows(limits)).toEqual([
      'device devices_total 50 17 0.3400',
      'notebookMinutesPerMonth notebook_minutes -9300000000000000000 552 -',
      'payload payload_billable_count 10000 1864 0.1864',
      'unknown - 7 - -',
    ]);
  });
});

test('billing_period_usage covers the billing period of each organization', async () => {
  const periods = `select right(org_id, 2), period_start, period_end, days_in_period, days_expected, days_stored, standing,
      is_over, is_final, devices_total, devices_total_max
    from losant_usage.billing_period_usage order by 1`;
  expect(await rows(periods)).toEqual([
    'a1 2026-10-10 2026-11-09 31 31 30 waived true false 31 39',
    'a2 2026-10-10 2026-11-09 31 26 26 final true true 31 39',
    'a3 2026-10-10 2026-11-09 31 31 31 final true true 31 39',
    'a4 2026-10-10 2026-11-09 31 13 13 final true true 31 39',
    'a5 2026-10-10 2026-11-09 31 31 31 waived true false 31 39',
  ]);
});

test('a billing period has its own days, whatever others have', async () => {
  const setPeriod = (from: string, to: string) =>
    `update losant_usage.organizations set current_period_start = '${from}', current_period_end = '${to}'
     where org_id = '${ORGS.newcomer}'`;
  const days = `select days_stored from losant_usage.billing_period_usage order by org_id`;
  const others = [{ days_stored: 31 }, { days_stored: 13 }, { days_stored: 31 }];
  const changed = async (from: string, to: string) => await rowsAfter([setPeriod(from, to)], days);
  expect(await changed('2026-10-12T00:00Z', '2026-10-20T00:00Z')).toEqual([
    { days_stored: 30 },
    { days_stored: 5 },
    ...others,
  ]);
  expect(await changed('2026-11-05T00:00Z', '2026-12-05T00:00Z')).toEqual([
    { days_stored: 30 },
    { days_stored: 19 },
    ...others,
  ]);
});

test('a billing period is not final if a stream is not tracked on some of its days', async () => {
  const finalOrgs = `select right(org_id, 2) from losant_usage.billing_period_usage where is_final order by 1`;
  const setCreation = (day: string) =>
    ledger.asProgram(sql`update losant_usage.organizations set created_on = ${day} where org_id = ${ORGS.newcomer}`);
  await setCreation('2026-10-14');
  expect(await rows(finalOrgs)).toEqual(['a3', 'a4']);
  await setCreation('2026-10-15');
  expect(await rows(finalOrgs)).toEqual(['a2', 'a3', 'a4']);
  const earlierTrack = `insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
    values ('${ORGS.newcomer}', 'device_counts', '2026-08-01', '2026-08-11', '2026-08-10')`;
  expect(await rowsAfter([earlierTrack], `${finalOrgs} limit 1`)).toEqual([{ right: 'a2' }]);
});

test('a billing period is over after its last day', async () => {
  const states = `select is_over, is_final from losant_usage.billing_period_usage where org_id = '${ORGS.foreign}'`;
  const setEnd = (day: string) =>
    `update losant_usage.organizations set current_period_start = '2026-11-01T00:00Z',
       current_period_end = '${day}T00:00Z' where org_id = '${ORGS.foreign}'`;
  expect(await rowsAfter([setEnd('2026-11-24')], states)).toEqual([{ is_over: true, is_final: true }]);
  expect(await rowsAfter([setEnd('2026-11-25')], states)).toEqual([{ is_over: false, is_final: false }]);
});

test('a month has the worst standing of each stream', async () => {
  const worst = `select concat_ws(' ', device_counts_standing, notebook_minutes_standing, payload_sources_standing,
      payload_totals_standing) as standings
    from losant_usage.monthly_usage where org_id = '${ORGS.whole}' and month = '2026-10-01'`;
  const set = (day: string, standing: string) =>
    `update losant_usage.coverage set standing = '${standing}', reason = 'waived', is_stored = true,
       first_loaded_at = now(), revision = 1
     where org_id = '${ORGS.whole}' and stream <> 'payload_hours' and usage_date = '${day}'`;
  const changes = [set('2026-10-12', 'in_doubt'), set('2026-10-13', 'waived')];
  const standings = 'in_doubt in_doubt in_doubt in_doubt';
  expect(await rowsAfter(changes, worst)).toEqual([{ standings }]);
});

test('a billing period ends with its organization', async () => {
  const isFinal = `select is_final from losant_usage.billing_period_usage where org_id = '${ORGS.deleted}'`;
  const setDeletion = (day: string | null) =>
    `update losant_usage.organizations set deleted_on = ${day && `'${day}'`}, current_period_end = '2026-11-15T00:00Z'
     where org_id = '${ORGS.deleted}'`;
  // Its last day was tracked, or a later one was not.
  expect(await rowsAfter([setDeletion('2026-11-10')], isFinal)).toEqual([{ is_final: true }]);
  expect(await rowsAfter([setDeletion('2026-11-11')], isFinal)).toEqual([{ is_final: false }]);
});

test('a stream that begins or returns makes days of other streams wait until it is read', async () => {
  const orgId = ORGS.deleted;
  const days = sql.raw(`usage_date between '2026-10-01' and '2026-10-03' and org_id = '${orgId}'`);
  const standingsOfDays = `select distinct standing from losant_usage.daily_usage
    where org_id = '${orgId}' and usage_date between '2026-10-01' and '2026-10-03'`;
  expect(await rows(standingsOfDays)).toEqual(['final']);
  await ledger.asProgram(
    sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
      values (${orgId}, 'payload_totals', '2026-09-30', '2026-10-01', '2026-09-30')`,
    sql`update losant_usage.organizations set deleted_on = null where org_id = ${orgId}`,
  );
  await syncTracks(ledger.writer(), { streams: ['device_counts', 'payload_totals'], selection: [orgId] });
  expect(await rows(standingsOfDays)).toEqual(['missing']);
  await ledger.asProgram(
    sql`update losant_usage.coverage set standing = 'final', is_stored = true, revision = 1, first_loaded_at = now(),
      finalized_at = now(), last_read_at = now() where ${days}`,
  );
  expect(await rows(standingsOfDays)).toEqual(['final']);
  // A late waiting cell is missing, which is worse than unavailable.
  await ledger.asProgram(sql`update losant_usage.coverage set is_stored = false, reason = 'why',
    standing = (case stream when 'payload_totals' then 'unavailable' else 'waiting' end)::losant_usage.standing
    where ${days}`);
  expect(await rows(standingsOfDays)).toEqual(['missing']);
});

test('one organization is read through its index, and a month through that of the month', async () => {
  const explain = (source: string) => ledger.explainIndexes(sql`select * from ${sql.raw(source)}`);
  const isOrg = `org_id = '${ORGS.whole}'`;
  const months = 'losant_usage.monthly_usage';
  expect(await explain(`${months} where month = '2026-11-01'`)).toContain('usage_days_month');
  expect(await explain(`${months} where ${isOrg}`)).toContain('usage_days_pkey');
  const compared = "losant_usage.usage_compared('devices_total', '2026-11-01', '2026-11-07', 'previous_days')";
  expect(await explain(`${compared} where ${isOrg}`)).toContain(`Index Cond: (org_id = '${ORGS.whole}'`);
});
