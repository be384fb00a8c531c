import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ORGS, openWorld, RUN, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

/** Returns the only value of a query of the base tables, with thousands separators. */
async function number(query: string): Promise<string> {
  const [row] = await world.ask(query);
  return Number(Object.values(row ?? {})[0]).toLocaleString('en-US');
}

describe('twelve questions, each answered as the base tables do', () => {
  it('is yesterday complete, and who is missing?', async () => {
    const stored =
      await number(`select count(*) from losant_usage.coverage c join losant_usage.organizations o using (org_id)
      where o.name <> 'Foreign' and c.usage_date = '2026-11-27' and c.is_stored`);
    const home = await world.text('/');
    expect(home).toContain('Yesterday: incomplete');
    expect(home).toContain(`${stored} of 29 numbers of 2026-11-27 are stored; 1 missing.`);
    expect(home).toContain('2 numbers of 1 organization are missing: Gappy (2026-11-27)');
  });

  it('what do I do first?', async () => {
    const home = await world.text('/');
    const [, attention = ''] = home.split('What needs a person');
    expect(attention.trim()).toMatch(/^2 numbers of 1 organization are missing/);
    const gaps = await world.text('/gaps?standing=missing');
    expect(gaps).toMatch(/Gappy 2026-11-27 payload_totals ✕ missing server_error HTTP 500/);
  });

  it('who passes a limit, and when?', async () => {
    expect(await world.text('/')).toContain('1 organization passes a limit this month: Office (2026-11-30)');
    const used = await number(`select sum(payload_billable_count) from losant_usage.usage_days
      where org_id = '${ORGS.office}' and usage_date between '2026-11-01' and '2026-11-27'`);
    const page = await world.text(`/organizations/${ORGS.office}`);
    expect(page).toContain(`payload 21,500 ${used} 96 % 21,900 2026-11-30`);
  });

  it('who is silent?', async () => {
    const list = await world.text('/organizations?only=silent');
    expect(list).toContain('1 row');
    expect(list).toMatch(/Silent.* 2026-11-24 /);
  });

  it('who moved?', async () => {
    const home = await world.text('/');
    expect(home).toContain(
      '1 organization moved: its last 7 days beside the 4 weeks before: Doubled (+100 %)',
    );
    expect(await world.text('/organizations?only=moved')).toMatch(/Doubled.* \+100 % /);
  });

  it('may I invoice October, why not, and how much is at stake?', async () => {
    const stake = await number(`select sum(payload_billable_count) from losant_usage.usage_days
      where org_id = '${ORGS.gappy}' and usage_date between '2026-10-01' and '2026-10-31'`);
    expect(await world.text('/')).toContain(
      `October 2026 is blocked by 1 organization (missing), ${stake} billable payloads at stake: Gappy`,
    );
    expect(await world.text('/months/2026-10')).toContain(`At stake ${stake} payloads of 1 organization`);
    const blockers = await world.text('/months/2026-10/blockers');
    expect(blockers).toContain(`Gappy missing ${stake} 1 2026-10-10 2026-10-10 payload_totals HTTP 500`);
  });

  it("what is an organization's October by type and source?", async () => {
    const [row] = await world.ask(`select sum((payload_sources -> 'mqtt' ->> 'device')::bigint) as device,
        sum((payload_sources -> 'timer' ->> 'timer.flow')::bigint) as flow
      from losant_usage.usage_days where org_id = '${ORGS.doubled}' and usage_date between '2026-10-01' and
        '2026-10-31'`);
    const page = await world.text(`/organizations/${ORGS.doubled}?from=2026-10-01&to=2026-10-31`);
    expect(page).toContain(`mqtt device ${Number(row?.device).toLocaleString('en-US')} 75 %`);
    expect(page).toContain(`timer timer.flow ${Number(row?.flow).toLocaleString('en-US')} 25 %`);
  });

  it('why is this cell not right?', async () => {
    const story = await world.text(`/coverage/${ORGS.gappy}/2026-11-27`);
    expect(story).toMatch(
      /Gappy, 2026-11-27: ✕ missing .*payload_totals: ✕ missing Not stored and late.*server_error: HTTP 500/,
    );
    expect(story).toContain(
      `losant-usage backfill --from 2026-11-27 --to 2026-11-27 --org ${ORGS.gappy} --stream payload_totals --force`,
    );
    expect(story).toContain('invalid_value, total: not a number');
  });

  it('what changed since we invoiced, and by how much?', async () => {
    expect(await world.text('/')).toContain(
      'September 2026 differs from what was invoiced for 1 organization, by +500 billable payloads: Office',
    );
    const changes = await world.text('/changes?which=closed');
    expect(changes).toContain('Billable payloads +500 1 number of 1 organization');
    expect(changes).toContain('1 row');
    expect(changes).toContain('Office 2026-09-15 payload_billable_count – – 500 1,000 +500 yes yes');
    const month = await world.text('/months/2026-09');
    const now = await number(`select sum(payload_billable_count) from losant_usage.usage_days
      where org_id = '${ORGS.office}' and month = '2026-09-01'`);
    expect(month).toContain(now);
    expect(month).toContain('+500 today');
  });

  it("what did last night's run do?", async () => {
    expect(await world.text('/runs')).toContain(
      '2026-11-28 00:15 2 min 5 s Main scheduled partial 40 38 2 1 44 server_error (2)',
    );
    const run = await world.text(`/runs/${RUN}`);
    expect(run).toContain('Scheduled run: partial');
    expect(run).toContain('server_error <i>HTTP 500</i> payload_totals 2 1');
  });

  it('who has no plan or limit?', async () => {
    expect(await world.text('/organizations?only=no_plan')).toMatch(/1 row .*Hourly/);
    expect(await world.text('/organizations?only=no_limit')).toMatch(/1 row .*Hourly/);
  });

  it('how is our total by day against the weeks before?', async () => {
    // Only days on which both are known: a newcomer and one that left have used nothing before and after.
    const total = await number(`select sum(payload_billable_count) from losant_usage.usage_days d
      join losant_usage.organizations o using (org_id) where o.name <> 'Foreign' and usage_date between '2026-11-01'
        and '2026-11-27'`);
    const [row] = await world.ask(`
      with pairs as (
        select o.org_id, day::date as day,
          coalesce(n.payload_billable_count, case when day >= o.removed_on or day < o.created_on then 0 end) as now,
          coalesce(b.payload_billable_count, case when day - interval '28 days' < o.created_on then 0 end) as before
        from losant_usage.organizations o
        cross join generate_series(timestamp '2026-11-01', '2026-11-27', interval '1 day') as day
        left join losant_usage.usage_days n on n.org_id = o.org_id and n.usage_date = day::date
        left join losant_usage.usage_days b on b.org_id = o.org_id and b.usage_date = day::date - 28
        where o.name <> 'Foreign'
      )
      select round((sum(now) / sum(before) - 1) * 100)::integer as change from pairs where now is not null and before
        is not null`);
    const change = Number(row?.change);
    const home = await world.text('/');
    expect(home).toContain('November 2026 so far');
    expect(home).toContain(
      `Billable payloads ${total} ? ${change > 0 ? '+' : ''}${change} %; 2 numbers are missing`,
    );
  });
});
