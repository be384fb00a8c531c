/** What keeps a period from being invoiced, and that nothing else does: is_billable is the absence of a blocker. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { readBlockers } from '../../src/billing/month.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import { type DayRange, eachDay } from '../../src/usage/day.ts';
import { answer, at, closed, FINAL, missing } from '../database/answers.ts';
import { addTracking, INSTANCE, useLedger } from '../database/ledger.ts';
import { devices, trackedOrg } from '../views/loads.ts';

const ledger = useLedger({ stoppedAt: '2026-11-24T12:00:00.000Z' });
/** Organizations by what became of them in August, and one in July and one in the running month. */
const orgs: Record<string, string> = {};

const AUGUST = { from: '2026-08-10', to: '2026-08-13' };
const POLICY = { readAtHours: [0, 24, 72], finalAtHours: 72, horizonDays: 90 };

const { ask } = ledger;
const change = ledger.ask;

/** An organization that existed on these days only, each of them final. */
async function addOrg(
  name: string,
  days: DayRange = AUGUST,
  without: readonly string[] = [],
): Promise<string> {
  const orgId = await trackedOrg(ledger, ['device_counts'], days);
  orgs[name] = orgId;
  await change(sql`update losant_usage.organizations set name = ${name}, created_at = ${`${days.from}T09:00:00Z`},
    created_on = ${days.from}, removed_at = ${`${days.to}T20:00:00Z`} where org_id = ${orgId}`);
  const stored = eachDay(days).filter((day) => !without.includes(day));
  await ledger.load(stored.map((day) => devices(orgId, day, 4, 1, 17)));
  return orgId;
}

beforeAll(async () => {
  await change(sql`update losant_usage.instances set policy = ${JSON.stringify(POLICY)}::text::jsonb`);
  await addOrg('ready');
  const open = await addOrg('not final', AUGUST, ['2026-08-12']);
  await ledger.load([
    {
      ...devices(open, '2026-08-12', 4, 1, 17),
      age: { ...FINAL, finalFromMs: at('2026-12-01T00:00:00.000Z') },
    },
  ]);
  await addOrg('missing', AUGUST, ['2026-08-11', '2026-08-13']);
  const doubted = await addOrg('in doubt');
  await ledger.load([
    answer(missing, {
      orgId: doubted,
      day: '2026-08-12',
      age: FINAL,
      sentAtMs: at('2026-11-23T12:00:00.000Z'),
    }),
  ]);
  const gone = await addOrg('unavailable', AUGUST, ['2026-08-12']);
  await ledger.load([answer(closed, { orgId: gone, day: '2026-08-12' })]);
  const waived = await addOrg('accepted', AUGUST, ['2026-08-12']);
  await ledger.load([answer(closed, { orgId: waived, day: '2026-08-12' })]);
  const range = { from: '2026-08-12', to: '2026-08-12' };
  await waiveCells(ledger.db, {
    orgId: waived,
    stream: 'device_counts',
    range,
    reason: 'agreed',
    asZero: false,
  });
  await change(sql`update losant_usage.usage_days set devices_total = 5
    where org_id = ${await addOrg('changed')} and usage_date = '2026-08-12'`);
  await change(sql`update losant_usage.usage_days set devices_created = null, devices_deleted = null, devices_total = null
    where org_id = ${await addOrg('removed')} and usage_date = '2026-08-12'`);
  await change(
    sql`update losant_usage.organizations set created_on = '2026-08-05' where org_id = ${await addOrg('late')}`,
  );
  const two = await addOrg('two streams');
  await addTracking(ledger.db, two, { streams: ['notebook_minutes'], days: '{[2026-08-12,2026-08-13]}' });
  // Tracked since September, and there in August.
  await change(sql`update losant_usage.organizations set created_on = '2026-08-20'
    where org_id = ${await addOrg('untracked', { from: '2026-09-01', to: '2026-09-02' })}`);
  // Not exported any more since August.
  await change(sql`update losant_usage.organizations set removed_at = null
    where org_id = ${await addOrg('july', { from: '2026-07-30', to: '2026-07-31' })}`);
  await addOrg('running', { from: '2026-11-20', to: '2026-11-21' });
});

