/** The usage of all organizations and of two, and what a customer was billed. */
import { describe, expect, it, test } from 'vitest';
import { renderSourceShares } from '../../src/console/usage-query.ts';
import { asProgram } from '../support/by-hand.ts';
import { ORGS, openWorld, useWorld } from './world.ts';

const world = useWorld();

const billedOf = (orgId: string, payloads: string) =>
  `${orgId} ${payloads} 150 1 Each month 2026-09 ${payloads} payloads, 150 minutes`;
const OFFICE = `/organizations/${ORGS.office}`;
const QUARTER = '/usage?from=2026-10-01&to=2026-11-27';
const OCTOBER = '/usage?show=sources&from=2026-10-01&to=2026-10-31';

test.for<readonly [what: string, path: string, ...parts: (string | RegExp)[]]>([
  ['payloads by day', '/usage', 'Tue, 10 Nov 2026 3,640 1 ', 'Wed, 11 Nov 2026 3,880 – ', 'Fri, 27 Nov 2026 2,530 1 '],
  ['minutes by day', '/usage?metric=notebook_minutes&from=2026-10-01&to=2026-10-27', 'Thu, 1 Oct 2026 35 Thu'],
  ['devices by day', '/usage?metric=devices_total', '22 Nov 2026 70 ', '24 Nov 2026 80 ', '25 Nov 2026 70 '],
  ['who grew most', QUARTER, /Grew most .* Doubled 28,000 39,000 .* Newcomer 0 250 .*Fell most /],
  ['nobody who fell among those who grew', QUARTER, /Grew most (?:(?!Deleted|Silent).)*Fell most /],
  ['who fell most', QUARTER, /Fell most .* Deleted 39,200 37,100 .* Silent 16,800 15,900 /],
  ['whose level grew by the last day', '/usage?metric=devices_total', 'Newcomer 0 10 +10 from 0'],
  // The mean of each weekday. What is not stored in November counts as usual: 400 and 240. Weekdays on which the newcomer
  // did not exist yet count as the mean of all its days: 2 of November and 8 of December, of 50 each.
  ['the forecast of this and the next month', '/usage', 'November 2026 ends at 100,725, and December 2026 at 88,505.'],
  ['the forecast of an organization', OFFICE, 'November 2026 ends at 21,900, and December 2026 at 23,800.'],
  ['nothing more of a deleted one', `/organizations/${ORGS.deleted}`, 'ends at 16,800, and December 2026 at 0.'],
  ['when its deletion was noticed', `/organizations/${ORGS.deleted}`, /Deleted deleted \(noticed 2026-\d\d-\d\d\)/],
  ['no forecast of a level', '/usage?metric=devices_total', /^(?!.*(forecast|ends at))/],
  ['months below half a year', '/usage?from=2026-06-01&to=2026-11-27', ' Jun Jul Aug Sep Oct Nov Values of 180 days '],
  [
    'quarters below a longer time',
    '/usage?from=2025-09-15&to=2026-11-27',
    ' Oct Jan 2026 Apr Jul Oct Values of 439 days ',
  ],
  ['untracked days', `${OFFICE}?from=2026-07-31&to=2026-08-01`, /31 Jul 2026 not expected Sat, 1 Aug 2026 100 /],
  ['the organizations that a name may mean', `${OFFICE}?with=ed`, 'Which organization? Doubled Deleted'],
  ['that no organization has a name', `${OFFICE}?with=nobody`, 'No other organization has this name or ID.'],
  ['October by type and source', OCTOBER, 'mqtt device 72,510 75%', 'timer timer.flow 24,170 25%'],
  ['what was billed this year', '/billed?year=this', billedOf(ORGS.office, '22,300'), billedOf(ORGS.hostile, '7,200')],
  ['each customer', '/billed?year=this', billedOf(ORGS.doubled, '15,000'), billedOf(ORGS.deleted, '21,000'), '7 rows'],
  ['that nothing was billed last year', '/billed?year=last', '0 rows'],
])('the usage has %s', async ([, path, ...parts]) => {
  const page = await world.text(path);
  for (const part of parts) expect(page).toMatch(part);
});

describe('our total by day', () => {
  it('opens in a click from Home, and each day from its bar', async () => {
    const home = await world.html('/');
    expect(home).toContain('<a href="/usage">Days, growth and plans</a>');
    expect(home).toContain('<a href="/usage?from=2026-11-27&amp;to=2026-11-27" tabindex="-1">');
  });

  it('marks an incomplete day, which is not compared with what is not stored', async () => {
    const page = await world.html('/usage?from=2026-11-27&to=2026-11-27');
    expect(page).toContain('<h2>Billable payloads, 2026-11-27</h2>');
    expect(page).toContain('class="value part"');
    // Gappy is stored only a week earlier, so the change is that of the others: from 3,480.
    expect(page).toContain('2,530 payloads, 1 not stored');
    expect(page).toContain('-27% from 3,880 on Fri, 20 Nov 2026');
  });
});

