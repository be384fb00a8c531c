/** The payloads by hour on an organization's page. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ReadPage } from '../../src/console/sources.ts';
import { addTracking, useLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCells } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Pages, startPages } from './pages.ts';

const ledger = useLedger();
let pages: Pages;
let orgId = '';

/** Hours of 3 and 2 days ago: 10 payloads in each, and 500 from 17:00 UTC. */
beforeAll(async () => {
  orgId = await ledger.newOrg();
  await addTracking(ledger.db, orgId, { streams: ['payload_hours'], days: `{[${daysAgo(4)},)}` });
  await queryOnce(
    ledger.url,
    asProgram(`
      ${addCells(`values (date '${daysAgo(3)}', 'payload_hours', '${orgId}'), (date '${daysAgo(2)}', 'payload_hours', '${orgId}')`, 'final')}
      insert into losant_usage.payload_hours (usage_date, org_id, billable_counts, all_counts, all_bytes)
      select day::date, '${orgId}', counts, counts, counts
      from (values ('${daysAgo(3)}'), ('${daysAgo(2)}')) as d (day), (
        select array_agg(case when hour = 17 then 500 else 10 end::bigint order by hour) as counts
        from generate_series(0, 23) as hour) as c`),
  );
  const read: ReadPage = (query) => query(ledger.db);
  pages = await startPages({ sources: { read, now: () => Date.now() } });
});
afterAll(async () => {
  await pages[Symbol.asyncDispose]();
});

const page = async (query: string) =>
  await (await pages.get(`/organizations/${orgId}?days=30${query}`)).text();

/** What hovering over the places of a chart says. */
function saidOf(text: string, title: string): string[] {
  const chart = text.split('<figure').find((each) => each.includes(`<h3>${title}</h3>`)) ?? '';
  return [...chart.matchAll(/<title>(\d[^<]*)/g)].map(([, said = '']) => said);
}

test('shows the hours of the newest stored day, or of the day that is asked for', async () => {
  const newest = saidOf(await page(''), `Billable payloads by hour on ${daysAgo(2)}`);
  expect(newest).toHaveLength(24);
  expect(newest.slice(16, 18)).toEqual(['16:00: 10, final', '17:00: 500, final']);
  expect(await page('')).toContain(`730 on this day, most from 17:00: 500.`);
  const missing = saidOf(await page(`&hours=${daysAgo(4)}`), `Billable payloads by hour on ${daysAgo(4)}`);
  expect(missing[0]).toBe('00:00: missing');
});

test('shows the days of the time zone that is picked, and none of which an hour is missing as a number', async () => {
  const title = 'Billable payloads by the days of Asia/Tokyo';
  const days = saidOf(await page('&zone=Asia/Tokyo'), title);
  expect(days).toHaveLength(30);
  // Tokyo is nine hours ahead: the 17th hour belongs to its next day.
  expect(days.slice(-4)).toEqual([
    `${daysAgo(4)}: missing`,
    `${daysAgo(3)}: missing`,
    `${daysAgo(2)}: 730, final`,
    `${daysAgo(1)}: missing`,
  ]);
});

test('shows the mean of each hour of the week in that zone', async () => {
  const text = await page('&zone=Asia/Tokyo');
  const rows = [
    ...text
      .split('<div class="week">')[1]!
      .matchAll(/<tr><td[^>]*><span>(\d\d:00)<\/span><\/td>(.*?)<\/tr>/gs),
  ];
  const row = rows.find(([, hour]) => hour === '02:00')?.[2] ?? '';
  expect(row.match(/shade-5">500</g)).toHaveLength(2);
  expect(row.match(/–/g)).toHaveLength(5);
});

test('says why a time zone is refused, and shows UTC instead', async () => {
  const text = await page('&zone=Asia/Kolkata');
  expect(text).toContain('The time zone Asia/Kolkata is off UTC by a part of an hour');
  expect(text).toContain('Billable payloads by the days of UTC');
  expect(await page('&zone=Europe/Atlantis')).toContain(
    'Time zone &quot;Europe/Atlantis&quot; not recognized',
  );
  expect(await page(`&zone=${encodeURIComponent('<b>')}`)).not.toContain('<b>');
});

test('has each chart as a file', async () => {
  const csv = await (await pages.get(`/organizations/${orgId}?days=30&csv=hours&hours=${daysAgo(3)}`)).text();
  expect(csv).toContain(`Hour (UTC),org_id,org_name,Payloads,standing,left_out`);
  expect(csv).toContain(`17:00,${orgId},Acme,500,final,false`);
});

test('has nothing of it for an organization whose hours were never collected', async () => {
  const other = await ledger.newOrg();
  const text = await (await pages.get(`/organizations/${other}`)).text();
  expect(text).toContain('<h2>Usage by day</h2>');
  expect(text).not.toContain('by hour');
});