/** By name, what blocks the periods of organizations that begin then; of the instance under its id. */
async function blockersOf(start: string): Promise<Record<string, string[]>> {
  const rows = await ask(sql`select coalesce(org_name, instance_id) as name,
      cause || coalesce(' ' || days || ' ' || first_day || '..' || last_day || ' ' || array_to_string(streams, ','), '') as what
    from losant_usage.period_blockers where period_start = ${start}::date order by org_name, cause`);
  const byName = Map.groupBy(rows as { name: string; what: string }[], ({ name }) => name);
  return Object.fromEntries([...byName].map(([name, each]) => [name, each.map(({ what }) => what)]));
}

const IN_AUGUST = {
  'in doubt': ['in_doubt 1 2026-08-12..2026-08-12 device_counts'],
  late: ['not_fully_tracked'],
  missing: ['missing 2 2026-08-11..2026-08-13 device_counts'],
  'not final': ['not_final 1 2026-08-12..2026-08-12 device_counts'],
  changed: ['changed_by_hand 1 2026-08-12..2026-08-12 device_counts'],
  removed: ['changed_by_hand 1 2026-08-12..2026-08-12 device_counts'],
  'two streams': ['missing 2 2026-08-12..2026-08-13 notebook_minutes', 'not_fully_tracked'],
  unavailable: ['unavailable 1 2026-08-12..2026-08-12 device_counts'],
  untracked: ['not_fully_tracked'],
};

/** Periods whose is_billable is not the absence of a blocker. */
const contradictions = () =>
  ask(sql`
    select m.org_name, m.month::text as period, m.is_billable from losant_usage.monthly_usage m
    join losant_usage.instances i on i.instance_id = m.instance_id and i.billing_periods = 'calendar'
    where m.is_billable = exists (
      select from losant_usage.period_blockers b where b.instance_id = m.instance_id
        and b.period_start = m.month and (b.org_id = m.org_id or b.org_id is null))
    union all
    select p.org_name, p.period_start || '..' || p.period_end, p.is_billable from losant_usage.period_usage p
    where p.is_billable = exists (
      select from losant_usage.period_blockers b where b.instance_id = p.instance_id
        and (b.org_id = p.org_id and b.period_start = p.period_start
          or b.org_id is null and b.first_day <= p.period_end and b.last_day >= p.period_start))`);

const billable = async (start: string) =>
  (
    await ask(sql`select org_name from losant_usage.period_usage
    where is_billable and period_start = ${start}::date order by org_name`)
  ).map((row) => (row as { org_name: string }).org_name);

describe('a month', () => {
  test('is blocked by each cause with its days and streams, and by nothing else', async () => {
    expect(await blockersOf('2026-08-01')).toEqual(IN_AUGUST);
    expect(await billable('2026-08-01')).toEqual(['accepted', 'ready']);
    expect(await blockersOf('2026-07-01')).toEqual({});
    expect(await blockersOf('2026-11-01')).toEqual({ running: ['not_over'] });
    expect(await contradictions()).toEqual([]);
  });

  test('is resolved by the command that is named for it', async () => {
    const found = await ask(sql`select org_name, what_to_do from losant_usage.period_blockers
      where period_start = '2026-08-01' and org_name in ('missing', 'in doubt', 'late') order by org_name`);
    expect(found).toEqual([
      {
        org_name: 'in doubt',
        what_to_do: `losant-usage explain --org ${orgs['in doubt']} --day 2026-08-12, then losant-usage waive --org ${orgs['in doubt']} --day 2026-08-12..2026-08-12 --stream device_counts --reason TEXT`,
      },
      {
        org_name: 'late',
        what_to_do: `losant-usage backfill --org ${orgs['late']} --from 2026-08-01 --to 2026-08-31`,
      },
      {
        org_name: 'missing',
        what_to_do: `losant-usage backfill --org ${orgs['missing']} --from 2026-08-11 --to 2026-08-13`,
      },
    ]);
  });

  test('is blocked for all while the list of organizations is not complete', async () => {
    await change(sql`update losant_usage.instances set list_problem = 'it shifted'`);
    expect(await blockersOf('2026-07-01')).toEqual({ [INSTANCE]: ['list_incomplete'] });
    expect(await billable('2026-08-01')).toEqual([]);
    expect(await contradictions()).toEqual([]);
    await change(sql`update losant_usage.instances set list_problem = null`);
  });
});

