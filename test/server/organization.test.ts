import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { renderMonthToDate } from '../../src/console/organization-charts.ts';
import type { ReadPage } from '../../src/console/sources.ts';
import type { LimitUse } from '../../src/queries/organization.ts';
import { addTracking, useLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCell } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Pages, startPages } from './pages.ts';

const ledger = useLedger();
let pages: Pages;
let orgId = '';

const LIMIT: LimitUse = {
  ...{ limitName: 'payload', from: '2026-11-01', to: '2026-11-30', source: 'calendar', daysExpected: 3 },
  ...{ daysStored: 2, metric: 'payload_billable_count', unit: 'payloads', limit: 1_000, quantity: 220 },
  ...{ share: 0.22, projected: 3_300, projectedShare: 3.3, crossesOn: null },
};
const NAME = '<b>Acme</b> & Sons';

beforeAll(async () => {
  orgId = await ledger.newOrg();
  await ledger.ask(sql`update losant_usage.organizations set name = ${NAME}, referral_id = 'ref-7', customer_id = 'cus_1',
    tags = '[{"key":"region","value":"<i>eu</i>"}]', is_read_only = true, disabled_at = now() - interval '1 day'
    where org_id = ${orgId}`);
  const streams = ['device_counts', 'notebook_minutes', 'payload_sources'];
  await addTracking(ledger.db, orgId, { streams, days: `{[${daysAgo(4)},)}` });
  const types = ['=a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  await queryOnce(
    ledger.url,
    asProgram(`
      insert into losant_usage.usage_days
        (usage_date, org_id, devices_created, devices_deleted, devices_total, notebook_minutes, notebook_completed,
          notebook_canceled, notebook_errored, notebook_timeout, payload_source_count)
        values ('${daysAgo(1)}', '${orgId}', 0, 0, 1200, 0, 0, 0, 0, 0, null),
          ('${daysAgo(2)}', '${orgId}', null, null, null, 7, 0, 0, 0, 0, 360),
          ('${daysAgo(4)}', '${orgId}', 0, 0, 1000, null, null, null, null, null, 0),
          ('${daysAgo(9)}', '${orgId}', 0, 0, 77, null, null, null, null, null, null);
      insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
        values ${types.map((type, place) => `('${daysAgo(2)}', '${orgId}', '${type}', 's', ${80 - place * 10})`).join(', ')};
      ${addCell({ day: daysAgo(1), stream: 'device_counts', orgId }, 'stored')}
      ${addCell({ day: daysAgo(1), stream: 'notebook_minutes', orgId }, 'stored', { isReported: false })}
      ${addCell({ day: daysAgo(2), stream: 'notebook_minutes', orgId }, 'final')}
      ${addCell({ day: daysAgo(2), stream: 'payload_sources', orgId }, 'final')}
      ${addCell({ day: daysAgo(4), stream: 'device_counts', orgId }, 'final')}
      ${addCell({ day: daysAgo(4), stream: 'payload_sources', orgId }, 'final')}`),
  );
  const read: ReadPage = (query) => query(ledger.db);
  pages = await startPages({ sources: { read, now: () => Date.now() } });
});
afterAll(async () => {
  await pages[Symbol.asyncDispose]();
});

const page = async (query = '') => await (await pages.get(`/organizations/${orgId}${query}`)).text();

/** What hovering over the days of a chart says, the newest day first. */
async function daysOf(title: string): Promise<string[]> {
  const chart = (await page('?days=30')).split('<figure').find((text) => text.includes(`<h3>${title}</h3>`));
  return [...(chart ?? '').matchAll(/<title>(\d[^<]*)/g)].map(([, said = '']) => said).reverse();
}

test('shows who it is, what is unusual of it, and every text as text', async () => {
  const text = await page();
  expect(text).toContain('<h1>&lt;b&gt;Acme&lt;/b&gt; &amp; Sons</h1>');
  expect(text).toContain('<span class="tag">region: &lt;i&gt;eu&lt;/i&gt;</span>');
  expect(text).toContain('<dt>Referral id</dt><dd>ref-7</dd>');
  expect(text).toContain('<strong>Disabled in Losant</strong>');
  expect(text).toContain('<strong>Read-only in Losant</strong>');
  expect(text).not.toContain('Deleted in Losant');
  expect(text).not.toMatch(/<b>|<i>|style=/);
});

