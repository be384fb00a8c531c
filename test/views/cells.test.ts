/** Views of completeness beside what a random ledger has. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { eachDay } from '../../src/usage/day.ts';
import { isLate } from '../../src/usage/policy.ts';
import { type Standing, standings, worstStanding } from '../../src/usage/standing.ts';
import { streamNames } from '../../src/usage/streams/catalog.ts';
import { at, useLedger } from '../ledger/ledger.ts';
import { queryOnce } from '../support/databases.ts';
import { makeWorld, NOW, ORGS, type World, type WorldCell, YESTERDAY } from './world.ts';

const given = useLedger(NOW);
let world: World;

beforeAll(async () => {
  world = await makeWorld(given.ledger, 20261124);
});

const line = (cell: WorldCell) => `${cell.day} ${cell.orgId} ${cell.stream} ${cell.standing}`;
const isGap = ({ standing }: { standing: Standing }) => standing === 'in_doubt' || standing === 'missing';

// Promise (Missing numbers): Every wanted number has one standing, in the database and in the program alike.
test('cells has every wanted cell up to yesterday with its standing as of now', async () => {
  const rows = await given.ledger.list(sql`select usage_date, org_id, stream, standing, is_stored, is_reported
    from losant_usage.cells order by usage_date, org_id, stream`);
  const expected = world.cells.map((cell) => `${line(cell)} ${cell.isStored} ${cell.isReported}`);
  expect(rows).toEqual(expected.sort());
});

// Promise (Missing numbers): What is late and not stored, or in doubt, is in coverage_gaps, and nothing else is.
test('coverage_gaps has exactly the cells that are missing or in doubt', async () => {
  const rows = await given.ledger.list(sql`select usage_date, org_id, stream, standing
    from losant_usage.coverage_gaps order by usage_date, org_id, stream`);
  expect(rows.length).toBeGreaterThan(10);
  expect(rows).toEqual(world.cells.filter(isGap).map(line).sort());
});

describe.each([...new Set(ORGS.map(({ instanceId }) => instanceId))])('of the instance %s', (instanceId) => {
  const orgs = ORGS.filter((org) => org.instanceId === instanceId);
  const cellsOf = (stream: string) =>
    world.cells.filter((cell) => cell.instanceId === instanceId && cell.stream === stream);

  test.each(streamNames)('freshness tells how far %s reaches', async (stream) => {
    const [row] = await given.ledger.ask(sql`select * from losant_usage.freshness
      where instance_id = ${instanceId} and stream = ${stream}`);
    const tracked = orgs.filter(({ streams }) => streams.includes(stream));
    const active = tracked.filter(({ toDay }) => toDay === null);
    const cells = cellsOf(stream);
    const open = cells.filter((cell) => isGap(cell) || cell.standing === 'waiting');
    const gaps = cells
      .filter(isGap)
      .map(({ day }) => day)
      .sort();
    const firstDay = tracked.map((each) => each.firstDay).sort()[0] ?? '';
    const missingFrom = open.map(({ day }) => day).sort()[0];
    const before = eachDay({ from: firstDay, to: YESTERDAY }).filter(
      (day) => missingFrom === undefined || day < missingFrom,
    );
    expect(row).toMatchObject({
      first_day: firstDay,
      last_day: YESTERDAY,
      complete_to: before.at(-1) ?? null,
      orgs: active.length,
      orgs_complete: active.filter(({ orgId }) => open.every((cell) => cell.orgId !== orgId)).length,
      gaps: gaps.length,
      orgs_with_gaps: new Set(cells.filter(isGap).map(({ orgId }) => orgId)).size,
      oldest_gap: gaps[0] ?? null,
      newest_gap: gaps.at(-1) ?? null,
    });
  });

  test.each(streamNames)('health counts the cells of %s by standing', async (stream) => {
    const [row] = await given.ledger.ask(sql`select * from losant_usage.health
      where instance_id = ${instanceId} and stream = ${stream}`);
    const cells = cellsOf(stream);
    const count = (standing: Standing) => cells.filter((cell) => cell.standing === standing).length;
    const yesterday = cells.filter(({ day }) => day === YESTERDAY);
    const ofYesterday = (standing: Standing) => yesterday.filter((cell) => cell.standing === standing).length;
    expect(row).toMatchObject({
      ...Object.fromEntries(standings.map((standing) => [standing, count(standing)])),
      unreported: cells.filter((cell) => cell.isStored && !cell.isReported).length,
      yesterday_waiting: ofYesterday('waiting'),
      yesterday_unavailable: ofYesterday('unavailable'),
      yesterday_in_doubt: ofYesterday('in_doubt'),
      yesterday_missing: ofYesterday('missing'),
      failing: cells.filter((cell) => cell.isStored && cell.attempts > 1).length,
      organizations: orgs.filter(({ removedOn }) => removedOn === null).length,
      organizations_removed: orgs.filter(({ removedOn }) => removedOn !== null).length,
    });
  });
});

test('health counts gaps that pass the horizon within a week', async () => {
  const { ledger } = given;
  const early = '2026-09-20';
  const expiring = sql`select sum(gaps_expiring) as n from losant_usage.health`;
  expect(await ledger.list(expiring)).toEqual(['0']);
  await ledger.setTime('2026-12-13T03:00:00.000Z');
  const gaps = world.cells.filter((cell) => cell.day === early && isGap(cell));
  expect(await ledger.list(expiring)).toEqual([String(gaps.length)]);
  await ledger.setTime(NOW);
});

// Promise (Missing numbers): The standing of a day, an organization and a month is that of its worst number.
test('the standing of a day is that of its worst cell, in the database and in the program', async () => {
  const words = await given.ledger.list(sql`select unnest(enum_range(null::losant_usage.standing)) as word`);
  expect(words).toEqual(standings);
  const worst = await given.ledger.list(sql`select a, b, greatest(a, b) as worst
    from unnest(enum_range(null::losant_usage.standing)) a, unnest(enum_range(null::losant_usage.standing)) b`);
  const pairs = standings.flatMap((a) => standings.map((b) => `${a} ${b} ${worstStanding([a, b])}`));
  expect(worst.sort()).toEqual(pairs.sort());
});

test.each([
  '2026-11-24T00:00:00.000Z',
  '2026-11-24T05:59:59.999Z',
  '2026-11-24T06:00:00.000Z',
  '2026-11-24T23:59:59.999Z',
  '2027-03-01T05:59:59.999Z',
  '2028-03-01T06:00:00.000Z',
])('at %s the same days are late in the database and in the program', async (now) => {
  await given.ledger.setTime(now);
  const [before] = await given.ledger.list(sql`select losant_usage_internal.late_before()::text as day`);
  const days = eachDay({ from: '2026-11-20', to: '2028-03-02' });
  expect(days.filter((day) => day < (before ?? ''))).toEqual(days.filter((day) => isLate(day, at(now))));
  await given.ledger.setTime(NOW);
});

/** The views with the columns whose comments do not speak of a null: the program takes such a column to have a value. */
const WITHOUT_NULLS = `
  select c.relname as view, array_agg(quote_ident(a.attname)) as columns
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'
    and col_description(c.oid, a.attnum) !~* 'null'
  group by c.relname`;

test('no view has a null that the comment of its column does not speak of', async () => {
  const { url } = given.ledger;
  for (const { view, columns } of await queryOnce(url, WITHOUT_NULLS)) {
    const counts = (columns as string[]).map(
      (column) => `count(*) filter (where ${column} is null)::integer as ${column}`,
    );
    const [nulls] = await queryOnce(url, `select ${counts.join(', ')} from losant_usage.${String(view)}`);
    const found = Object.entries(nulls ?? {}).filter(([, count]) => count !== 0);
    expect([view, found]).toEqual([view, []]);
  }
});
