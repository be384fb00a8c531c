/** Views of completeness, and of usage by day and hour, beside what a random ledger has. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { addDays, eachDay } from '../../src/usage/day.ts';
import type { Numbers, PayloadSources } from '../../src/usage/numbers.ts';
import { isLate } from '../../src/usage/policy.ts';
import { type Standing, standings, worstStanding } from '../../src/usage/standing.ts';
import { streamNamed, streamNames } from '../../src/usage/streams/catalog.ts';
import { at, INSTANCE, useLedger } from '../ledger/ledger.ts';
import { queryOnce } from '../support/databases.ts';
import { makeWorld, NOW, ORGS, type World, type WorldCell, YESTERDAY } from './world.ts';

const ledger = useLedger(NOW);
let world: World;

beforeAll(async () => {
  world = await makeWorld(ledger, 20261124);
});

const line = (cell: WorldCell) => `${cell.day} ${cell.orgId} ${cell.stream} ${cell.standing}`;
const isGap = ({ standing }: { standing: Standing }) => standing === 'in_doubt' || standing === 'missing';

// Promise (Missing numbers): Every wanted number has one standing, in the database and in the program alike.
test('cells has every wanted cell up to yesterday with its standing as of now', async () => {
  const rows = await ledger.list(sql`select usage_date, org_id, stream, standing, is_stored, is_reported
    from losant_usage.cells order by usage_date, org_id, stream`);
  const expected = world.cells.map((cell) => `${line(cell)} ${cell.isStored} ${cell.isReported}`);
  expect(rows).toEqual(expected.sort());
});

// Promise (Missing numbers): What is late and not stored, or in doubt, is in coverage_gaps, and nothing else is.
test('coverage_gaps has exactly the cells that are missing or in doubt', async () => {
  const rows = await ledger.list(sql`select usage_date, org_id, stream, standing
    from losant_usage.coverage_gaps order by usage_date, org_id, stream`);
  expect(rows.length).toBeGreaterThan(10);
  expect(rows).toEqual(world.cells.filter(isGap).map(line).sort());
});

describe.each([...new Set(ORGS.map(({ instanceId }) => instanceId))])('of the instance %s', (instanceId) => {
  const orgs = ORGS.filter((org) => org.instanceId === instanceId);
  const cellsOf = (stream: string) =>
    world.cells.filter((cell) => cell.instanceId === instanceId && cell.stream === stream);

  test.each(streamNames)('health counts the cells of %s by standing', async (stream) => {
    const [row] = await ledger.ask(sql`select * from losant_usage.health
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
  const words = await ledger.list(sql`select unnest(enum_range(null::losant_usage.standing)) as word`);
  expect(words).toEqual(standings);
  const worst = await ledger.list(sql`select a, b, greatest(a, b) as worst
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
  await ledger.setTime(now);
  const [before] = await ledger.list(sql`select losant_usage_internal.late_before()::text as day`);
  const days = eachDay({ from: '2026-11-20', to: '2028-03-02' });
  expect(days.filter((day) => day < (before ?? ''))).toEqual(days.filter((day) => isLate(day, at(now))));
  await ledger.setTime(NOW);
});

/** The views with the columns whose comments do not speak of a null: the program takes such a column to have a value. */
const WITHOUT_NULLS = `
  select c.relname as view, array_agg(quote_ident(a.attname)) as columns
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'
    and col_description(c.oid, a.attnum) !~* 'null'
  group by c.relname`;

test('no view has a null that the comment of its column does not speak of', async () => {
  const { url } = ledger;
  for (const { view, columns } of await queryOnce(url, WITHOUT_NULLS)) {
    const counts = (columns as string[]).map(
      (column) => `count(*) filter (where ${column} is null)::integer as ${column}`,
    );
    const [nulls] = await queryOnce(url, `select ${counts.join(', ')} from losant_usage.${String(view)}`);
    const found = Object.entries(nulls ?? {}).filter(([, count]) => count !== 0);
    expect([view, found]).toEqual([view, []]);
  }
});

