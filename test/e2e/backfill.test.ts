import { afterEach, beforeEach, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { type Export, openExport } from './export.ts';
import { firstDifference, readStored, readTruth } from './usage.ts';

const to = daysAgo(1);
const ORGS = 6;

let exported: Export;
beforeEach(async () => {
  exported = await openExport({ orgs: ORGS });
});
afterEach(() => exported.close());

// Promise (Runs): A backfill sends no request more than its days need.
it('reads ninety days in as few windows as possible, the last week first', async () => {
  const { platform, place, run } = exported;
  const from = daysAgo(90);
  const ended = await run(['backfill', '--json', '--from', from, '--to', to]);
  expect(ended.code).toBe(0);
  const report = jsonOf(ended);
  // A window of the last week and three of at most 31 days, five requests each, and a request a day for the sources;
  // the instance's own totals in three windows; the list and Get instance.
  expect(report.requests).toBe(ORGS * (5 * 4 + 90) + (5 * 3 + 90) + 2);
  expect(report).toMatchObject({ kind: 'backfill', status: 'complete', from, to, orgs: ORGS, failures: [] });
  expect(report.cells).toMatchObject({ planned: ORGS * 4 * 90, loaded: ORGS * 4 * 90 });
  expect(firstDifference(await readStored(place), await readTruth(platform, from, to))).toBeNull();
});

it('goes on where it was killed, and ends with every row', async () => {
  const { platform, spawn, run } = exported;
  const from = daysAgo(31);
  const args = ['backfill', '--json', '--from', from, '--to', to];
  await run(['migrate']);
  await platform.control('config', { latencyMs: 60 });
  const killed = spawn(args, { REQUEST_CONCURRENCY: '4' });
  await until('a good part is stored', async () => {
    const [row] = await exported.place.query(
      'select count(*)::int as cells from losant_usage.coverage where is_stored',
    );
    return (row?.['cells'] as number) > 60;
  });
  killed.kill('SIGKILL');
  expect((await killed.ended).code).toBeNull();

  const [before] = await exported.place.query(
    `select count(*)::int as cells from losant_usage.coverage where is_stored`,
  );
  const stored = before?.['cells'] as number;
  const planned = ORGS * 4 * 31;
  expect(stored).toBeLessThan(planned);
  await platform.control('config', { latencyMs: 0 });
  // The lease of a dead process lapses within a minute.
  await exported.place.query('update losant_usage.leases set until = now()');
  const ended = await run(args);
  expect(ended.code).toBe(0);
  expect(jsonOf(ended)).toMatchObject({
    status: 'complete',
    cells: { planned: planned - stored, loaded: planned - stored, unchanged: 0 },
  });
  expect(firstDifference(await readStored(exported.place), await readTruth(platform, from, to))).toBeNull();

  const nothing = await run(args);
  expect(nothing.code).toBe(0);
  expect(jsonOf(nothing)).toMatchObject({ runId: null, status: 'complete', cells: { planned: 0 } });
});

it('that ends before the days that are collected leaves no hole: the days between are read too', async () => {
  const { place, run } = exported;
  expect((await run(['run'])).code).toBe(0);
  const days = ['--from', daysAgo(8), '--to', daysAgo(6)];
  const ended = await run(['backfill', '--json', ...days]);
  expect(ended.code).toBe(0);
  expect(jsonOf(ended)).toMatchObject({ from: daysAgo(8), to: daysAgo(2), cells: { planned: ORGS * 4 * 7 } });
  const truth = await readTruth(exported.platform, daysAgo(8), daysAgo(1));
  expect(firstDifference(await readStored(place), truth)).toBeNull();
  expect(jsonOf(await run(['backfill', '--json', ...days])).cells).toMatchObject({ planned: 0 });
});
