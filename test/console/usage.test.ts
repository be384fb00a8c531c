/** The usage of all organizations and of two, and what a customer was billed, as the base tables have it. */
import { describe, expect, it, test } from 'vitest';
import { showLongDay } from '../../src/console/chart.ts';
import { renderSourceShares } from '../../src/console/usage-query.ts';
import { showNumber } from '../../src/terminal/words.ts';
import { asProgram } from '../support/by-hand.ts';
import { INSTANCE, ORGS, openWorld, useWorld } from './world.ts';

const world = useWorld();

const OURS = `losant_usage.usage_days d join losant_usage.organizations o on o.org_id = d.org_id
  and o.instance_id = '${INSTANCE}'`;

describe('our total by day', () => {
  it.for([
    ['payload_billable_count', '2026-11-01', '2026-11-27', 'payloads'],
    ['notebook_minutes', '2026-10-01', '2026-10-31', 'minutes'],
    ['devices_total', '2026-11-01', '2026-11-27', 'devices'],
  ] as const)('%s from %s to %s is that of the base tables', async ([metric, from, to]) => {
    const rows = await world.ask(`select d.usage_date::text as day, sum(d.${metric})::bigint as total,
        count(*) filter (where d.${metric} is null) as not_stored
      from ${OURS} where d.usage_date between '${from}' and '${to}' group by d.usage_date order by 1`);
    const page = await world.text(`/usage?metric=${metric}&from=${from}&to=${to}`);
    expect(rows).toHaveLength(to === '2026-10-31' ? 31 : 27);
    for (const { day, total, not_stored: notStored } of rows) {
      const values = `${showLongDay(String(day))} ${showNumber(Number(total))} `;
      expect(page).toContain(Number(notStored) > 0 ? `${values}${String(notStored)} ` : values);
    }
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
  it('in a quarter is what the base tables have on the days that are stored on both sides', async () => {
    const rows = await world.ask(`
      with pairs as (
        select o.org_id, o.name, day::date as day,
          coalesce(c.payload_billable_count, case when day < o.created_on or day >= o.deleted_on then 0 end) as now,
          coalesce(p.payload_billable_count, case when day - interval '63 days' < o.created_on then 0 end) as before
        from losant_usage.organizations o
        cross join generate_series(timestamp '2026-10-01', '2026-11-27', interval '1 day') as day
        left join losant_usage.usage_days c on c.org_id = o.org_id and c.usage_date = day::date
        left join losant_usage.usage_days p on p.org_id = o.org_id and p.usage_date = day::date - 63
        where o.instance_id = '${INSTANCE}' and (c.usage_date is not null or p.usage_date is not null)
      )
      select name, sum(before)::bigint as before, sum(now)::bigint as now from pairs
      where now is not null and before is not null group by org_id, name
      having sum(now) <> sum(before) order by sum(now) - sum(before) desc`);
    const page = await world.text('/usage?from=2026-10-01&to=2026-11-27');
    const [growers = '', fallers = ''] = (page.split('Grew most')[1] ?? '').split('Fell most');
    expect(new Set(rows.map(({ name }) => name))).toEqual(new Set(['Deleted', 'Doubled', 'Newcomer', 'Silent']));
    for (const { name, before, now } of rows) {
      const list = Number(now) > Number(before) ? growers : fallers;
      expect(list).toContain(`${String(name)} ${showNumber(Number(before))} ${showNumber(Number(now))} `);
    }
  });

  it('compares a level by its last day', async () => {
    expect(await world.text('/usage?metric=devices_total')).toContain('Newcomer 0 10 +10 from 0');
  });
});

describe('the forecast', () => {
  /** The mean of each weekday over the last 28 days, by organization. */
  const RATES = `select d.org_id, extract(isodow from d.usage_date) as weekday, avg(d.payload_billable_count) as rate
    from ${OURS} where d.usage_date between '2026-10-31' and '2026-11-27' and o.deleted_on is null group by 1, 2`;

  it('of this and the next month is the mean of each weekday', async () => {
    const [next] = await world.ask(`select round(sum(r.rate)) as total from (${RATES}) as r
      join generate_series(timestamp '2026-12-01', '2026-12-31', interval '1 day') as day
        on extract(isodow from day) = r.weekday`);
    const [rest] = await world.ask(`select (select sum(r.rate) from (${RATES}) as r
        join generate_series(timestamp '2026-11-28', '2026-11-30', interval '1 day') as day
          on extract(isodow from day) = r.weekday)
      + (select sum(d.payload_billable_count) from ${OURS} where d.usage_date between '2026-11-01' and '2026-11-27')
      -- Two days are not stored, of Gappy and of the organization with the hostile name.
      + 400 + 240 as total`);
    const text = await world.text('/usage');
    // Weekdays on which the newcomer did not exist yet count as the mean of all its days.
    const newcomer = { november: 2 * 50, december: 8 * 50 };
    expect(text).toContain(`November 2026 ends at ${showNumber(Number(rest?.['total']) + newcomer.november)}, and`);
    expect(text).toContain(`December 2026 at ${showNumber(Number(next?.['total']) + newcomer.december)}.`);
  });

  it('is that of its limit for an organization', async () => {
    const [limit] = await world.ask(`select projected_quantity from losant_usage.usage_vs_limits
      where org_id = '${ORGS.office}' and limit_name = 'payload'`);
    const november = showNumber(Number(limit?.['projected_quantity']));
    const page = await world.text(`/organizations/${ORGS.office}`);
    expect(page).toContain(`November 2026 ends at ${november}, and December 2026 at 23,800.`);
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
  const sums = await world.ask(`select sum(payload_billable_count)::bigint as total from losant_usage.usage_days
    where org_id in ('${ORGS.office}', '${ORGS.doubled}') and usage_date between '2026-11-01' and '2026-11-27'
    group by org_id order by org_id`);
  expect(first).toContain(`${showNumber(Number(sums[0]?.['total']))} over 27 stored days`);
  expect(second).toContain(`${showNumber(Number(sums[1]?.['total']))} over 27 stored days`);
});

test('an unclear name for the second organization gets the ones that it may mean', async () => {
  const textWith = (name: string) => world.text(`/organizations/${ORGS.office}?with=${name}`);
  expect(await textWith('ed')).toContain('Which organization? Doubled Deleted');
  expect(await textWith('nobody')).toContain('No other organization has this name or ID.');
});

test('October by type and source of all organizations adds up to all payloads', async () => {
  const [sums] = await world.ask(`select
      sum((d.payload_sources -> 'mqtt' ->> 'device')::bigint) as device,
      sum((d.payload_sources -> 'timer' ->> 'timer.flow')::bigint) as flow
    from ${OURS} where d.usage_date between '2026-10-01' and '2026-10-31'`);
  const page = await world.text('/usage?show=sources&from=2026-10-01&to=2026-10-31');
  expect(page).toContain(`mqtt device ${showNumber(Number(sums?.['device']))} 75%`);
  expect(page).toContain(`timer timer.flow ${showNumber(Number(sums?.['flow']))} 25%`);
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
  const [used] = await world.ask(`select sum(payload_billable_count)::bigint as total from losant_usage.usage_days
    where org_id = '${ORGS.hourly}' and usage_date between '2026-11-01' and '2026-11-27'`);
  const total = Number(used?.['total']);
  expect(page).toContain(`small payload payloads 1 1 0 ${showNumber(total)} 100 ${total}%`);
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
  const rows = await world.ask(`select l.org_id,
      sum(l.quantity) filter (where l.metric = 'payload_billable_count')::bigint as payloads,
      sum(l.quantity) filter (where l.metric = 'notebook_minutes')::bigint as minutes
    from losant_usage.statement_lines l join losant_usage.statements s using (statement_id)
    where s.instance_id = '${INSTANCE}' and extract(year from l.month) = 2026 group by l.org_id`);
  const page = await world.text('/billed?year=this');
  expect(rows).toHaveLength(7);
  for (const { org_id: orgId, payloads, minutes } of rows) {
    const [billed, used] = [showNumber(Number(payloads)), showNumber(Number(minutes))];
    const months = `1 Each month 2026-09 ${billed} payloads, ${used} minutes`;
    expect(page).toContain(`${String(orgId)} ${billed} ${used} ${months}`);
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