/** What a day has besides its numbers. */
const KEPT = ['usage_date', 'month', 'org_id', 'standing', 'is_waiting', 'is_stored', 'is_reported'];
/** The metrics that a stream stores as a number of the day. */
const metricsOf = (stream: string) =>
  streamNamed(stream).columns.filter(
    (column) => column !== 'payload_sources' && !column.startsWith('hours_'),
  );
const byDay = () =>
  [...Map.groupBy(world.cells, ({ day, orgId }) => `${day} ${orgId}`)].sort(([a], [b]) => (a < b ? -1 : 1));
const worst = (cells: readonly WorldCell[]) => worstStanding(cells.map(({ standing }) => standing));

// Promise (Missing numbers): A number that is not stored is null, never 0, and every wanted day has a row.
test('daily_usage has a row for each wanted day, null where a number is not stored', async () => {
  const rows = await ledger.ask(sql`select * from losant_usage.daily_usage order by usage_date, org_id`);
  const expected = byDay().map(([, cells]) => {
    const numbers = cells.flatMap(({ stream, numbers: known }) =>
      metricsOf(stream).map((metric) => [metric, known?.[metric] ?? null]),
    );
    return {
      usage_date: cells[0]?.day,
      org_id: cells[0]?.orgId,
      instance_id: cells[0]?.instanceId,
      referral_id: 'C-1',
      tags: [{ key: 'tier', value: 'gold' }],
      standing: worst(cells),
      is_final: worst(cells) === 'final',
      is_reported: cells.every((cell) => !cell.isStored || cell.isReported),
      ...Object.fromEntries(numbers),
    };
  });
  expect(rows).toHaveLength(expected.length);
  for (const [index, row] of rows.entries()) expect(row).toMatchObject(expected[index] ?? {});
});

test('daily_usage_long has a row for each wanted number, with unit and kind', async () => {
  const rows =
    await ledger.list(sql`select usage_date, org_id, metric, quantity, standing, is_final, is_reported, unit, kind
    from losant_usage.daily_usage_long order by usage_date, org_id, metric`);
  const words = await ledger.ask(sql`select metric, unit || ' ' || kind as word from losant_usage.metrics`);
  const wordOf = new Map(words.map((row) => Object.values(row) as [string, string]));
  const expected = world.cells.flatMap((cell) =>
    metricsOf(cell.stream).map((metric) => {
      const quantity = (cell.numbers?.[metric] as number | undefined) ?? '-';
      const flags = `${cell.standing} ${cell.standing === 'final'} ${cell.isReported}`;
      return `${cell.day} ${cell.orgId} ${metric} ${quantity} ${flags} ${wordOf.get(metric)}`;
    }),
  );
  expect(rows).toEqual(expected.sort());
});

test('payload_sources has each source of each stored day', async () => {
  const rows = await ledger.list(
    sql`select usage_date, org_id, payload_type, source, count from losant_usage.payload_sources`,
  );
  const expected = world.cells.flatMap(({ day, orgId, numbers }) =>
    Object.entries((numbers?.['payload_sources'] ?? {}) as PayloadSources).flatMap(([type, sources]) =>
      Object.entries(sources).map(([source, count]) => `${day} ${orgId} ${type} ${source} ${count}`),
    ),
  );
  expect(rows.sort()).toEqual(expected.sort());
});

test('the program has the streams and metrics of the tables, which usage_days has as columns', async () => {
  expect(await ledger.list(sql`select stream from losant_usage.streams order by position`)).toEqual(
    streamNames,
  );
  const metrics = await ledger.list(sql`select stream, metric from losant_usage.metrics order by position`);
  const counted = streamNames.flatMap((stream) => metricsOf(stream).map((metric) => `${stream} ${metric}`));
  expect(metrics.sort()).toEqual(counted.sort());
  const columns = await ledger.list(sql`select attname from pg_attribute
    where attrelid = 'losant_usage.usage_days'::regclass and attnum > 0 and not attisdropped`);
  expect(columns.sort()).toEqual(
    [...KEPT, ...streamNames.flatMap((name) => streamNamed(name).columns)].sort(),
  );
});

