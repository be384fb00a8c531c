import { describe, expect, it, test } from 'vitest';
import { PAGES } from '../../src/console/pages.ts';
import { STYLE } from '../../src/console/style.ts';
import { FOREIGN, HOSTILE_NAME, INSTANCE, ORGS, openWorld, useWorld } from './world.ts';

const world = useWorld();

const PATHS = [
  '/',
  '/organizations',
  '/organizations?sort=-change_ratio&only=not_deleted',
  `/organizations/${ORGS.hostile}`,
  `/organizations/${ORGS.hourly}?tab=hours`,
  '/usage',
  '/usage?show=sources',
  '/usage?show=plans',
  `/organizations/${ORGS.hostile}?with=Office`,
  '/attention',
  '/billed',
  '/reconciliation',
  '/gaps?standing=failing',
  '/coverage',
  '/coverage?stream=payload_totals',
  `/coverage/${ORGS.gappy}/2026-11-27`,
  '/gaps',
  '/quarantine',
  '/billing',
  '/billing/2026-09',
  '/billing/2026-09/customers',
  `/billing/2026-09/customer?instance=${INSTANCE}&org=${ORGS.hostile}`,
  '/billing/2026-09/days',
  '/billing/2026-10',
  '/changes',
  '/runs',
  // Invalid parameters are ignored.
  '/organizations?sort=nothing&page=0&only=nothing&q=%00%25',
  '/changes?from=0000-01-01&to=9999-99-99&run=x',
  '/coverage?to=0001-01-01&page=999999999',
  `/organizations/${ORGS.office}?from=1000-01-01&to=9999-12-31&metric=x&vs=x`,
  `/organizations/${ORGS.hourly}?tab=hours&zone=Nowhere`,
  `/organizations/${ORGS.hourly}?tab=hours&zone=%00`,
];

test('every page but the search, which only redirects, is among these', () => {
  const isAmong = (path: string) => {
    const route = new RegExp(`^${path.replaceAll(/:\w+/g, '[^/?]+')}(\\?|$)`);
    return PATHS.some((each) => route.test(each));
  };
  expect(PAGES.map(({ path }) => path).filter((path) => !isAmong(path))).toEqual(['/find']);
});

test.for(PATHS)(
  '%s shows no foreign markup, control characters or styles, and no instance that is not in the settings',
  async (path) => {
    const response = await world.open(path);
    expect(response.status).toBe(200);
    const page = await response.text();
    for (const text of ['<img', '<i>', '<script>alert', '\u0007', '\u202e', ' style=', 'Foreign']) {
      expect(page).not.toContain(text);
    }
  },
);

test.for([
  '/organizations/0a0000000000000000000099',
  '/organizations/0a0000000000000000000009',
  '/organizations/x',
  '/coverage/x/2026-11-27',
  '/coverage/0a0000000000000000000099/2026-11-27',
  '/coverage/0a0000000000000000000009/2026-11-27',
  `/coverage/${ORGS.office}/2026-02-30`,
  '/billing/2026-13',
  // Has not begun.
  '/billing/2026-12',
  '/billing/2026-12/customers',
  '/billing/2026-12/days',
])('%s is not found', async (path) => {
  const response = await world.open(path);
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('Page not found');
});

test('an empty list says why it is empty', async () => {
  const unknown = world.serve({ instanceIds: ['5c0000000000000000000099'] });
  expect(await unknown.text('/billing')).toContain('Nothing has been loaded yet.');
  const home = await unknown.text('/');
  expect(home).toMatch(/Billable payloads Nothing is stored\. .* Devices Nothing is stored\. /);
  expect(home).toContain(' Billing Nothing has been loaded yet. ');
  expect(await world.text(`/organizations/${ORGS.hourly}?tab=hours&to=2026-07-31`)).toContain('Nothing is stored.');
  expect(await unknown.text('/coverage')).toContain('Nothing has been loaded yet.');
  for (const path of ['/organizations', '/gaps', '/quarantine', '/reconciliation', '/changes', '/attention']) {
    expect(await unknown.text(path)).toContain(' Not known yet: nothing has been read · ');
  }
  expect(await world.text('/gaps?usage_date=2026-01-01')).toContain(' 0 rows · ');
  expect(await world.text('/coverage?q=nobody')).toContain('No organization has this name or ID.');
  expect(await world.text('/coverage')).not.toContain('No organization has this name or ID.');
  const tables = ['coverage', 'usage_days', 'tracks'];
  const deletions = tables.map((table) => `delete from losant_usage.${table} where org_id = '${ORGS.newcomer}'`);
  await using other = await openWorld(deletions.join(';'));
  expect(await other.text(`/organizations/${ORGS.newcomer}`)).toMatch(/ Months Nothing is stored\. $/);
});