test('shows of each day its standing, and whether it is zero because Losant left it out', async () => {
  expect((await daysOf('Devices')).slice(0, 5)).toEqual([
    `${daysAgo(1)}: 1,200, stored`,
    `${daysAgo(2)}: missing`,
    `${daysAgo(3)}: missing`,
    `${daysAgo(4)}: 1,000, final`,
    `${daysAgo(5)}: not tracked`,
  ]);
  expect((await daysOf('Devices'))[8]).toBe(`${daysAgo(9)}: not tracked`);
  expect((await daysOf('Notebook minutes')).slice(0, 2)).toEqual([
    `${daysAgo(1)}: 0, stored, left out by Losant`,
    `${daysAgo(2)}: 7, final`,
  ]);
  expect(await page()).toContain(`1,200 devices on ${daysAgo(1)}, 200 more than on ${daysAgo(4)}.`);
  expect(await page()).toContain('360 on 2 days, 180 a day on average; 2 tracked days are not stored.');
});

test('stacks the six types with most payloads, and the others together', async () => {
  expect((await daysOf('All payloads by type'))[1]).toBe(
    `${daysAgo(2)}: =a 80, b 70, c 60, d 50, e 40, f 30, other types 30, final`,
  );
  expect((await daysOf('All payloads by type'))[3]).toBe(
    `${daysAgo(4)}: =a 0, b 0, c 0, d 0, e 0, f 0, other types 0, final`,
  );
});

test('the table of a chart is a file too, in which no name is a formula', async () => {
  const response = await pages.get(`/organizations/${orgId}?days=30&csv=payloads`);
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(response.headers.get('content-disposition')).toBe(
    `attachment; filename="${orgId}-payloads-${daysAgo(30)}-${daysAgo(1)}.csv"`,
  );
  const lines = (await response.text()).split('\r\n');
  expect(lines).toHaveLength(32);
  expect(lines[0]).toBe("usage_date,org_id,org_name,'=a,b,c,d,e,f,other types,standing,left_out");
  expect(lines[29]).toBe(`${daysAgo(2)},${orgId},${NAME},80,70,60,50,40,30,30,final,false`);
  // Never read: late from some hour of the day on.
  const yesterday = `${daysAgo(1)},${orgId},${NAME},,,,,,,,`;
  expect([`${yesterday}waiting,false`, `${yesterday}missing,false`]).toContain(lines[30]);
});

test('shows 90 days unless 30 or 365 are asked for', async () => {
  const days = async (query: string) => (await page(query)).match(/class="day"/g)?.length;
  expect(await days('')).toBe(5 * 90);
  expect(await days('?days=30')).toBe(5 * 30);
  expect(await days('?days=365')).toBe(5 * 365);
  expect(await days('?days=5000')).toBe(5 * 90);
});

test.for(['5d0000000000000000000999', 'ACME', '%3Cb%3E'])(
  'of %s, which is not known, it says where to look',
  async (id) => {
    const response = await pages.get(`/organizations/${id}`);
    expect(response.status).toBe(404);
    const text = await response.text();
    expect(text).toContain('was ever seen here.</h1>');
    expect(text).toContain('<a href="/organizations">Search the organizations</a>');
    expect(text).not.toContain('<b>');
  },
);

test('says that the database does not answer, with 503', async () => {
  await using away = await startPages();
  const response = await away.get(`/organizations/${orgId}`);
  expect(response.status).toBe(503);
  expect(await response.text()).toContain('The database does not answer in time.');
});

test('begins with the billable payloads of the month, beside the month before and the day on which the limit is passed', async () => {
  const month = await renderMonthToDate({
    orgId: '5d0000000000000000000001',
    to: '2026-11-03',
    payloads: [...Array.from({ length: 31 }, () => 50), 100, null, 120],
    limit: { ...LIMIT, crossesOn: '2026-11-20' },
  });
  const text = month.toString();
  expect(text.replaceAll(/<[^>]*>/g, '').replaceAll(/\s+/g, ' ')).toContain(
    '220 up to 2026-11-03, +70 (+47 %) against the same days of the month before. At this rate the limit of 1,000 is passed on 2026-11-20.',
  );
  expect([...text.matchAll(/<title>(\d[^<]*)/g)].map(([, said]) => said)).toEqual([
    '2026-11-01: 100',
    '2026-11-02: not stored',
    '2026-11-03: 120',
  ]);
  expect(text).toContain('<a href="/coverage/5d0000000000000000000001/2026-11-02/payload_totals"');
  // The middle of the 20th of 30 days.
  expect(text).toContain('<line class="limit" x1="507" x2="507"');
  expect(text).toContain('<path class="faint"');
});

test('lists what is missing with its reason and a command, and sources with their share', async () => {
  const text = (await page()).replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
  expect(text).toContain(
    `✕ missing device_counts 2, ${daysAgo(3)} to ${daysAgo(2)} never_read : it was never read. Read again by itself`,
  );
  expect(text).toContain(
    `losant-usage backfill --org ${orgId} --stream device_counts --from ${daysAgo(3)} --to ${daysAgo(2)}`,
  );
  expect(text).toContain('=a s 80 22 %');
  expect(text).toContain('No number has changed after its first load.');
});