test('our sums beside the totals of Losant are those of every metric', async () => {
  await ledger.asProgram(
    sql`insert into losant_usage.instance_totals (instance_id, usage_date, metric)
      select ${INSTANCE}, '2026-11-02', metric from losant_usage.metrics`,
    sql`select losant_usage_internal.sum_days(${INSTANCE})`,
  );
  const cells = world.cells.filter((cell) => cell.instanceId === INSTANCE && cell.day === '2026-11-02');
  const sums = streamNames.flatMap((stream) =>
    metricsOf(stream).map((metric) => {
      const ofStream = cells.filter((cell) => cell.stream === stream && cell.numbers !== null);
      return `${metric} ${ofStream.reduce((sum, { numbers }) => sum + BigInt(numbers?.[metric] as number), 0n)}`;
    }),
  );
  const rows = sql`select metric, our_sum from losant_usage.instance_totals`;
  expect((await ledger.list(rows)).sort()).toEqual(sums.sort());
});

test('organization_tags has a row for each tag, and counts the repetitions of a key', async () => {
  await ledger.asProgram(sql`update losant_usage.organizations set tags =
    '[{"key": "tier", "value": "gold"}, {"key": "area", "value": "north"}, {"key": "tier", "value": "silver"}]'
    where org_id like '%a1'`);
  const rows = sql`select key, value, nth from losant_usage.organization_tags
    where org_id like '%a1' order by key, nth`;
  expect(await ledger.list(rows)).toEqual(['area north 1', 'tier gold 1', 'tier silver 2']);
  await ledger.asProgram(
    sql`update losant_usage.organizations set tags = '[{"key": "tier", "value": "gold"}]'`,
  );
});

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const hourOf = (numbers: Numbers | null, column: string, hour: number) =>
  (numbers?.[column] as readonly number[] | undefined)?.[hour];

test('hourly_usage has a row for each hour of the days whose hours are wanted', async () => {
  const range = { from: '2026-11-15', to: YESTERDAY };
  const rows = await ledger.list(sql`select usage_date, org_id, hour, standing,
      payload_billable_count, payload_all_count, payload_all_bytes
    from losant_usage.hourly_usage where usage_date >= ${range.from}`);
  const cells = world.cells.filter(({ stream, day }) => stream === 'payload_hours' && day >= range.from);
  const expected = cells.flatMap(({ day, orgId, standing, numbers }) =>
    HOURS.map((hour) => {
      const at = `${day}T${String(hour).padStart(2, '0')}:00:00.000Z`;
      const counts = streamNamed('payload_hours').columns.map(
        (column) => hourOf(numbers, column, hour) ?? '-',
      );
      return `${day} ${orgId} ${at} ${standing} ${counts.join(' ')}`;
    }),
  );
  expect(rows.sort()).toEqual(expected.sort());
});

describe('days of a time zone', () => {
  const ZONES = ['UTC', 'America/New_York', 'Pacific/Auckland', 'Europe/Berlin'];
  const ORG = '5d00000000000000000000a1';

  /** The day and hour of an instant in a zone, by the program's own calendar. */
  const localDay = (at: number, timeZone: string) =>
    new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' }).format(
      at,
    );

  test.each(ZONES)('add up the UTC hours of %s, and are null unless all are stored', async (zone) => {
    const rows =
      await ledger.list(sql`select local_date, hours, hours_stored, standing, is_final, payload_all_count
      from losant_usage.local_daily_usage(${zone}) where org_id = ${ORG} order by local_date`);
    const hours = world
      .cellsOf(ORG, '2026-09-20', YESTERDAY)
      .filter(({ stream }) => stream === 'payload_hours')
      .flatMap((cell) =>
        HOURS.map((hour) => ({ cell, at: Date.parse(`${cell.day}T00:00:00Z`) + hour * 3_600_000, hour })),
      );
    const days = [...Map.groupBy(hours, ({ at }) => localDay(at, zone))];
    const expected = days.map(([day, each]) => {
      // The hours of the local day of which no UTC day is wanted count too.
      const all = eachDay({ from: addDays(day, -1), to: addDays(day, 1) })
        .flatMap((utc) => HOURS.map((hour) => Date.parse(`${utc}T00:00:00Z`) + hour * 3_600_000))
        .filter((at) => localDay(at, zone) === day).length;
      const stored = each.filter(({ cell }) => cell.isStored).length;
      const standing = worstStanding(each.map(({ cell }) => cell.standing)) as Standing;
      const sum = each.reduce(
        (total, { cell, hour }) => total + (hourOf(cell.numbers, 'hours_all_count', hour) ?? 0),
        0,
      );
      const isWhole = stored === all;
      return `${day} ${all} ${stored} ${standing} ${isWhole && standing === 'final'} ${isWhole ? sum : '-'}`;
    });
    expect(rows).toEqual(expected.sort());
  });

  test.each([
    ['Asia/Kolkata', 'off UTC by a part of an hour'],
    ['Australia/Lord_Howe', 'off UTC by a part of an hour'],
    ['Mars/Olympus', 'time zone'],
  ])('of %s are refused', async (zone, message) => {
    const query = sql`select from losant_usage.local_daily_usage(${zone})`;
    await expect(ledger.ask(query)).rejects.toThrow(message);
  });
});