describe('a table', () => {
  const names = async (path: string) => {
    const page = await world.html(path);
    return [...page.matchAll(/<td class="t?"><a href="[^"]*" title="(\w+), /g)].map(([, name]) => name);
  };

  it.for([
    ['sort=-payload_billable_count&plan_id=gold', 'Doubled Office Deleted Gappy Silent Newcomer'],
    ['sort=payload_billable_count&plan_id=gold', 'Newcomer Silent Gappy Deleted Office Doubled'],
    ['sort=deleted_on&plan_id=gold', 'Deleted Doubled Gappy Newcomer Office Silent'],
    ['q=off', 'Office'],
    ['q=C-2', 'Doubled'],
    [`q=${ORGS.deleted}`, 'Deleted'],
    ['tag=region%3Deu', 'Office'],
  ] as const)('is filtered and sorted by the database, empty values last: %s', async ([query, expected]) => {
    expect((await names(`/organizations?${query}`)).join(' ')).toBe(expected);
  });

  it.for([
    ['the search text in its field', 'q=off', 'name="q" type="search" value="off"'],
    ['its columns while it is filtered', 'columns=all', 'href="/organizations?only=no_plan&amp;columns=all"'],
    ['its columns while it is searched', 'columns=all', '<input type="hidden" name="columns" value="all">'],
  ])('keeps %s', async ([, query, expected]) => {
    expect(await world.html(`/organizations?${query}`)).toContain(expected);
  });

  it('shows the ID of an organization without a name, and leads to it', async () => {
    await using nameless = await openWorld(`update losant_usage.organizations set name = ''`);
    expect(await nameless.html('/organizations')).toMatch(/<td class=""><a href="[^"]*" title=", (\w+)">\1</);
    const otherItems = await nameless.ask(`select kind, text from losant_usage.attention_items
      where kind::text not like 'month%' and text not like left(subject, 24) || ' (%'`);
    expect(otherItems).toEqual([]);
    expect(await nameless.text('/billing')).toContain(`blocked 6 of 7 ready; ${ORGS.gappy}: 10 Oct missing`);
    expect(await nameless.text('/runs')).toContain(`server_error of payload_totals, such as ${ORGS.gappy}: `);
  });

  it('can be downloaded as a CSV file, with the same columns if it is empty', async () => {
    const response = await world.open('/organizations?format=csv&q=Silent');
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="organizations.csv"');
    const [head, row] = (await response.text()).split('\r\n');
    expect(head).toContain('org_id,instance_name,org_name,referral_id,plan_id,tags');
    expect(row).toContain(`${ORGS.silent},Main,Silent,C-3,gold,`);
    const empty = await (await world.open('/organizations?format=csv&q=nobody')).text();
    expect(empty).toBe(`${head}\r\n`);
    const customers = await (await world.open('/billing/2026-09/customers?format=csv&q=C-1')).text();
    expect(customers).toMatch(/,billed_before,quantity,total,instance_name\r\n.*,Office,/);
  });
});

