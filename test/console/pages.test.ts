/** What each page shows, by the numbers of the world. The reader has all rights that pages need. */
import { describe, expect, it, test } from 'vitest';
import { PAGES } from '../../src/console/pages.ts';
import { CUSTOMER, HOSTILE_NAME, ORGS, openWorld, useWorld } from './world.ts';

const world = useWorld();
const OFFICE = `/organizations/${ORGS.office}`;
const STATEMENT = `/billing/2026-09/customer?key=${encodeURIComponent(CUSTOMER)}`;

const PATHS = [
  '/',
  '/usage',
  '/organizations',
  '/organizations?sort=-payload_billable_count&columns=all',
  `/organizations/${ORGS.hostile}`,
  '/billing',
  '/billing/2026-09',
  '/billing/2026-10',
  `/billing/2026-09/customer?key=${ORGS.hostile}`,
  '/coverage?stream=payload_totals',
  `/coverage/${ORGS.gappy}/2026-11-27`,
  '/gaps',
  '/reconciliation',
  '/changes',
  // Invalid parameters are ignored.
  '/organizations?sort=nothing&page=0&only=nothing&q=%00%25',
  '/changes?since=x&from=0000-01-01&to=9999-99-99&change=x',
  '/coverage?to=0001-01-01&page=999999999',
  `${OFFICE}?from=1000-01-01&to=9999-12-31&metric=x`,
];

test('every page is among these', () => {
  const isAmong = (path: string) => {
    const route = new RegExp(`^${path.replaceAll(/:\w+/g, '[^/?]+')}(\\?|$)`);
    return PATHS.some((each) => route.test(each));
  };
  expect(PAGES.map(({ path }) => path).filter((path) => !isAmong(path))).toEqual([]);
});

test.for(PATHS)('%s shows no foreign markup, control characters or styles, and no link called Open', async (path) => {
  const response = await world.open(path);
  expect(response.status).toBe(200);
  const page = await response.text();
  for (const text of ['<img', '<i>', '<script>alert', '\u0007', '\u202e', ' style=', '>Open<']) {
    expect(page).not.toContain(text);
  }
});

test.for([
  '/organizations/0a0000000000000000000099',
  '/organizations/x',
  '/coverage/x/2026-11-27',
  '/coverage/0a0000000000000000000099/2026-11-27',
  `/coverage/${ORGS.office}/2026-02-30`,
  '/billing/2026-13',
  // Has not begun.
  '/billing/2026-12',
  '/billing/2026-09/customer?key=nobody',
  '/billing/2026-09/customer?key=%00',
])('%s is not found', async (path) => {
  const response = await world.open(path);
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('Page not found');
});

const CELL = `/coverage/${ORGS.gappy}/2026-11-27`;
const GAP = `--from 2026-11-27 --to 2026-11-27 --org ${ORGS.gappy} --stream payload_totals`;