test('a day that is not read yet is not stored, and not 0 because an organization was deleted', async () => {
  const notRead = "usage_date in ('2026-11-22', '2026-11-27')";
  await using changedWorld = await openWorld(`
    update losant_usage.usage_days set devices_created = null, devices_deleted = null, devices_total = null
    where ${notRead};
    update losant_usage.coverage set standing = 'waiting', reason = 'never_read', is_stored = false, is_reported = false,
      revision = 0, first_loaded_at = null, last_read_at = null, finalized_at = null,
      next_read_at = '2026-11-28T13:00Z'
    where ${notRead} and stream = 'device_counts'`);
  const devices = ' Devices 70 ? 0% since Thu, 29 Oct 2026 · 7 values are not stored ';
  await expect.poll(() => changedWorld.text('/')).toContain(devices);
  const page = '/usage?metric=devices_total';
  expect(await changedWorld.text(page)).toContain(' 70 on 2026-11-26. ');
  // Its last day has all values, and only that day counts.
  const devicesBefore = await changedWorld.text(`${page}&to=2026-11-26`);
  expect(devicesBefore).toContain(
    ' 70 on 2026-11-26. 0% compared with the same weekdays before: 70 on 2026-11-26 and 70 on 2026-10-29. same ',
  );
  expect(devicesBefore).not.toContain('not stored and not included');
  // The newcomer did not exist on the 22nd, and so had 0.
  const nextDay = await changedWorld.text(`${page}&vs=previous_days&from=2026-11-23&to=2026-11-23`);
  expect(nextDay).toContain('Sun, 22 Nov 2026: not stored');
});

test('the organizations without a plan that have a limit are a click away from it', async () => {
  const change = `update losant_usage.organizations set limits = '{"payload": 1}' where org_id = '${ORGS.hourly}'`;
  await using changedWorld = await openWorld(change);
  const [, address = ''] = /<a href="([^"]*)">none<\/a>/.exec(await changedWorld.html('/usage?show=plans')) ?? [];
  expect(await changedWorld.text(address)).toMatch(/1 row .*Hourly/);
});

test('two organizations are next to each other, on the same axis', async () => {
  const page = await world.html(`/organizations/${ORGS.office}?with=doubled`);
  const [, first = '', second = ''] = page.split('<figure class="chart">');
  const axis = (part: string) => [...part.matchAll(/text-anchor="end">([\d.K]+)<\/text>/g)].map(([, tick]) => tick);
  expect(axis(first)).toEqual(axis(second));
  expect(first).toContain('20,700 over 27 stored days');
  expect(second).toContain('24,500 over 27 stored days');
});

test('the shares of sources are not cut off, and add up', async () => {
  const toShare = (share: number, index: number) => ({ payload_type: 'mqtt', source: `${index}`, count: 1, share });
  const page = await renderSourceShares([0.055, ...Array.from({ length: 27 }, () => 0.035)].map(toShare));
  const percents = [...page.toString().matchAll(/([\d.]+)%<svg/g)].map(([, each]) => Number(each));
  expect(percents).toEqual([5.5, ...Array.from({ length: 24 }, () => 3.5), 10.5]);
  expect(percents.reduce((sum, each) => sum + each, 0)).toBeCloseTo(100);
});

test('the plan that is used more than it allows comes first', async () => {
  await world.ask(
    asProgram(`update losant_usage.organizations set plan_id = 'small', limits = '{"payload": 100, "device": 0}'
      where org_id = '${ORGS.hourly}'`),
  );
  const page = await world.text('/usage?show=plans');
  expect(page).toContain('small payload payloads 1 1 0 6,480 100 6480%');
  expect(page.indexOf('small device')).toBeLessThan(page.indexOf('gold payload'));
});

test('the limits of a plan may add up to more than a bigint', async () => {
  await using changedWorld = await openWorld(
    `update losant_usage.organizations set plan_id = 'vast', limits = '{"payload": 9e18}'
      where org_id in ('${ORGS.hourly}', '${ORGS.office}')`,
  );
  const plan = /vast payload payloads 2 0 0 [\d,]+ 18,000,000,000,000,000,000 0%/;
  expect(await changedWorld.text('/usage?show=plans')).toMatch(plan);
});

it.for([
  ['off', `/organizations/${ORGS.office}`],
  ['C-2', `/organizations/${ORGS.doubled}`],
  [ORGS.silent, `/organizations/${ORGS.silent}`],
  ['customer-7', `/organizations/${ORGS.newcomer}`],
  ['e', '/organizations?q=e'],
  ['nobody', '/organizations?q=nobody'],
  ['', '/organizations'],
] as const)('Find opens the only match, or the list: %s', async ([text, address]) => {
  const customers = `case org_id when '${ORGS.newcomer}' then 'customer-7' else 'customer-70' end`;
  const change = `update losant_usage.organizations set customer_id = ${customers}
    where org_id in ('${ORGS.newcomer}', '${ORGS.hourly}')`;
  await world.ask(asProgram(change));
  const response = await world.open(`/find?q=${text}`);
  expect([response.status, response.headers.get('location')]).toEqual([303, address]);
});
