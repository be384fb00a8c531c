/** The usage of all organizations and of two, and what a customer was billed. */
import { describe, expect, it, test } from 'vitest';
import { useOpened } from '../opened.ts';
import { asProgram } from '../support/by-hand.ts';
import { ORGS, openWorld } from './world.ts';

const world = useOpened(openWorld, (opened) => opened.close());

describe('our total by day', () => {
  // In October the weekdays are those of five weeks earlier, and everything is stored.
  it.for([
    ['payload_billable_count', '2026-11-01', '92,570 over 27 stored days. +10%', '92,170 and 83,920 over 27 days'],
    ['notebook_minutes', '2026-10-01', '1,085 over 31 stored days. 0%', '1,085 and 1,085 over 31 days'],
    ['devices_total', '2026-11-01', '70 on 2026-11-27. 0%', '70 and 70 over 27 days'],
  ] as const)('%s from %s on is %s', async ([metric, from, total, pairs]) => {
    const to = from === '2026-10-01' ? '2026-10-31' : '2026-11-27';
    const page = await world.text(`/usage?metric=${metric}&from=${from}&to=${to}`);
    expect(page).toContain(` ${total} compared with the same weekdays before: ${pairs} stored on both sides.`);
  });

  it('has each day beside the one that it is compared with', async () => {
    const [, days] = (await world.text('/usage')).split('Values of 27 days ');
    expect(days).toContain('Sun, 1 Nov 2026 2,480 – Sun, 4 Oct 2026 2,480 0% Mon, 2 Nov 2026 3,380 – Mon, 5 Oct 2026 ');
    // A number of 10 October is missing, that of 10 November is waived without one, and one of yesterday is missing.
    expect(days).toContain(' Sat, 7 Nov 2026 2,980 – Sat, 10 Oct 2026 2,080 +24% ');
    expect(days).toContain(' Tue, 10 Nov 2026 3,640 1 Tue, 13 Oct 2026 3,380 +16% ');
    expect(days).toContain(' Fri, 27 Nov 2026 2,530 1 Fri, 30 Oct 2026 3,380 -15% ');
    const bars = [...(await world.html('/')).matchAll(/<rect class="value (part)?/g)].map(([, bar]) => bar === 'part');
    expect(bars.flatMap((isPart, index) => (isPart ? [index] : []))).toEqual([0, 10, 27]);
  });

  it('opens in a click from Home, and each day from its bar', async () => {
    const home = await world.html('/');
    expect(home).toContain('<a href="/usage">Days, growth and plans</a>');
    expect(home).toContain('<a href="/usage?from=2026-11-27&amp;to=2026-11-27" tabindex="-1">');
  });

  it('marks an incomplete day, which is not compared with what is not stored', async () => {
    const page = await world.html('/usage?from=2026-11-27&to=2026-11-27');
    expect(page).toContain('class="value part"');
    // Gappy is stored only a week earlier, so the change is that of the others: from 3,480.
    expect(page).toContain('2,530 payloads, 1 not stored');
    expect(page).toContain('-27% from 3,880 on Fri, 20 Nov 2026');
  });
});

test('a day that is not read yet is not stored, and not 0 because an organization was deleted', async () => {
  const notRead = "usage_date in ('2026-11-22', '2026-11-27')";
  const changedWorld = await openWorld(`
    update losant_usage.usage_days set devices_created = null, devices_deleted = null, devices_total = null
    where ${notRead};
    update losant_usage.coverage set standing = 'waiting', reason = 'never_read', is_stored = false, is_reported = false,
      revision = 0, first_loaded_at = null, last_read_at = null, finalized_at = null,
      next_read_at = '2026-11-28T13:00Z'
    where ${notRead} and stream = 'device_counts'`);
  await expect
    .poll(() => changedWorld.text('/'))
    .toContain(' Devices 70 ? 0% since Thu, 29 Oct 2026 · 7 values are not stored ');
  expect(await changedWorld.text('/usage?metric=devices_total')).toContain(' 70 on 2026-11-26. ');
  // The newcomer did not exist on the 22nd, and so had 0.
  expect(
    await changedWorld.text('/usage?metric=devices_total&vs=previous_days&from=2026-11-23&to=2026-11-23'),
  ).toContain('Sun, 22 Nov 2026: not stored');
  await changedWorld.close();
});

test('the organizations without a plan that have a limit are a click away from it', async () => {
  await world.ask(
    asProgram(`update losant_usage.organizations set limits = '{"payload": 1}' where org_id = '${ORGS.hourly}'`),
  );
  const changedWorld = world.serve();
  const page = await changedWorld.html('/usage?show=plans');
  const [, address = ''] = /<a href="([^"]*)">none<\/a>/.exec(page) ?? [];
  expect(await changedWorld.text(address)).toMatch(/1 row .*Hourly/);
});