it('filters changes by any metric', async () => {
  const metrics = await world.ask('select metric from losant_usage.metrics');
  const page = await world.html('/changes');
  const options = Array.from(page.matchAll(/\?metric=(\w+)"/g), ([, metric]) => metric);
  expect(new Set(options)).toEqual(new Set(metrics.map(({ metric }) => metric)));
});

test('a change is after the closing that billed the organization, also once another instance has it', async () => {
  const move = `update losant_usage.organizations set instance_id = '${INSTANCE}' where org_id = '${FOREIGN}'`;
  await using transferred = await openWorld(move);
  const closedOn = (days: string) => transferred.text(`/changes?which=closed&${days}`);
  expect(await closedOn('from=2026-10-05&to=2026-10-05')).toContain('2026-10-05 payload_billable_count 238 240 +2');
  for (const days of ['from=2026-10-06', 'to=2026-10-04']) expect(await closedOn(days)).not.toContain('2026-10-05 ');
});

test('a change after the closing need not be one of a final number', async () => {
  await using changed = await openWorld(`insert into losant_usage.revisions
      (org_id, stream, usage_date, revision, old, new, was_final, run_id, changed_at)
    values ('${ORGS.doubled}', 'device_counts', '2026-09-16', 2, '{"devices_created": 1}', '{"devices_created": 2}',
      false, gen_random_uuid(), '2026-11-28T00:16Z')`);
  expect(await changed.text('/changes?which=closed')).toMatch(/ 2 rows .*Doubled 2026-09-16 /);
  expect(await changed.text('/changes?which=final')).toMatch(/ 1 row .*Office 2026-09-15 /);
});

test('an organization that was deleted today was expected yesterday', async () => {
  const end = `update losant_usage.tracks set last_day = '2026-11-27' where org_id = '${ORGS.gappy}' and last_day is null`;
  await using deleted = await openWorld(end);
  expect(await deleted.text('/')).toContain('28 of 29 expected cells stored, 1 missing');
});

describe('the columns of a table', () => {
  const countHeads = async (path: string) => (await world.html(path)).match(/<th scope="col"/g)?.length;

  it('are six at first, all on request, and those that are sorted by', async () => {
    expect(await countHeads('/organizations')).toBe(6);
    expect(await countHeads('/organizations?columns=all')).toBe(13);
    expect(await countHeads('/organizations?sort=created_on')).toBe(7);
    expect(await countHeads('/billing/2026-09/customers')).toBe(6);
  });

  it('have their total over all rows in the last line', async () => {
    expect(await world.text('/organizations')).toContain('Total 92,570 70');
    await expect.poll(() => world.text('/billing/2026-10')).toContain('Total 96,280 ');
    expect(await world.text('/billing/2026-10?only=not_ready')).not.toContain('Total');
  });
});

describe('an organization', () => {
  const newcomer = '250 over 5 stored days. +250 compared with the same weekdays before: 250 and 0 over 5 days';
  const deleted = '16,800 over 24 stored days. -11% compared with the same weekdays before';
  // 10 October is missing, so the day 28 days later is not compared either.
  const gappy = '10,400 over 26 stored days. 0% compared with the same weekdays before: 10,000 and 10,000 over 25 days';

  it.for([
    ['has no gap before its creation', ORGS.newcomer, newcomer],
    ['has no gap after its deletion', ORGS.deleted, deleted],
    ['is compared over the days that are stored on both sides', ORGS.gappy, gappy],
    ['shows how many days are not stored', ORGS.gappy, '1 day is not stored and not included.'],
    ['shows billed and current quantities side by side', ORGS.office, 'September 2026 22,800 22,300 ≠'],
    ['shows the hours of its week', `${ORGS.hourly}?tab=hours`, '08:00 24 24 24 24 24 24 24'],
    ['shows its hours in UTC without a valid zone', `${ORGS.hourly}?tab=hours&zone=X`, 'in UTC (X is not a time zone)'],
    ['shows its name without invisible characters', ORGS.hostile, `${HOSTILE_NAME.slice(0, -2)}\ufffd\ufffd`],
  ] as const)('%s', async ([title, path, expected]) => {
    const page = await world.text(`/organizations/${path}`);
    expect(page).toContain(expected);
    if (title.startsWith('has no gap')) expect(page).not.toContain('not stored:');
  });

  it('shades the hours by their share of the maximum', async () => {
    expect(await world.html(`/organizations/${ORGS.hourly}?tab=hours`)).toContain('class="shade-5">24<');
    expect(STYLE).toContain('.shade-5) {');
  });
});

test('the map is shaded by the share of gaps of a day, the worst organization first', async () => {
  const page = await world.html('/coverage');
  const title = 'title="2026-11-27: 1 of 29 missing or in doubt"';
  expect(page).toContain(`m-bad s-2"><a href="/gaps?usage_date=2026-11-27" tabindex=-1 ${title}`);
  const [first] = [...page.matchAll(/<th class="name" scope="row"><a\s+href="[^"]*">(\w+)</g)];
  expect(first?.[1]).toBe('Gappy');
});

test('a day of the map of a stream opens the gaps of that stream', async () => {
  const page = await world.html('/coverage?stream=device_counts');
  const [, address = ''] = /href="(\/gaps\?[^"]*)" tabindex=-1 title="2026-11-20: 1 of \d /.exec(page) ?? [];
  expect(address).toBe('/gaps?usage_date=2026-11-20&amp;stream=device_counts');
});

test('the gaps can be downloaded in any order of their page', async () => {
  const head = 'org_id,org_name,usage_date,stream,standing,cause,next_read_at';
  for (const search of ['', '&q=nobody']) {
    const response = await world.open(`/gaps?sort=-cells&format=csv${search}`);
    expect([response.status, (await response.text()).split('\r\n')[0]]).toEqual([200, head]);
  }
});

const CELL = `/coverage/${ORGS.gappy}/2026-11-27`;
const GAP = `--from 2026-11-27 --to 2026-11-27 --org ${ORGS.gappy} --stream payload_totals`;
const BLOCKED = '6 of 7 ready; Gappy: 10 Oct missing';
const WAIVE = `losant-usage waive --org ${ORGS.gappy} --day 2026-10-10..2026-10-10 --stream payload_totals --reason TEXT`;

/** What a page shows, or the question that it answers. */
test.for<readonly [what: string, path: string, ...parts: (string | RegExp)[]]>([
  ['the map of days leads to earlier days', '/coverage', / Earlier (?!· Later)/],
  ['the map of days leads to later days if there are any', '/coverage?to=2026-11-26', ' Earlier · Later '],
  [
    'a page after the last one has no more rows',
    '/organizations?page=3',
    /^(?!.*0 rows).*No more rows .*Previous ?Page 3/,
  ],
  ['is yesterday complete?', '/', 'Yesterday, Friday 27 November incomplete'],
  ['how much is stored?', '/', '28 of 29 expected cells stored, 1 missing'],
  ['who has gaps?', '/', 'Data missing Gappy payload_totals since 2026-10-10'],
  [
    'why do they have gaps?',
    '/gaps?standing=missing',
    /Gappy ✕ missing 2 server_error: HTTP 500 \(payload_totals\) .* 2026-10-10/,
  ],
  ['what needs attention first?', '/', /Needs attention just now Data missing Gappy/],
  ['what needs attention next?', '/', /Needs attention .*Large change this month Doubled \+81%/],
  [
    'why is nothing expected today?',
    `/coverage/${ORGS.gappy}/2026-11-28`,
    /Not expected on this day: device_counts, .*\. The day has not ended yet \(UTC\); it will be read afterward\./,
  ],
  [
    'why was nothing expected then?',
    `/coverage/${ORGS.gappy}/2020-01-01`,
    /payload_totals\. Outside the tracked days: since 2026-08-01; .* payload_hours\. Never tracked; /,
  ],
  ['who will exceed a limit?', '/', 'About to exceed a limit Office payload on 2026-11-30'],
  [
    'when will it exceed the limit?',
    `/organizations/${ORGS.office}`,
    'payload payloads 21,500 20,700 96% 21,900 2026-11-30',
  ],
  ['who is silent?', '/organizations?only=silent', /1 row .*Silent.* 2026-11-24 /],
  ['whose usage changed?', '/organizations?only=changed', /3 rows .*Deleted.*Doubled.* \+81% .*Newcomer/],
  ['who has no plan?', '/organizations?only=no_plan', /1 row .*Hourly/],
  ['who has no limit?', '/organizations?only=no_limit', /1 row .*Hourly/],
  ['what is blocked?', '/', `Month blocked October 2026 ${BLOCKED}; 12,000 billable payloads on hold Review`],
  ['why is October blocked?', '/billing', `October 2026 blocked ${BLOCKED} 12,000 – – Review`],
  ['how much usage is affected?', '/billing/2026-10', `blocked ${BLOCKED} · 12,000 billable payloads on hold`],
  [
    'who blocks it, and what helps?',
    '/billing/2026-10?only=not_ready',
    /1 row .* Gappy 12,000 1 day missing \(payload_totals\) 2026-10-10 HTTP 500/,
    `losant-usage backfill --org ${ORGS.gappy} --from 2026-10-10 --to 2026-10-10 what remains is read again by `,
    `by 2026-11-28 13:00 UTC to accept what remains: ${WAIVE}`,
  ],
  ['how is this cell?', CELL, 'Gappy, 2026-11-27: ✕ missing', 'invalid_value total: not a number'],
  ['why is it missing?', CELL, /payload_totals: ✕ missing Not stored, and either late.*server_error: HTTP 500/],
  ['what reads it again?', CELL, `losant-usage backfill ${GAP} --force`],
  ['what changed since the month was closed?', '/', 'Month needs an adjustment September 2026 Office +500 Adjust'],
  ['by how much did it change?', '/billing', 'September 2026 needs adjustment Office +500 – +500 2026-10-05'],
  [
    'on which day did it change?',
    '/changes?which=closed&columns=all',
    /1 row .*09-15 payload_billable_count 500 1,000 \+500 yes/,
  ],
  ['which final numbers changed?', '/changes?which=final', /1 row .*Office 2026-09-15 /],
  ['what changed on this day?', '/changes?from=2026-09-15&to=2026-09-15', /1 row .*Office 2026-09-15 /],
  ['what changed on later days?', '/changes?from=2026-09-16', ' 0 rows '],
  ['what changed on earlier days?', '/changes?to=2026-09-14', ' 0 rows '],
  ['which runs started on this day?', '/runs?day=2026-11-28', / 1 row .* 2026-11-28 00:15 UTC partial /],
  ['which runs started on the day before?', '/runs?day=2026-11-27', ' 0 rows '],
  ['what is billed?', '/billing/2026-09?only=to_adjust', 'Office 22,800 22,300 ≠ +500 150 150'],
  // Only days that are known on both sides. An organization counts as 0 before its creation and after its deletion.
  ['how does this month compare with others?', '/', / so far .*Billable payloads 92,570 \? \+10% compared with /],
  ['how much is not stored?', '/', 'compared with the same weekdays before · 2 values are not stored'],
  ['how many devices and notebook minutes are there?', '/', /Devices 70 [+-]?\d+% .*Notebook minutes 955 [+-]?\d+%/],
  [
    'how much is each day of the month, compared with the weeks before?',
    '/',
    'Sun, 1 Nov 2026 2,480 – Sun, 4 Oct 2026 2,480',
    'Fri, 6 Nov 2026 3,880 – Fri, 9 Oct 2026 3,380',
    'Tue, 10 Nov 2026 3,640 1 Tue, 13 Oct 2026 3,380',
    'Tue, 24 Nov 2026 3,930 – Tue, 27 Oct 2026 3,380',
    'Fri, 27 Nov 2026 2,530 1 Fri, 30 Oct 2026 3,380',
  ],
])('%s', async ([, path, ...parts]) => {
  const page = await world.text(path);
  for (const part of parts) expect(page).toMatch(part);
});

test("what did last night's run do?", async () => {
  expect(await world.text('/runs?columns=all')).toContain(
    '2026-11-28 00:15 UTC partial 38 1 server_error 2 server_error of payload_totals, such as Gappy: ' +
      '<i>HTTP 500</i> 2 min 5 s scheduled 40 2 44',
  );
  const failures = [500, 502, 0].map((status) => {
    return { code: status === 0 ? 'timeout' : 'server_error', message: `HTTP ${status}`, cells: 2 };
  });
  const change = `update losant_usage.runs set failures = '${JSON.stringify(failures)}'`;
  await using changedWorld = await openWorld(change);
  expect(await changedWorld.text('/runs')).toContain(' partial 38 1 server_error 4, timeout 2 server_error: HTTP 500 ');
});

test('a day of the chart that lacks a number is marked', async () => {
  const [, ...bars] = (await world.html('/')).matchAll(/<rect class="value (part)?/g);
  const partialDays = bars.flatMap(([, part], index) => (part === undefined ? [] : [index + 1]));
  // The 10th is waived without a number, and a number of yesterday is missing.
  expect(partialDays).toEqual([10, 27]);
});

test('the states of months are read without adding up the closed ones', async () => {
  const plan = await world.ask('explain select month, is_over, causes, closed_at from losant_usage.months');
  const text = JSON.stringify(plan);
  expect(text).toContain('statements');
  // Only of a month that is not closed it may have to be known whether a transferred organization differs.
  expect(text.match(/month_lines/g)).toHaveLength(1);
  expect(text).toMatch(/SubPlan \d+"\},\{"QUERY PLAN":" *->  Function Scan on month_lines/);
});