/** What a page shows, or the question that it answers. */
test.for<readonly [what: string, path: string, ...parts: (string | RegExp)[]]>([
  [
    'is yesterday complete?',
    '/',
    'Yesterday, Friday 27 November incomplete',
    '28 of 29 expected cells stored, 1 missi',
  ],
  ['who is missing, and why?', '/', /Missing on this day .* Gappy payload_totals ✕ missing server_error: HTTP 500 /],
  [
    'what needs attention?',
    '/',
    /Data missing Gappy 2 cells missing \(payload_totals\), oldest missing day 2026-10-10/,
  ],
  ['what do I run?', '/', 'losant-usage close --month 2026-08', 'losant-usage reconcile --from 2026-11-10 '],
  ['which months are to be billed?', '/', / Months to bill October 2026 blocked missing .* August 2026 ready /],
  ['does it agree with Losant?', '/', /Agreement with Losant 1 difference View 30 days of the last 30: \d+ equal/],
  ['what did the last run do?', '/', 'Last run partial 2026-11-28 00:15 UTC 38 cells loaded · server_error 2'],
  [
    'how much is not stored?',
    '/',
    /Billable payloads 92,570 \? 2 numbers are not stored .*Devices 70 Notebook minutes 955/,
  ],
  ['our total by day', '/usage', 'Tue, 10 Nov 2026 3,640 1 ', 'Wed, 11 Nov 2026 3,880 – ', 'Fri, 27 Nov 2026 2,530 1 '],
  ['the total of a month', '/usage?from=2026-10-01&to=2026-10-31', '96,280 on 31 stored days. 1 number is not stored'],
  ['a level is not added up', '/usage?metric=devices_total', ' 70 on 2026-11-27. '],
  [
    'the largest organizations',
    '/usage',
    /Largest organizations, November 2026 .* Doubled 24,500 26%.* Office 20,700 22%/,
  ],
  [
    'days without anybody',
    '/usage?from=2026-07-01&to=2026-07-02',
    'Nothing is stored.',
    'Wed, 1 Jul 2026 not expected',
  ],
  ['the month to date of each', '/organizations?q=Office', /1 row .* Office 20,700 135 10 96% 2026-11-29 gold /],
  ['who exceeds a limit?', '/organizations?only=exceeded', /1 row .*<img/],
  ['a search by ID', '/organizations?q=C-2', /1 row .*Doubled/],
  [
    'when a limit will be exceeded',
    OFFICE,
    /Expected to exceed on .* payload payloads 21,500 20,700 96% no 23,000 2026-/,
  ],
  ['the months of an organization', OFFICE, 'September 2026 22,800 22,300 +500 since 150 150 10 ● final'],
  ['payloads by type and source', OFFICE, /mqtt device 15,525 75% timer timer\.flow 5,175 25%/],
  [
    'the history of a number',
    OFFICE,
    /Last changes .* 2026-09-15 payload_billable_count 500 1,000 \+500 yes 2026-11-28/,
  ],
  [
    'a deleted organization',
    `/organizations/${ORGS.deleted}`,
    'Deleted deleted (noticed 2026-11-25)',
    '16,800 on 24 st',
  ],
  ['no gap before a creation', `/organizations/${ORGS.newcomer}`, '250 on 5 stored days. '],
  ['the states of months', '/billing', 'October 2026 blocked missing · 1 organization blocked 0 – – Review'],
  [
    'a closed month that changed',
    '/billing',
    /September 2026 needs adjustment 1 number of 1 organization changed since 1 /,
  ],
  ['a month in progress', '/billing', 'November 2026 in progress – 0 – – View'],
  [
    'what blocks October',
    '/billing/2026-10',
    /Blockers .* Gappy missing losant-usage backfill .* 1 2026-10-10 2026-10-10 payload_totals HTTP 500 /,
  ],
  ['what helps', '/billing/2026-10', `losant-usage backfill --org ${ORGS.gappy} --from 2026-10-10 --to 2026-10-10`],
  ['how to preview the closing', '/billing/2026-08', 'ready losant-usage close --month 2026-08 --dry-run', 'None.'],
  ['what would be billed now', '/billing/2026-10', /Totals now .* payload_billable_count 96,280 payloads 7 /],
  [
    'the statements of a month',
    '/billing/2026-09',
    /Statement 1, closing Created 2026-10-05 by clerk · 7 organizations/,
  ],
  ['why blockers were accepted', '/billing/2026-09', 'Blockers were accepted (1 blocker): agreed'],
  ['the totals of a statement', '/billing/2026-09', 'payload_billable_count 93,700 payloads 7'],
  ['what has to be adjusted', '/billing/2026-09', 'Office payload_billable_count 22,300 22,800 +500 payloads restated'],
  ['the customers of a month', '/billing/2026-09', `${CUSTOMER} Doubled, Office 2`],
  ['a customer by a name', '/billing/2026-09?q=silen', /^(?!.*Doubled, Office).*Silent Silent 1/],
  [
    'what a customer was billed',
    STATEMENT,
    / and 1 more, September 2026 /,
    /Total of the month .* Billable payloads 37,300 payloads /,
    /Billable payloads Office 22,300 p/,
  ],
  [
    'no organization in a statement of one',
    `/billing/2026-09/customer?key=${ORGS.silent}`,
    'Billable payloads 9,000 p',
  ],
  ['the gaps', '/gaps?standing=missing', /Gappy ✕ missing 2 server_error: HTTP 500 2026-11-27 2026-10-10 /],
  ['the gaps of a day', '/gaps?usage_date=2026-11-20', /1 row .*in doubt 1 omitted/],
  ['the comparison with Losant', '/reconciliation', '2026-11-10 devices_total Losant difference 70 71 -1 '],
  ['why a cell is missing', CELL, 'Gappy, 2026-11-27: ✕ missing', 'invalid_value total: not a number'],
  ['what reads it again', CELL, `losant-usage backfill ${GAP} --force`],
  ['why nothing was expected', `/coverage/${ORGS.gappy}/2020-01-01`, 'Outside the tracked days: since 2026-08-01'],
  ['what changed', '/changes', /1 row .*Office 2026-09-15 payload_billable_count 500 1,000 \+500 2026-11-28 00:16 UTC/],
  ['nothing changed since', '/changes?since=2026-11-29', ' 0 rows '],
  ['what was first loaded', '/changes?change=first_loaded&since=2026-11-27&metric=devices_total', ' 7 rows '],
])('%s: %s', async ([, path, ...parts]) => {
  const page = await world.text(path);
  for (const part of parts) expect(page).toMatch(part);
});

