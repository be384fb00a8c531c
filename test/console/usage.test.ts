/** The usage of all organizations and of two, and what a customer was billed. */
import { describe, expect, it, test } from 'vitest';
import { renderSourceShares } from '../../src/console/usage-query.ts';
import { asProgram } from '../support/by-hand.ts';
import { ORGS, openWorld, useWorld } from './world.ts';

const world = useWorld();

describe('our total by day', () => {
  it.for([
    ['payload_billable_count', '2026-11', 'Tue, 10 Nov 2026 3,640 1 ', 'Wed, 11 Nov 2026 3,880 – '],
    ['notebook_minutes', '2026-10', 'Thu, 1 Oct 2026 35 Thu', 'Tue, 27 Oct 2026 35 Tue'],
    ['devices_total', '2026-11', 'Sun, 22 Nov 2026 70 Sun', 'Tue, 24 Nov 2026 80 Tue', 'Wed, 25 Nov 2026 70 Wed'],
  ] as const)('has each day of %s in %s', async ([metric, month, ...days]) => {
    const page = await world.text(`/usage?metric=${metric}&from=${month}-01&to=${month}-27`);
    for (const day of days) expect(page).toContain(day);
  });

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

test('days on which nothing is tracked are marked, and not as if the organization had not existed', async () => {
  const page = await world.text(`/organizations/${ORGS.office}?from=2026-07-31&to=2026-08-01`);
  expect(page).toMatch(/ not tracked .*Fri, 31 Jul 2026 not tracked Sat, 1 Aug 2026 100 /);
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

describe('who grew and who fell', () => {
  it('in a quarter counts the days that are stored on both sides', async () => {
    const page = await world.text('/usage?from=2026-10-01&to=2026-11-27');
    expect(page).toMatch(/Grew most .* Doubled 28,000 39,000 .* Newcomer 0 250 .*Fell most /);
    expect(page).toMatch(/Fell most .* Deleted 39,200 37,100 .* Silent 16,800 15,900 /);
  });

  it('compares a level by its last day', async () => {
    expect(await world.text('/usage?metric=devices_total')).toContain('Newcomer 0 10 +10 from 0');
  });
});

describe('the forecast', () => {
  it('of this and the next month is the mean of each weekday', async () => {
    // Two days of November are not stored, and count as usual: 400 and 240. Weekdays on which the newcomer did not exist
    // yet count as the mean of all its days: 2 of November and 8 of December, of 50 each.
    const forecast = 'November 2026 ends at 100,725, and December 2026 at 88,505.';
    expect(await world.text('/usage')).toContain(forecast);
  });

  it('is that of its limit for an organization', async () => {
    const page = await world.text(`/organizations/${ORGS.office}`);
    expect(page).toContain('November 2026 ends at 21,900, and December 2026 at 23,800.');
  });

  it('is what a deleted organization had, and nothing more', async () => {
    const page = await world.text(`/organizations/${ORGS.deleted}`);
    expect(page).toContain('November 2026 ends at 16,800, and December 2026 at 0.');
  });

  it('is omitted for a level', async () => {
    expect(await world.text('/usage?metric=devices_total')).not.toMatch(/forecast|ends at/);
  });
});

test('two organizations are next to each other, on the same axis', async () => {
  const page = await world.html(`/organizations/${ORGS.office}?with=doubled`);
  const [, first = '', second = ''] = page.split('<figure class="chart">');
  const axis = (part: string) => [...part.matchAll(/text-anchor="end">([\d.K]+)<\/text>/g)].map(([, tick]) => tick);
  expect(axis(first)).toEqual(axis(second));
  expect(first).toContain('20,700 over 27 stored days');
  expect(second).toContain('24,500 over 27 stored days');
});

test('an unclear name for the second organization gets the ones that it may mean', async () => {
  const textWith = (name: string) => world.text(`/organizations/${ORGS.office}?with=${name}`);
  expect(await textWith('ed')).toContain('Which organization? Doubled Deleted');
  expect(await textWith('nobody')).toContain('No other organization has this name or ID.');
});

test('October by type and source of all organizations adds up to all payloads', async () => {
  const page = await world.text('/usage?show=sources&from=2026-10-01&to=2026-10-31');
  expect(page).toContain('mqtt device 72,510 75%');
  expect(page).toContain('timer timer.flow 24,170 25%');
});

test('the shares of sources are not cut off, and add up', async () => {
  const toShare = (share: number, index: number) => ({ payload_type: 'mqtt', source: `${index}`, count: 1, share });
  const page = await renderSourceShares([0.145, ...Array.from({ length: 9 }, () => 0.095)].map(toShare));
  const percents = [...page.toString().matchAll(/([\d.]+)%<svg/g)].map(([, each]) => Number(each));
  expect(percents).toHaveLength(10);
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

test('what was billed this year is what the closed months have, by customer', async () => {
  const page = await world.text('/billed?year=this');
  for (const [name, payloads] of [
    ['office', '22,300'],
    ['doubled', '15,000'],
    ['silent', '9,000'],
    ['deleted', '21,000'],
    ['gappy', '12,000'],
    ['hourly', '7,200'],
    ['hostile', '7,200'],
  ] as const) {
    expect(page).toContain(`${ORGS[name]} ${payloads} 150 1 Each month 2026-09 ${payloads} payloads, 150 minutes`);
  }
  expect(await world.text('/billed?year=last')).toContain('0 rows');
});

describe('Find', () => {
  it.for([
    ['off', `/organizations/${ORGS.office}`],
    ['C-2', `/organizations/${ORGS.doubled}`],
    [ORGS.silent, `/organizations/${ORGS.silent}`],
    ['customer-7', `/organizations/${ORGS.newcomer}`],
    ['e', '/organizations?q=e'],
    ['nobody', '/organizations?q=nobody'],
    ['', '/organizations'],
  ] as const)('opens the only match, or the list: %s', async ([text, address]) => {
    const change = `update losant_usage.organizations set customer_id = 'customer-7' where org_id = '${ORGS.newcomer}'`;
    await world.ask(asProgram(change));
    const response = await world.open(`/find?q=${text}`);
    expect([response.status, response.headers.get('location')]).toEqual([303, address]);
  });
});
