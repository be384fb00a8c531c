/** The lists of streams and metrics that stand in SQL again, and in the program, are those of the reference tables. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { METRICS } from '../../src/billing/pack-files.ts';
import { streams, usualStreamNames } from '../../src/usage/streams/catalog.ts';
import { answer, row, values } from '../database/answers.ts';
import { useLedger } from '../database/ledger.ts';
import { devices, sources, trackedOrg } from './loads.ts';

interface Metric {
  readonly metric: string;
  readonly stream: string;
  readonly source_column: string;
  readonly unit: string;
  readonly kind: string;
}

const DAY = '2026-10-01';
const ledger = useLedger();
let metrics: readonly Metric[];
let orgId: string;
/** As text, the moment before anything was loaded. */
let before: string;

/** An organization of which each metric has another number. */
beforeAll(async () => {
  metrics = (await ask(sql`select metric, stream, source_column, unit, kind
    from losant_usage.metrics order by position`)) as Metric[];
  orgId = await trackedOrg(ledger, usualStreamNames, { from: DAY, to: DAY });
  const [clock] = await ask(sql`select clock_timestamp()::text as now`);
  before = (clock as { now: string }).now;
  await ledger.load([
    devices(orgId, DAY, 1, 2, 3),
    answer(values(row(4, 5, 6, 7, 8)), { orgId, day: DAY, stream: 'notebook_minutes' }),
    answer(values(row(9, 10, 11)), { orgId, day: DAY, stream: 'payload_totals' }),
    sources(orgId, DAY, 12),
  ]);
});

const { ask } = ledger;

test('proof packs have the metrics of the table, in its order, with their streams, units and kinds', () => {
  expect([...METRICS].map(([metric, of]) => ({ metric, ...of }))).toEqual(
    metrics.map(({ metric, stream, unit, kind }) => ({ metric, stream, unit, kind })),
  );
});

/** A row whose columns or names are metrics, from 1 on in the order of their position. */
const numbered = () => Object.fromEntries(metrics.map(({ metric }, index) => [metric, index + 1]));

test('the program has the streams of the table, in the same order', async () => {
  expect(
    await ask(sql`select stream, missing_means, key_columns from losant_usage.streams order by position`),
  ).toEqual(
    streams.map(({ name, missingMeans, keyColumns }) => ({
      stream: name,
      missing_means: missingMeans,
      key_columns: keyColumns,
    })),
  );
});

test('the program has the metrics of the table, in the same order', () => {
  expect(metrics.map(({ stream, metric, source_column }) => [stream, source_column, metric])).toEqual(
    streams.flatMap(({ name, columns, metrics: names }) =>
      names.map((metric, index) => [name, columns[index], metric]),
    ),
  );
});

test('usage_days has a column for each metric', async () => {
  const columns = sql`select attname as name from pg_attribute
    where attrelid = 'losant_usage.usage_days'::regclass and attnum > 0 and not attisdropped order by attnum`;
  expect((await ask(columns)).map((each) => Object.values(each)[0])).toEqual([
    'usage_date',
    'org_id',
    ...metrics.map(({ metric }) => metric),
  ]);
});

describe('each metric has its own number', () => {
  test.each([
    ['daily_usage', sql`select * from losant_usage.daily_usage`],
    ['monthly_usage', sql`select * from losant_usage.monthly_usage`],
    ['period_usage', sql`select * from losant_usage.period_usage`],
    ['usage_as_of', sql`select * from losant_usage.usage_as_of(now())`],
  ])('as a column of %s', async (_, view) => {
    expect(await ask(sql`select * from (${view}) as v where org_id = ${orgId}`)).toMatchObject([numbered()]);
  });

  test('as a row of daily_usage_long, with its unit and kind', async () => {
    const rows = sql`select l.metric, l.stream, m.source_column, l.unit, l.kind, l.quantity
      from losant_usage.daily_usage_long l join losant_usage.metrics m on m.metric = l.metric
      where org_id = ${orgId} order by m.position`;
    expect(await ask(rows)).toEqual(metrics.map((metric, index) => ({ ...metric, quantity: index + 1 })));
  });

  test('as a row of changes_since', async () => {
    const rows = sql`select c.metric, c.new_quantity from losant_usage.changes_since(${before}::timestamptz) c
      join losant_usage.metrics m on m.metric = c.metric where org_id = ${orgId} order by m.position`;
    expect(await ask(rows)).toEqual(
      metrics.map(({ metric }, index) => ({ metric, new_quantity: index + 1 })),
    );
  });

  test('as it was at an earlier moment, in usage_as_of', async () => {
    const [clock] = await ask(sql`select clock_timestamp()::text as now`);
    const later = { sentAtMs: Date.parse('2026-11-23T12:00:00.000Z') };
    await ledger.load([
      { ...devices(orgId, DAY, 0, 0, 0), ...later },
      answer(values(row(0, 0, 0, 0, 0)), { orgId, day: DAY, stream: 'notebook_minutes', ...later }),
      answer(values(row(0, 0, 0)), { orgId, day: DAY, stream: 'payload_totals', ...later }),
      { ...sources(orgId, DAY), ...later },
    ]);
    const { now } = clock as { now: string };
    const then = sql`select * from losant_usage.usage_as_of(${now}::timestamptz) where org_id = ${orgId}`;
    expect(await ask(then)).toMatchObject([numbered()]);
  });

  test.each(['device_counts', 'notebook_minutes', 'payload_totals'])(
    'in the words of the source, in %s',
    async (stream) => {
      const of = metrics.filter((metric) => metric.stream === stream);
      const view = sql`select to_jsonb(v) as value from ${sql.table(`losant_usage.${stream}`)} v where org_id = ${orgId}`;
      const [found] = (await ask(view)) as { value: object }[];
      expect(Object.keys(found?.value ?? {}).toSorted()).toEqual(
        [
          'usage_date',
          'org_id',
          'revision',
          'run_id',
          'loaded_at',
          ...of.map((each) => each.source_column),
        ].toSorted(),
      );
    },
  );
});
