/** Months and billing periods beside what a random ledger has: sums, what blocks them, and limits. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { addDays as backfill } from '../../src/ledger/fill.ts';
import { addDays, daysOfMonth, eachDay, earliestDay, latestDay, type UsageDay } from '../../src/usage/day.ts';
import { type Standing, worstStanding } from '../../src/usage/standing.ts';
import { streamNamed } from '../../src/usage/streams/catalog.ts';
import { INSTANCE, useLedger, WRITE } from '../ledger/ledger.ts';
import { POLICY } from '../usage/cells.ts';
import { makeWorld, NOW, ORGS, OTHER_INSTANCE, type World, type WorldCell, YESTERDAY } from './world.ts';

const MONTHS = ['2026-09', '2026-10', '2026-11'];
const ledger = useLedger(NOW);
let world: World;

beforeAll(async () => {
  world = await makeWorld(ledger, 42);
});

const FLOWS = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals']
  .flatMap((stream) => streamNamed(stream).columns)
  .filter((column) => column !== 'payload_sources' && column !== 'devices_total');
const daysWhere = (cells: readonly WorldCell[], matches: (cell: WorldCell) => boolean) =>
  new Set(cells.filter(matches).map(({ day }) => day)).size;

/** Returns what a month or a period of these cells has. */
function summarize(cells: readonly WorldCell[], { end }: { end: UsageDay }) {
  const numbersOf = (metric: string) =>
    cells.flatMap(({ numbers }) => (numbers?.[metric] as number | undefined) ?? []);
  const sums = FLOWS.map((metric) => {
    const numbers = numbersOf(metric);
    return [
      metric,
      numbers.length === 0 ? null : Number(numbers.reduce((a, b) => a + BigInt(b), 0n)),
    ] as const;
  });
  const levels = cells
    .filter(({ numbers }) => numbers?.['devices_total'] !== undefined)
    .sort((a, b) => (a.day < b.day ? -1 : 1))
    .map(({ numbers }) => numbers?.['devices_total'] as number);
  const days = daysWhere(cells, () => true);
  const standing = worstStanding(cells.map((cell) => cell.standing));
  const standingsOfDays = [...Map.groupBy(cells, ({ day }) => day).values()].map((ofDay) =>
    worstStanding(ofDay.map((cell) => cell.standing)),
  );
  const daysOf = (wanted: Standing) => standingsOfDays.filter((each) => each === wanted).length;
  const isOver = end <= YESTERDAY;
  return {
    days_expected: days,
    days_stored: days - daysWhere(cells, ({ isStored }) => !isStored),
    days_final: daysOf('final'),
    days_accepted: daysOf('accepted'),
    days_unavailable: daysOf('unavailable'),
    days_unreported: daysWhere(cells, (cell) => cell.isStored && !cell.isReported),
    standing,
    is_over: isOver,
    is_final: isOver && standing === 'final',
    ...Object.fromEntries(sums),
    devices_total: levels.at(-1) ?? null,
    devices_total_max: levels.length === 0 ? null : Math.max(...levels),
    devices_total_avg:
      levels.length === 0 ? null : (levels.reduce((a, b) => a + b, 0) / levels.length).toFixed(2),
  };
}

/** Returns what keeps a month of an organization from being invoiced, as `cause: streams, days`. */
function blockersOf(orgId: string, month: string): string[] {
  const range = daysOfMonth(month);
  const cells = world.cellsOf(orgId, range.from, range.to);
  const org = ORGS.find((each) => each.orgId === orgId);
  if (org === undefined || cells.length === 0) return [];
  const blockers = new Map<string, WorldCell[]>();
  for (const cell of cells) {
    if (cell.standing === 'final' || cell.standing === 'accepted') continue;
    const cause = cell.standing === 'stored' || cell.standing === 'waiting' ? 'not_final' : cell.standing;
    blockers.set(cause, [...(blockers.get(cause) ?? []), cell]);
  }
  const lines = [...blockers].map(([cause, several]) => {
    const streams = [...new Set(several.map(({ stream }) => stream))].sort();
    return `${cause}: ${streams.join(' ')}, ${daysWhere(several, () => true)}`;
  });
  const existed = eachDay({
    from: latestDay(range.from, org.createdOn),
    to: earliestDay(range.to, YESTERDAY, org.removedOn === null ? null : addDays(org.removedOn, -1)),
  });
  const lacking = org.streams.filter((stream) =>
    existed.some((day) => cells.every((cell) => cell.stream !== stream || cell.day !== day)),
  );
  if (lacking.length > 0) lines.push(`not_fully_tracked: ${lacking.toSorted().join(' ')}, -`);
  return lines.sort();
}

describe.each(MONTHS)('of %s', (month) => {
  const range = daysOfMonth(month);

  test('monthly_usage sums flows, takes the last level, and counts days by what they are', async () => {
    const rows = await ledger.ask(sql`select * from losant_usage.monthly_usage
      where month = ${range.from} order by org_id`);
    const orgs = ORGS.filter(({ orgId }) => world.cellsOf(orgId, range.from, range.to).length > 0);
    expect(rows.map((row) => (row as { org_id: string }).org_id)).toEqual(orgs.map(({ orgId }) => orgId));
    for (const [index, { orgId }] of orgs.entries()) {
      expect(rows[index]).toMatchObject({
        days_in_month: Number(range.to.slice(-2)),
        ...summarize(world.cellsOf(orgId, range.from, range.to), { end: range.to }),
        is_billable: month !== '2026-11' && blockersOf(orgId, month).length === 0,
      });
    }
  });

  test('period_blockers names what keeps it from being invoiced', async () => {
    const rows = await ledger.list(sql`
      select coalesce(org_id, instance_id) as id, cause || ':' as cause, array_to_string(streams,
      ' ') || ',' as streams, days
      from losant_usage.period_blockers where month = ${range.from} order by 1, 2`);
    const ofOrgs = ORGS.flatMap(({ orgId }) => blockersOf(orgId, month).map((line) => `${orgId} ${line}`));
    const ofInstances =
      month === '2026-11' ? [INSTANCE, OTHER_INSTANCE].map((id) => `${id} not_over: - -`) : [];
    expect(rows.sort()).toEqual([...ofOrgs, ...ofInstances].sort());
  });
});