describe('a control total that differs', () => {
  const setTotal = (quantity: number, verifiedAt = '2026-11-23T12:00:00Z') =>
    change(sql`insert into losant_usage.instance_totals
        (instance_id, usage_date, metric, quantity, verified_at, response_sha256)
      values (${INSTANCE}, '2026-07-31', 'devices_created', ${quantity}, ${verifiedAt}, sha256('total'))
      on conflict (instance_id, usage_date, metric) do update set quantity = ${quantity}, verified_at = ${verifiedAt}`);
  const setSummary = (orgId: string, figures: object) =>
    change(sql`insert into losant_usage.monthly_summaries
        (instance_id, month, resource_type, resource_id, resource_name, figures, verified_at, response_sha256)
      values (${INSTANCE}, '2026-08-01', 'organization', ${orgId}, 'summary', ${JSON.stringify(figures)}::text::jsonb,
        '2026-11-24T11:00:00Z', sha256('summary'))
      on conflict (instance_id, month, resource_type, resource_id) do update set figures = excluded.figures`);
  const setUse = (use: string) => change(sql`update losant_usage.instances set control_totals = ${use}`);

  test("of an instance's day blocks its month for all, unless it is equal or only to be shown", async () => {
    await setTotal(4);
    expect(await blockersOf('2026-07-01')).toEqual({});
    await setTotal(5, '2026-11-24T12:00:00.001Z');
    expect(await blockersOf('2026-07-01')).toEqual({
      [INSTANCE]: ['contradicted 1 2026-07-31..2026-07-31 device_counts'],
    });
    expect(await billable('2026-07-01')).toEqual([]);
    expect(await billable('2026-08-01')).toEqual(['accepted', 'ready']);
    expect(await readBlockers(ledger.db, { month: '2026-07' })).toMatchObject([
      {
        orgId: null,
        from: '2026-07-01',
        to: '2026-07-31',
        cause: 'contradicted',
        days: 1,
        streams: ['device_counts'],
        whatToDo: 'losant-usage reconcile --from 2026-07-01 --to 2026-07-31',
      },
    ]);
    await setUse('show');
    expect(await blockersOf('2026-07-01')).toEqual({});
    expect(await billable('2026-07-01')).toEqual(['july']);
    expect(await contradictions()).toEqual([]);
    await setUse('block');
  });

  test.each([
    ['2026-08-03T23:59:59Z', 'total_not_final'],
    ['2026-11-24T11:59:00Z', 'total_outdated'],
  ])('read at %s is not counted: %s', async (verifiedAt, reason) => {
    await setTotal(5, verifiedAt);
    expect(await blockersOf('2026-07-01')).toEqual({});
    expect(
      await ask(sql`select outcome, reason from losant_usage.reconciliation
        where scope = 'instance_day' and usage_date = '2026-07-31' and metric = 'devices_created'`),
    ).toEqual([{ outcome: 'pending', reason }]);
  });

  test("of an organization's month blocks that month alone, and one that was never listed is named", async () => {
    const ready = orgs['ready'] as string;
    const shadow = '5f00000000000000000000aa';
    await setSummary(ready, { deviceCount: 17 });
    await setSummary(shadow, { payloadBillableCount: 0 });
    expect(await blockersOf('2026-08-01')).toEqual(IN_AUGUST);
    await change(sql`update losant_usage.monthly_summaries set verified_at = '2026-11-24T12:00:00.001Z'`);
    await setSummary(ready, { deviceCount: 18 });
    await setSummary(shadow, { payloadBillableCount: 5_000_000 });
    expect(await blockersOf('2026-08-01')).toEqual({
      ...IN_AUGUST,
      ready: ['contradicted'],
      summary: ['contradicted'],
    });
    expect(await billable('2026-08-01')).toEqual(['accepted']);
    await setUse('show');
    expect(await blockersOf('2026-08-01')).toEqual(IN_AUGUST);
    expect(await contradictions()).toEqual([]);
    await setUse('block');
    await change(sql`delete from losant_usage.monthly_summaries`);
  });
});