test('an empty database says so in each place, and shows no 0', async () => {
  const tables = ['instance_totals', 'coverage', 'usage_days', 'tracks', 'organizations', 'runs', 'instance'];
  await using empty = await openWorld(tables.map((table) => `delete from losant_usage.${table}`).join(';'));
  expect(await empty.text('/')).toMatch(
    /not read yet Nothing has been loaded yet .*Billable payloads Nothing is stored\./,
  );
  expect(await empty.text('/')).toMatch(/ not compared 0 days of the last 30: 0 equal .*Last run There was none\./);
  expect(await empty.text('/coverage')).toContain('Nothing has been loaded yet.');
  expect(await empty.text('/billing/2026-10')).toContain('Nothing is expected of this month.');
});

describe('a table', () => {
  const names = async (query: string) => {
    const page = await world.html(`/organizations?${query}`);
    return [...page.matchAll(/<td class="t?"><a href="[^"]*" title="(\w+), /g)].map(([, name]) => name).join(' ');
  };
  const countHeads = async (path: string) => (await world.html(path)).match(/<th scope="col"/g)?.length;

  it.for([
    ['sort=-payload_billable_count&q=e', 'Doubled Office Deleted Silent Newcomer'],
    ['sort=deleted_on&q=d', 'Deleted Doubled'],
    ['q=off', 'Office'],
    [`q=${ORGS.deleted}`, 'Deleted'],
  ] as const)('is filtered and sorted by the database, empty values last: %s', async ([query, expected]) => {
    expect(await names(query)).toBe(expected);
  });

  it('keeps its columns while it is filtered and searched', async () => {
    const page = await world.html('/organizations?columns=all&q=off');
    expect(page).toContain('name="q" type="search" value="off"');
    expect(page).toContain('href="/organizations?q=off&amp;only=exceeded&amp;columns=all"');
    expect(page).toContain('<input type="hidden" name="columns" value="all">');
  });

  it('has seven columns at first, all on request, and that by which it is sorted', async () => {
    expect(await countHeads('/organizations')).toBe(7);
    expect(await countHeads('/organizations?columns=all')).toBe(13);
    expect(await countHeads('/organizations?sort=created_on')).toBe(8);
  });

  it('has totals over all rows, and no more rows after the last page', async () => {
    expect(await world.text('/organizations')).toContain('Total 92,570 955');
    expect(await world.text('/organizations?page=3')).toMatch(/^(?!.*0 rows).*No more rows .*Previous ?Page 3/);
  });
});

test('an organization without a name is shown by its ID', async () => {
  await using nameless = await openWorld(`update losant_usage.organizations set name = ''`);
  expect(await nameless.html('/organizations')).toMatch(/<td class=""><a href="[^"]*" title=", (\w+)">\1</);
  expect(await nameless.text('/')).toContain(`Data missing ${ORGS.gappy} 2 cells missing`);
});

test('a hostile name is text without invisible characters', async () => {
  expect(await world.text(`/organizations/${ORGS.hostile}`)).toContain(`${HOSTILE_NAME.slice(0, -2)}\ufffd\ufffd`);
});

test('the map is shaded by the share of gaps of a day, the worst organization first, and links its gaps', async () => {
  const page = await world.html('/coverage');
  const title = 'title="2026-11-27: 1 of 29 missing or in doubt"';
  expect(page).toContain(`m-bad s-2"><a href="/gaps?usage_date=2026-11-27" tabindex=-1 ${title}`);
  const [first] = [...page.matchAll(/<th class="name" scope="row"><a\s+href="[^"]*">(\w+)</g)];
  expect(first?.[1]).toBe('Gappy');
  expect(await world.html('/coverage?stream=device_counts')).toContain(
    '/gaps?usage_date=2026-11-20&amp;stream=device_counts',
  );
  expect(await world.text('/coverage')).toMatch(/ Earlier (?!· Later)/);
  expect(await world.text('/coverage?to=2026-11-26')).toContain(' Earlier · Later ');
  expect(await world.text('/coverage?q=nobody')).toContain('No organization has this name or ID.');
});

test('a day of the chart that lacks a number is marked', async () => {
  const [, ...bars] = (await world.html('/')).matchAll(/<rect class="value (part)?/g);
  const partialDays = bars.flatMap(([, part], index) => (part === undefined ? [] : [index + 1]));
  // The 10th is waived without a number, and a number of yesterday is missing.
  expect(partialDays).toEqual([10, 27]);
});

test('changes are filtered by any metric', async () => {
  const metrics = await world.ask('select metric from losant_usage.metrics');
  const options = Array.from((await world.html('/changes')).matchAll(/metric=(\w+)"/g), ([, metric]) => metric);
  expect(new Set(options)).toEqual(new Set(metrics.map(({ metric }) => metric)));
});