test('period_usage sums the days of each organization’s own period', async () => {
  const rows = await ledger.ask(sql`select * from losant_usage.period_usage order by org_id`);
  expect(rows).toHaveLength(ORGS.length);
  for (const [index, { orgId }] of ORGS.entries()) {
    expect(rows[index]).toMatchObject({
      org_id: orgId,
      period_start: '2026-10-10',
      period_end: '2026-11-09',
      days_in_period: 31,
      ...summarize(world.cellsOf(orgId, '2026-10-10', '2026-11-09'), { end: '2026-11-09' }),
    });
  }
});

test('usage_vs_limits shares the month among the limits, of whatever size', async () => {
  const rows = await ledger.list(sql`select limit_name, metric, limit_quantity::float8,
      abs(share - quantity / limit_quantity) < 0.001 as is_share
    from losant_usage.usage_vs_limits where org_id = '5d00000000000000000000a1' order by limit_name`);
  expect(rows).toEqual([
    'device devices_total 50 true',
    'notebookMinutesPerMonth notebook_minutes -9300000000000000000 true',
    'payload payload_billable_count 10000 true',
    'unknown - 7 -',
  ]);
});

test('an incomplete list blocks every month of its instance', async () => {
  await ledger.asProgram(
    sql`update losant_usage.instances set list_problem = 'page 2 failed' where instance_id = ${OTHER_INSTANCE}`,
  );
  const rows = sql`select to_char(month, 'MM') as month, message, what_to_do from losant_usage.period_blockers
    where cause = 'list_incomplete' and instance_id = ${OTHER_INSTANCE} order by 1`;
  expect(await ledger.list(rows)).toEqual(
    ['09', '10', '11'].map((month) => `${month} page 2 failed losant-usage run`),
  );
  const billable = sql`select count(*) as n from losant_usage.monthly_usage
    where is_billable and instance_id = ${OTHER_INSTANCE}`;
  expect(await ledger.list(billable)).toEqual(['0']);
  await ledger.asProgram(sql`update losant_usage.instances set list_problem = null`);
});

test('a stream that was taken out is no longer in the way once its days were added, as advised', async () => {
  const orgId = '5d00000000000000000000a1';
  await ledger.asProgram(
    sql`update losant_usage.tracks set to_day = '2026-11-12', next_day = '2026-11-13'
      where org_id = ${orgId} and stream = 'payload_hours'`,
    sql`delete from losant_usage.coverage where org_id = ${orgId} and stream = 'payload_hours'
      and usage_date > '2026-11-12'`,
  );
  const blocker = sql`select array_to_string(streams, ' ') as streams, first_day, last_day
    from losant_usage.period_blockers
    where org_id = ${orgId} and cause = 'not_fully_tracked' and month = '2026-11-01'`;
  expect(await ledger.list(blocker)).toEqual(['payload_hours 2026-11-01 2026-11-23']);
  await backfill(ledger.db, WRITE, {
    scope: {
      instanceId: INSTANCE,
      orgIds: [orgId],
      streams: null,
      range: { from: '2026-11-01', to: '2026-11-23' },
    },
    nowMs: ledger.nowMs,
    policy: POLICY,
    makesRows: true,
    force: false,
  });
  expect(await ledger.list(blocker)).toEqual([]);
  expect((await ledger.tracks(orgId)).find((track) => track.startsWith('payload_hours'))).toBe(
    'payload_hours 09-20 11-24 11-23',
  );
});

test('days that were added after all streams had ended are not a whole month', async () => {
  const orgId = '5d00000000000000000000a5';
  const added = sql`org_id = ${orgId} and usage_date > '2026-09-30' and usage_date <> '2026-10-15'`;
  await ledger.asProgram(
    sql`update losant_usage.tracks set to_day = '2026-09-30', next_day = '2026-10-01' where org_id = ${orgId}`,
    sql`delete from losant_usage.coverage where ${added}`,
    sql`delete from losant_usage.usage_days where ${added}`,
  );
  const blockers = sql`select month, array_to_string(streams, ' ') as streams, first_day, last_day
    from losant_usage.period_blockers where org_id = ${orgId} and cause = 'not_fully_tracked' order by 1`;
  expect(await ledger.list(blockers)).toEqual([
    '2026-09-01 device_counts 2026-09-01 2026-09-30',
    '2026-10-01 - 2026-10-01 2026-10-31',
  ]);
});

test('one organization’s months are found by its key, and a month of all by the month', async () => {
  await ledger.db.transaction().execute(async (trx) => {
    await sql`set local enable_seqscan = off`.execute(trx);
    const planOf = async (where: string) => {
      const { rows } = await sql`explain select * from losant_usage_internal.period_sums
        where period = 'month' and ${sql.raw(where)}`.execute(trx);
      return JSON.stringify(rows);
    };
    expect(await planOf("org_id = '5d00000000000000000000a1'")).toContain('usage_days_org');
    expect(await planOf("period_start = '2026-11-01'")).toContain('usage_days_month');
  });
});