describe('periods of Losant', () => {
  beforeAll(async () => {
    await change(sql`update losant_usage.instances set billing_periods = 'losant'`);
    await change(sql`delete from losant_usage.instance_totals`);
    // Every organization of August has a period from the 1st to the 12th of August, and one after it.
    await change(sql`insert into losant_usage.organization_history
        (org_id, valid_from, valid_to, instance_id, name, tags, limits, is_read_only, current_period_start, current_period_end)
      select o.org_id, p.since, p.until, o.instance_id, o.name, o.tags, o.limits, false, p.since, p.to_day
      from losant_usage.organizations o, (values
        ('2026-08-01T00:00Z'::timestamptz, '2026-08-13T00:00Z'::timestamptz, '2026-08-13T00:00Z'::timestamptz),
        ('2026-08-13T00:00Z', '2026-09-13T00:00Z', null)) as p (since, to_day, until)
      where o.name <> 'july'`);
  });

  test('are blocked by what is in them, and days in none block the month they are in', async () => {
    const { late, untracked, 'two streams': two, missing: gaps, ...others } = IN_AUGUST;
    expect(await blockersOf('2026-08-01')).toEqual({
      ...others,
      late,
      missing: ['missing 1 2026-08-11..2026-08-11 device_counts'],
      'two streams': ['missing 1 2026-08-12..2026-08-12 notebook_minutes', 'not_fully_tracked'],
    });
    expect(await blockersOf('2026-08-13')).toEqual({
      missing: ['missing 1 2026-08-13..2026-08-13 device_counts'],
      'two streams': ['missing 1 2026-08-13..2026-08-13 notebook_minutes'],
      untracked,
    });
    expect(await blockersOf('2026-07-01')).toEqual({ july: ['no_period'] });
    expect([two.length, gaps.length]).toEqual([2, 1]);
    expect(await contradictions()).toEqual([]);
  });

  test('are blocked by an instance total of one of their days, in whichever month', async () => {
    await change(sql`insert into losant_usage.instance_totals
        (instance_id, usage_date, metric, quantity, verified_at, response_sha256)
      values (${INSTANCE}, '2026-07-31', 'devices_created', 5, '2026-11-24T12:00:00.001Z', sha256('total'))`);
    expect(await billable('2026-08-01')).toEqual(['accepted', 'ready']);
    const ofInstance = async () =>
      (await readBlockers(ledger.db, { month: '2026-08' })).filter(({ orgId }) => orgId === null);
    expect(await ofInstance()).toEqual([]);
    // The period now begins with the day that is contradicted.
    await change(sql`update losant_usage.organization_history set current_period_start = '2026-07-31T00:00Z'
      where current_period_start = '2026-08-01T00:00Z'`);
    expect(await billable('2026-07-31')).toEqual([]);
    expect(await contradictions()).toEqual([]);
    expect(await ofInstance()).toMatchObject([
      {
        from: '2026-07-01',
        cause: 'contradicted',
        firstDay: '2026-07-31',
        lastDay: '2026-07-31',
      },
    ]);
  });
});
