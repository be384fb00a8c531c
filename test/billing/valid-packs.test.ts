/** Packs of unusual months, which nobody has changed. */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { totals } from '../usage/cells.ts';
import { INSTANCE, useBooks } from './books.ts';

const books = useBooks();

test('a pack is valid after FINAL_AFTER_HOURS has been raised', async () => {
  await books.addFinalOrg({ from: '2026-02-10', to: '2026-02-10' });
  const setHours = (hours: number) =>
    sql`update losant_usage.instances set policy = policy || jsonb_build_object('finalAfterHours', ${hours}::integer,
      'leastFinalAfterHours', 72)`;
  await books.asProgram(setHours(120));
  await books.close('2026-02');
  await books.asProgram(setHours(72));
  expect((await books.verifyMonth('2026-02')).problems).toEqual([]);
});

test('a pack is valid if counterparts differ on a day whose sums were still to be computed', async () => {
  const [month, days] = ['2026-08', { from: '2026-08-10', to: '2026-08-11' }];
  const orgId = await books.addOrg(days);
  await books.addCells({ orgId, ...days, stream: 'payload_sources' });
  await books.addCells({ orgId, ...days, stream: 'payload_totals', numbers: totals(10, 13, 1_200) });
  await books.asProgram(
    sql`update losant_usage.usage_days set payload_all_count = 12
      where org_id = ${orgId} and usage_date = ${days.from}`,
    sql`insert into losant_usage.instance_totals (instance_id, usage_date, metric)
      select ${INSTANCE}, day::date, 'payload_source_count' from unnest(array[${days.from}, ${days.to}]) as day`,
    sql`select losant_usage_internal.compute_our_sums(${INSTANCE}, ${days.from})`,
  );
  await books.accept(month);
  expect((await books.verifyMonth(month)).problems).toEqual([]);
});

test('a pack is valid if thousands of sources were restated at once', async () => {
  const days = { from: '2026-09-10', to: '2026-09-10' };
  const orgId = await books.addOrg(days);
  const names = Array.from({ length: 4_000 }, (_, index) => `${index}`.padStart(200, '"'));
  const sources = (count: number) => ({
    payload_source_count: 4_000 * count,
    payload_sources: { timer: Object.fromEntries(names.map((name) => [name, count])) },
  });
  await books.addCells({ orgId, ...days, stream: 'payload_sources', numbers: sources(1) });
  await books.restate(orgId, days.from, { stream: 'payload_sources', old: sources(1), numbers: sources(2) });
  await books.close('2026-09');
  expect((await books.verifyMonth('2026-09')).problems).toEqual([]);
});
