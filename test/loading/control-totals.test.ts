/** Losant's control totals: when they are read, and that they change no number and fail no run. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { DAY_MS, HOUR_MS } from '../../src/usage/day.ts';
import { NOW } from '../simulator/platform.ts';
import { createStage, type Stage } from './stage.ts';

const DAY = '2026-11-23';
/** The final threshold of the day. */
const FINAL = NOW + 3 * DAY_MS;
const range = { from: DAY, to: DAY };

const readOutcomes = async ({ query }: Stage) =>
  await query(`select outcome, reason, count(*)::integer as metrics from losant_usage.reconciliation
    where compared_with = 'losant' and usage_date = '${DAY}' group by 1, 2 order by 1, 2`);

const readDifferences = async ({ query }: Stage) =>
  await query(`select metric, difference::float8, is_settled from losant_usage.reconciliation
    where compared_with = 'losant' and outcome = 'difference' order by 1`);

const readBlockers = ({ query }: Stage) =>
  query(`select first_day::text, streams, state from losant_usage.month_blockers where cause = 'not_reconciled'`);

const readAttention = ({ query }: Stage) =>
  query(`select subject from losant_usage.attention where kind = 'difference' order by 1`);

const readProblem = ({ query }: Stage) => query('select totals_problem as text from losant_usage.instance');

const bias = ({ platform }: Stage, by: number) =>
  platform.control('config', { bias: by === 0 ? null : [{ counter: 'payload_totals', day: DAY, by }] });

const breakTotals = ({ platform }: Stage, kind: string, action: string) =>
  platform.control('config', { faults: { kinds: [kind], forever: true, actions: [action] } });

const EQUAL = [{ outcome: 'equal', reason: null, metrics: 12 }];
const TOTALS = ['payload_all_bytes', 'payload_all_count', 'payload_billable_count'];

it('a difference shows on the day of the first read, and blocks the month once both sides are settled', async () => {
  const stage = await createStage({ orgs: 2 });
  await bias(stage, -7);
  expect((await stage.run()).report).toMatchObject({ status: 'complete', failures: [] });
  const unsettled = TOTALS.map((metric) => ({ metric, difference: 7, is_settled: false }));
  expect(await readDifferences(stage)).toEqual(unsettled);
  expect(await readAttention(stage)).toEqual(TOTALS.map((subject) => ({ subject })));
  expect(await readBlockers(stage)).toEqual([]);
  await stage.moveTo(FINAL);
  await stage.run();
  expect(await readDifferences(stage)).toEqual(unsettled.map((each) => ({ ...each, is_settled: true })));
  expect(await readBlockers(stage)).toEqual([{ first_day: DAY, streams: ['payload_totals'], state: 'blocked' }]);
  await stage.run({}, { controlTotals: 'show' });
  expect(await readBlockers(stage)).toEqual([]);
  expect(await readDifferences(stage)).toHaveLength(3);
});

it('a day of zeros that Losant’s own totals contradict is seen on the same day', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.platform.control('config', {
    faults: { kinds: ['missing_bucket'], forever: true, actions: ['instanceOrg.payloadCountsBreakdown'] },
  });
  await stage.run();
  const numbers = `select distinct payload_all_count::integer as n from losant_usage.daily_usage`;
  expect(await stage.query(numbers)).toEqual([{ n: 0 }]);
  const differences = await readDifferences(stage);
  expect(differences.map(({ metric }) => metric)).toEqual(TOTALS);
});

it('totals that agree are read at first and once they are final; a restatement reads them again', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.run();
  expect(await readOutcomes(stage)).toEqual(EQUAL);
  expect((await stage.run()).report.requests).toBe(1);
  await stage.moveTo(FINAL);
  await stage.run();
  const [orgId = ''] = stage.orgIds;
  await stage.platform.control('restate', { orgId, day: DAY, counter: 'device_counts' });
  const { report } = await stage.run({ kind: 'manual', range });
  expect(report).toMatchObject({ status: 'complete', rows: { updated: 1 } });
  expect(await readOutcomes(stage)).toEqual(EQUAL);
});

it('totals that differ are read again once a day until they are right', async () => {
  const stage = await createStage({ orgs: 2 });
  await bias(stage, -7);
  await stage.moveTo(FINAL);
  await stage.run({ kind: 'backfill', range });
  await bias(stage, 0);
  await stage.moveTo(FINAL + HOUR_MS);
  await stage.run();
  expect(await readDifferences(stage)).toHaveLength(3);
  await stage.moveTo(FINAL + DAY_MS + HOUR_MS);
  await stage.run();
  expect(await readDifferences(stage)).toEqual([]);
});

it('a total that Losant leaves out is not 0, and not compared', async () => {
  const stage = await createStage({ orgs: 2 });
  await breakTotals(stage, 'missing_bucket', 'instance.deviceCounts');
  await stage.run();
  const omitted = { outcome: 'not_compared', reason: 'omitted', metrics: 3 };
  expect(await readOutcomes(stage)).toEqual([{ ...EQUAL[0], metrics: 9 }, omitted]);
});

it('totals of a rejected stream are not compared and a problem; those that fail are pending', async () => {
  const stage = await createStage({ orgs: 2 });
  const others = { ...EQUAL[0], metrics: 7 };
  await breakTotals(stage, 'server_error', 'instance.notebookMinuteCounts');
  await stage.run();
  expect(await readOutcomes(stage)).toEqual([others, { outcome: 'pending', reason: 'not_read', metrics: 5 }]);
  await breakTotals(stage, 'forbidden', 'instance.notebookMinuteCounts');
  const { report, rejection } = await stage.run();
  expect({ status: report.status, rejection }).toEqual({ status: 'complete', rejection: null });
  expect(await readOutcomes(stage)).toEqual([others, { outcome: 'not_compared', reason: 'rejected', metrics: 5 }]);
  expect(await readProblem(stage)).toMatchObject([{ text: expect.stringContaining('instance.notebookMinuteCounts') }]);
  await stage.platform.control('config', { faults: null });
  await stage.run({ kind: 'manual' });
  expect(await readProblem(stage)).toEqual([{ text: null }]);
  expect(await readOutcomes(stage)).toEqual(EQUAL);
});

it('totals that do not come hold up a run for two minutes at most', async () => {
  const stage = await createStage({ orgs: 2 });
  const startTimeout = AbortSignal.timeout.bind(AbortSignal);
  const timeout = vi.spyOn(AbortSignal, 'timeout');
  onTestFinished(() => timeout.mockRestore());
  // Two minutes take half a second.
  timeout.mockImplementation((ms) => startTimeout(ms === 120_000 ? 500 : ms));
  await breakTotals(stage, 'hang', 'instance.deviceCounts');
  expect((await stage.run()).report.status).toBe('complete');
  expect(await readProblem(stage)).toEqual([{ text: 'no response within 120 s' }]);
});

it('totals are neither read nor compared if only some organizations are selected', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.run({}, { selection: stage.orgIds.slice(0, 1) });
  expect(await readOutcomes(stage)).toEqual([{ outcome: 'not_compared', reason: 'selection', metrics: 12 }]);
  const { actions } = (await stage.platform.control('stats')) as { actions: Record<string, object> };
  expect(Object.keys(actions).filter((action) => action.startsWith('instance.'))).toEqual(['instance.get']);
});
