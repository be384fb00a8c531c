/** Streams and metrics of the program are those of the tables; each metric has its own number in every view. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { streamNames, streams } from '../../src/usage/streams/catalog.ts';
import { answer, useLedger } from '../ledger/ledger.ts';
import { devices, named, sources, totals } from '../usage/cells.ts';

const DAY = '2026-10-01';
/** What a day has besides its numbers. */
const KEPT = ['usage_date', 'month', 'org_id', 'standing', 'is_waiting', 'is_stored', 'is_reported'];
const given = useLedger('2026-11-24T12:00:00.000Z');
let metrics: string[];
let orgId: string;

/** An organization of which each metric has another number, from 1 on in the order of their positions. */
beforeAll(async () => {
  const { ledger } = given;
  metrics = await ledger.list(sql`select metric from losant_usage.metrics order by position`);
  orgId = await ledger.want({ from: DAY, to: DAY }, streamNames);
  const notebook = ['minutes', 'completed', 'canceled', 'errored', 'timeout'];
  await ledger.load([
    answer(orgId, 'device_counts', DAY, named(devices(1, 2, 3))),
    answer(
      orgId,
      'notebook_minutes',
      DAY,
      named(Object.fromEntries(notebook.map((each, index) => [`notebook_${each}`, index + 4]))),
    ),
    answer(orgId, 'payload_totals', DAY, named(totals(9, 10, 11))),
    answer(orgId, 'payload_sources', DAY, named(sources(12))),
  ]);
  await ledger.asProgram(sql`update losant_usage.organizations set current_period_start = '2026-10-01T00:00:00Z',
    current_period_end = '2026-11-01T00:00:00Z' where org_id = ${orgId}`);
});

test('the program has the streams and metrics of the tables, which usage_days has as columns', async () => {
  const { ledger } = given;
  const known = await ledger.list(sql`select stream from losant_usage.streams order by position`);
  expect(known).toEqual(streamNames);
  const columns = await ledger.list(sql`select attname from pg_attribute
    where attrelid = 'losant_usage.usage_days'::regclass and attnum > 0 and not attisdropped`);
  expect(columns.sort()).toEqual([...KEPT, ...streams.flatMap((stream) => stream.columns)].sort());
  for (const stream of streams) {
    const ofStream = await ledger.list(
      sql`select metric from losant_usage.metrics where stream = ${stream.name} order by position`,
    );
    const counted = stream.columns.filter(
      (column) => column !== 'payload_sources' && !column.startsWith('hours_'),
    );
    expect(ofStream).toEqual(counted);
  }
});

describe('each metric has its own number', () => {
  const numbered = () => Object.fromEntries(metrics.map((metric, index) => [metric, index + 1]));

  test.each([
    ['daily_usage', sql`select * from losant_usage.daily_usage`],
    ['monthly_usage', sql`select * from losant_usage.monthly_usage`],
    ['period_usage', sql`select * from losant_usage.period_usage`],
    ['usage_as_of', sql`select * from losant_usage.usage_as_of(now())`],
  ])('as a column of %s', async (_, view) => {
    const rows = await given.ledger.ask(sql`select * from (${view}) as v where org_id = ${orgId}`);
    expect(rows).toMatchObject([numbered()]);
  });

  test.each([
    ['daily_usage_long', sql`select org_id, metric, quantity from losant_usage.daily_usage_long`],
    ['changes_since', sql`select org_id, metric, new_quantity from losant_usage.changes_since('2026-01-01')`],
  ])('as a row of %s', async (_, view) => {
    const rows = sql`select v.* from (${view}) as v join losant_usage.metrics m on m.metric = v.metric
      where v.org_id = ${orgId} order by m.position`;
    expect(await given.ledger.list(rows)).toEqual(
      metrics.map((metric, index) => `${orgId} ${metric} ${index + 1}`),
    );
  });

  test('as our sum beside Losant’s total', async () => {
    await given.ledger.asProgram(
      sql`select losant_usage_internal.sum_days(instance_id) from losant_usage.instances`,
    );
    const rows = sql`select t.metric, t.our_sum from losant_usage.instance_totals t
      join losant_usage.metrics m on m.metric = t.metric
      order by m.position`;
    expect(await given.ledger.list(rows)).toEqual(metrics.map((metric, index) => `${metric} ${index + 1}`));
  });
});
