/**
 * Whatever reads tracks finds the one of a day: with two tracks where there was one, and the same cells, every view,
 * function and page is the same, and so is every query of the dashboards, because they read nothing else.
 */
import { beforeAll, expect, test } from 'vitest';
import { INSTANCE, ORGS, useWorld, type World } from '../console/world.ts';
import { asProgram } from '../support/by-hand.ts';
import { asWriter, queryOnce } from '../support/databases.ts';
import { loginAs } from '../support/roles.ts';

/** Ends each track on 14 September, and begins another one on the next day. */
const SPLIT = `
  with t as (
    delete from losant_usage.tracks where first_day <= '2026-09-14' and next_day > '2026-09-15' returning *
  )
  insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
  select org_id, stream, first_day, date '2026-09-15', date '2026-09-14' from t
  union all select org_id, stream, '2026-09-15', next_day, last_day from t`;

const whole = useWorld();
const split = useWorld();
beforeAll(async () => {
  const periods = `update losant_usage.organizations
    set current_period_start = '2026-09-10T00:00Z', current_period_end = '2026-10-10T00:00Z'`;
  for (const { url } of [whole, split]) await asWriter(url, asProgram(periods));
  await asWriter(split.url, asProgram(SPLIT));
});

const inBoth = async <T>(read: (world: World) => Promise<T>) => {
  return { before: await read(whole), after: await read(split) };
};
const query = (sql: string) => inBoth((world) => queryOnce(loginAs('reader', world.url), sql));

test('every view has the same rows', async () => {
  const { before: views } = await query(`select c.relname from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'losant_usage' and c.relkind = 'v' order by 1`);
  expect(views.length).toBeGreaterThan(20);
  for (const { relname } of views) {
    const { before, after } = await query(`select * from losant_usage.${String(relname)} as v order by v::text`);
    expect(after).toEqual(before);
    if (before.length === 0) throw new Error(`${String(relname)} has no rows`);
  }
});

test.each([
  `month_reconciliation('${INSTANCE}', '2026-09-01')`,
  `statement_draft('${INSTANCE}', '2026-09-01', false)`,
  `local_daily_usage('Europe/Berlin')`,
  `changes_since('2026-10-10T00:00Z')`,
  `usage_as_of('2026-10-10T00:00Z')`,
  `usage_compared('devices_total', '2026-09-01', '2026-09-30', 'same_weekdays')`,
])('%s has the same rows', async (call) => {
  const { before, after } = await query(`select * from losant_usage.${call} as f order by f::text`);
  expect(before.length).toBeGreaterThan(0);
  expect(after).toEqual(before);
});

test.each([
  '/',
  `/organizations/${ORGS.hourly}?tab=hours`,
  '/coverage?to=2026-09-20',
  '/coverage?to=2026-09-20&stream=payload_totals',
  `/coverage/${ORGS.gappy}/2026-09-14`,
  `/coverage/${ORGS.gappy}/2026-09-15`,
  '/billing/2026-09',
])('page %s is the same', async (path) => {
  const { before, after } = await inBoth((world) => world.text(path));
  expect(after).toEqual(before);
});