describe('who grew and who fell', () => {
  it('in a quarter is told by the days that are stored on both sides', async () => {
    // Until two days after the first one, nothing is stored 63 days earlier.
    const page = await world.text('/usage?from=2026-10-01&to=2026-11-27');
    expect(page).toContain(
      'Grew most Organization Before Now Difference Change ' +
        'Doubled 28,000 39,000 +11,000 +39% Newcomer 0 250 +250 from 0 ' +
        'Fell most Organization Before Now Difference Change ' +
        'Deleted 39,200 37,100 -2,100 -5% Silent 16,800 15,900 -900 -5% ',
    );
  });

  it('compares a level by its last day', async () => {
    expect(await world.text('/usage?metric=devices_total')).toContain('Newcomer 0 10 +10 from 0');
  });
});

describe('the forecast', () => {
  it('of this and the next month is the mean of each weekday', async () => {
    // Days that are not stored, and weekdays on which the newcomer did not exist yet, count as the mean.
    expect(await world.text('/usage')).toContain('November 2026 ends at 100,725, and December 2026 at 88,505.');
  });

  it('is that of its limit for an organization', async () => {
    const page = await world.text(`/organizations/${ORGS.office}`);
    expect(page).toContain('November 2026 ends at 21,900, and December 2026 at 23,800.');
    expect(page).toContain('payload 21,500 20,700 96% 21,900 2026-11-30');
  });

  it('is left out for a level', async () => {
    expect(await world.text('/usage?metric=devices_total')).not.toMatch(/forecast|ends at/);
  });
});

test('two organizations are beside each other, on the same axis', async () => {
  const page = await world.html(`/organizations/${ORGS.office}?with=doubled`);
  const [, first = '', second = ''] = page.split('<figure class="chart">');
  const axis = (part: string) => [...part.matchAll(/text-anchor="end">([\d.K]+)<\/text>/g)].map(([, tick]) => tick);
  expect(axis(first)).toEqual(axis(second));
  expect(first).toContain('20,700 over 27 stored days');
  expect(second).toContain('24,500 over 27 stored days');
});

test('an unclear name for the second organization is answered with the ones that it may mean', async () => {
  const page = await world.text(`/organizations/${ORGS.office}?with=ed`);
  expect(page).toContain('Which organization? Doubled Deleted');
  expect(await world.text(`/organizations/${ORGS.office}?with=nobody`)).toContain(
    'No other organization has this name or ID.',
  );
});

test('October by type and source of all organizations adds up to all payloads', async () => {
  const page = await world.text('/usage?show=sources&from=2026-10-01&to=2026-10-31');
  expect(page).toContain('mqtt device 72,510 75% timer timer.flow 24,170 25%');
});

test('the plan that is used more than it allows comes first', async () => {
  await world.ask(
    asProgram(`update losant_usage.organizations set plan_id = 'small', limits = '{"payload": 100, "device": 0}'
      where org_id = '${ORGS.hourly}'`),
  );
  const page = await world.text('/usage?show=plans');
  expect(page).toContain('small payload 1 1 0 6,480 100 6480%');
  expect(page.indexOf('small device')).toBeLessThan(page.indexOf('gold payload'));
});

test('what was billed this year is what the closed months have, by customer', async () => {
  const page = await world.text('/billed?year=this');
  expect(page).toContain('7 rows');
  for (const [org, payloads] of [
    ['office', '22,300'],
    ['deleted', '21,000'],
    ['doubled', '15,000'],
    ['gappy', '12,000'],
    ['silent', '9,000'],
    ['hourly', '7,200'],
    ['hostile', '7,200'],
  ] as const) {
    expect(page).toContain(`${ORGS[org]} ${payloads} 150 1 Each month 2026-09 ${payloads} payloads, 150 minutes`);
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
    await world.ask(
      asProgram(`update losant_usage.organizations set customer_id = 'customer-7'
        where org_id = '${ORGS.newcomer}'`),
    );
    const response = await world.open(`/find?q=${text}`);
    expect([response.status, response.headers.get('location')]).toEqual([303, address]);
  });
});