// Promise (Numbers): A usage day is a UTC day under any time zone of the host, the database session or the reader.
test('every view is the same whatever the time zone of the session', async () => {
  const views = [
    'cells',
    'daily_usage',
    'monthly_usage',
    'period_usage',
    'period_blockers',
    'freshness',
    'hourly_usage',
  ];
  const read = (zone: string) =>
    ledger.db.transaction().execute(async (trx) => {
      await sql`select set_config('timezone', ${zone}, true)`.execute(trx);
      const sums: unknown[] = [];
      for (const view of views) {
        const { rows } = await sql`select count(*) as n, sum(hash_record(v)) as h
          from ${sql.table(`losant_usage.${view}`)} v`.execute(trx);
        sums.push(rows);
      }
      return sums;
    });
  const inUtc = await read('UTC');
  expect(await read('Pacific/Auckland')).toEqual(inUtc);
  expect(await read('America/New_York')).toEqual(inUtc);
});

// Promise (Missing numbers): A day is not final while a stream that wants it has no row for it.
test('a stream that begins on days of others makes them missing until it has its own rows', async () => {
  const orgId = '5d00000000000000000000a5';
  const standingsOfDays = sql`select distinct standing from losant_usage.daily_usage
    where org_id = ${orgId} and usage_date between '2026-10-01' and '2026-10-03'`;
  const cell = sql`usage_date between '2026-10-01' and '2026-10-03' and org_id = ${orgId}`;
  const final = sql`update losant_usage.coverage set standing = 'final', is_stored = true, revision = 1, reason = null,
    first_loaded_at = now(), finalized_at = now(), verified_at = now() where ${cell}`;
  await ledger.asProgram(final);
  expect(await ledger.list(standingsOfDays)).toEqual(['final']);
  await ledger.asProgram(sql`insert into losant_usage.tracks (org_id, stream, first_day, next_day)
    values (${orgId}, 'payload_totals', '2026-10-01', '2026-10-01')`);
  expect(await ledger.list(standingsOfDays)).toEqual(['missing']);
  await ledger.asProgram(
    sql`insert into losant_usage.coverage (usage_date, org_id, stream, reason)
      select usage_date, org_id, 'payload_totals', 'never_read' from losant_usage.usage_days where ${cell}`,
    sql`update losant_usage.tracks set next_day = '2026-11-24' where org_id = ${orgId}`,
    final,
  );
  expect(await ledger.list(standingsOfDays)).toEqual(['final']);
  // Late, a cell that waits is worse than one that is unavailable.
  await ledger.asProgram(sql`update losant_usage.coverage set is_stored = false, reason = 'why',
    standing = (case stream when 'payload_totals' then 'unavailable' else 'waiting' end)::losant_usage.standing
    where ${cell}`);
  expect(await ledger.list(standingsOfDays)).toEqual(['missing']);
});
