/** An old month is removed by its command, and nothing is missing, due or on record for it. */
import { beforeAll, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { useExport } from './export.ts';

const monthOf = (back: number) => {
  const [year, month] = daysAgo(0).split('-').map(Number) as [number, number];
  return new Date(Date.UTC(year, month - 1 - back, 1)).toISOString().slice(0, 10);
};
const [REMOVED, KEPT] = [monthOf(2), monthOf(1)];

/** Each day is read once, whatever its age, and final from then on. */
const ONCE = { READ_AT_HOURS: '0', FINAL_AT_HOURS: '0', HORIZON_DAYS: '100' };

const exported = useExport({ orgs: 2 });

beforeAll(async () => {
  for (const args of [['run'], ['backfill', '--from', REMOVED]]) {
    const { code, stderr } = await exported.run(args, ONCE);
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
  }
});

const daily = async (where: string) =>
  await exported.place.query(
    `select * from losant_usage.daily_usage where ${where} order by usage_date, org_id`,
  );

it('removes the month, and nothing after it', async () => {
  const kept = await daily(`usage_date >= '${KEPT}'`);
  const pruned = await exported.run(['prune', '--before', KEPT, '--json'], ONCE);
  expect(pruned.code).toBe(0);
  expect(jsonOf(pruned)).toMatchObject({
    instances: [{ months: [{ month: REMOVED.slice(0, 7) }], kept: null }],
  });
  expect(await daily(`usage_date < '${KEPT}'`)).toEqual([]);
  expect(await daily(`usage_date >= '${KEPT}'`)).toEqual(kept);
});

it('leaves no gap and no change on record, and reads nothing again', async () => {
  expect(await exported.place.query('select * from losant_usage.revisions')).toEqual([]);
  expect(await exported.place.query('select * from losant_usage.known_missing')).toEqual([]);
  const gaps = await exported.run(['gaps', '--all', '--json'], ONCE);
  expect(gaps.code).toBe(0);
  expect(jsonOf(gaps)).toEqual([]);
  const run = await exported.run(['run', '--json'], ONCE);
  expect(run.code).toBe(0);
  expect(jsonOf(run)).toMatchObject({ status: 'complete', cells: { planned: 0 } });
  expect((await exported.run(['status'], ONCE)).code).toBe(0);
  expect(await daily(`usage_date < '${KEPT}'`)).toEqual([]);
});
