/** The sums of months and billing periods of a small ledger, and limits. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { ORGS, useWorldLedger } from './world.ts';

const { ledger, rows, rowsAfter } = useWorldLedger();

test('a month counts its days by standing, and tells whether it is ready', async () => {
  const months = `select right(org_id, 2), to_char(month, 'MM'), days_in_month, days_expected, days_stored, days_final,
      days_waived, days_unavailable, days_unreported, standing, has_ended, is_final, is_ready
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
});

test('a level is the last number, with its maximum and average', async () => {
  const devices = `select to_char(month, 'MM'), devices_total, devices_total_max, devices_total_avg, devices_created
    from losant_usage.monthly_usage where org_id = '${ORGS.whole}' order by 1`;
  expect(await rows(devices)).toEqual(['09 10 20 15.00 250', '10 9 39 24.00 496', '11 17 39 27.55 274']);
});

test('a month has the worst standing of each stream', async () => {
  const streams = await rows('select distinct stream from losant_usage.metrics order by 1');
  const byStream = `select right(org_id, 2), to_char(month, 'MM'),
      ${streams.flatMap((name) => [`${name}_standing`, `${name}_days_stored`]).join(', ')}
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

test('a billing period has a row per organization and metric', async () => {
  const periods = `select right(org_id, 2), period_start, period_end, days_in_period, quantity, unit, kind,
      days_expected, days_stored, standing, has_ended
    from losant_usage.billing_period_usage where metric = 'devices_total' order by 1`;
  expect(await rows(periods)).toEqual([
    'a1 2026-10-10 2026-11-09 31 31 devices level 31 30 waived true',
    'a2 2026-10-10 2026-11-09 31 31 devices level 26 26 final true',
    'a3 2026-10-10 2026-11-09 31 31 devices level 31 31 final true',
    'a4 2026-10-10 2026-11-09 31 31 devices level 13 13 final true',
    'a5 2026-10-10 2026-11-09 31 31 devices level 31 31 waived true',
  ]);
  const flows = `select metric, quantity, days_stored from losant_usage.billing_period_usage
    where org_id = '${ORGS.whole}' and metric in ('devices_created', 'payload_source_count') order by 1`;
  expect(await rows(flows)).toEqual(['devices_created 494 30', 'payload_source_count 3472 31']);
});

test.each([
  ['2026-10-12', '2026-10-20', 5, true],
  ['2026-11-05', '2026-12-05', 19, false],
  ['2026-11-01', '2026-11-24', 23, true],
  ['2026-11-01', '2026-11-25', 23, false],
])('a billing period from %s to %s has its own days', async (start, end, days_stored, has_ended) => {
  const setPeriod = `update losant_usage.organizations
    set current_period_start = '${start}T00:00Z', current_period_end = '${end}T00:00Z'
    where org_id = '${ORGS.newcomer}'`;
  const period = `select days_stored, has_ended from losant_usage.billing_period_usage
    where org_id = '${ORGS.newcomer}' and metric = 'devices_total'`;
  expect(await rowsAfter([setPeriod], period)).toEqual([{ days_stored, has_ended }]);
});

/** The 23 days of November have 1864 billable payloads on 21 stored days, and 17 devices at last. */
test.each([
  ['payload', 10_000, 'payload_billable_count 1864 0.1864 2663 0.2663 - false'],
  ['payload', 2_000, 'payload_billable_count 1864 0.9320 2663 1.3315 2026-11-24 false'],
  ['payload', 1_863, 'payload_billable_count 1864 1.0005 2663 1.4294 - true'],
  ['payload', 1_864, 'payload_billable_count 1864 1.0000 2663 1.4286 2026-11-24 false'],
  ['payload', 0, 'payload_billable_count 1864 - 2663 - - true'],
  ['payload', -1, 'payload_billable_count 1864 - 2663 - - false'],
  ['notebookMinutesPerMonth', -9.3e18, 'notebook_minutes 552 - 720 - - false'],
  ['device', 17, 'devices_total 17 1.0000 17 1.0000 - false'],
  ['device', 16, 'devices_total 17 1.0625 17 1.0625 - true'],
  ['unknown', 7, '- - - - - - -'],
])('a limit %s of %d: %s', async (name, limit, expected) => {
  const setLimits = `update losant_usage.organizations set limits = '${JSON.stringify({ [name]: limit, text: 'x' })}'
    where org_id = '${ORGS.whole}'`;
  const limits = `select concat_ws(' ', coalesce(metric, '-'), coalesce(quantity::text, '-'), coalesce(share::text, '-'),
      coalesce(projected_quantity::text, '-'), coalesce(projected_share::text, '-'), coalesce(exceeds_on::text, '-'),
      coalesce(is_exceeded::text, '-')) as line
    from losant_usage.usage_vs_limits where org_id = '${ORGS.whole}'`;
  expect(await rowsAfter([setLimits], limits)).toEqual([{ line: expected }]);
});

test('a limit of 0 is exceeded by 1, and not by 0', async () => {
  const setDevices = (devices: number) => [
    `update losant_usage.organizations set limits = '{"device": 0}' where org_id = '${ORGS.newcomer}'`,
    `update losant_usage.usage_days set devices_total = ${devices} where org_id = '${ORGS.newcomer}'`,
  ];
  const limits = `select is_exceeded from losant_usage.usage_vs_limits where org_id = '${ORGS.newcomer}'`;
  expect(await rowsAfter(setDevices(1), limits)).toEqual([{ is_exceeded: true }]);
  expect(await rowsAfter(setDevices(0), limits)).toEqual([{ is_exceeded: false }]);
});

test('each exceeded limit of an organization is an item of attention by itself', async () => {
  const setLimits = `update losant_usage.organizations set limits = '{"device": 1, "payload": 1}'
    where org_id = '${ORGS.whole}'`;
  const items = `select kind, count(*)::integer from losant_usage.attention
    where org_id = '${ORGS.whole}' and kind = 'limit_exceeded' group by kind`;
  expect(await rowsAfter([setLimits], items)).toEqual([{ kind: 'limit_exceeded', count: 2 }]);
});

test('one organization is read through its index, and a month through that of the month', async () => {
  const explain = (condition: string) =>
    ledger.explainIndexes(sql`select * from losant_usage.monthly_usage where ${sql.raw(condition)}`);
  expect(await explain("month = '2026-11-01'")).toContain('usage_days_month');
  expect(await explain(`org_id = '${ORGS.whole}'`)).toContain('usage_days_pkey');
});
