/** Control totals compared with our sums: equal ones, differences, and totals that cannot be read. */
import { sql } from 'kysely';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { RunOutcome } from '../../src/loading/report.ts';
import { DAY_MS, HOUR_MS } from '../../src/usage/day.ts';
import { NOW } from '../simulator/platform.ts';
import { asProgram } from '../support/by-hand.ts';
import { asWriter, openAs } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { createStage, type Stage } from './stage.ts';

const DAY = '2026-11-23';
/** The final threshold of the day. */
const FINAL = NOW + 3 * DAY_MS;

const readOutcomes = async ({ query }: Stage) =>
  await query(`select outcome, reason, count(*)::integer as metrics from losant_usage.reconciliation
    where compared_with = 'losant' and usage_date = '${DAY}' group by 1, 2 order by 1, 2`);

const readDifferences = async ({ query }: Stage) =>
  await query(`select metric, difference::integer from losant_usage.reconciliation
    where compared_with = 'losant' and outcome = 'differs' order by 1`);

const readBlockers = ({ query }: Stage) =>
  query(`select first_day::text, streams from losant_usage.month_blockers where cause = 'not_reconciled'`);

const readProblem = ({ query }: Stage) => query('select totals_problem as text from losant_usage.instances');

const bias = ({ platform }: Stage, by: number) =>
  platform.control('config', { bias: by === 0 ? null : [{ counter: 'payload_totals', day: DAY, by }] });

const breakTotals = ({ platform }: Stage, kind: string, action: string) =>
  platform.control('config', { faults: { kinds: [kind], forever: true, actions: [action] } });

const EQUAL = [{ outcome: 'equal', reason: null, metrics: 12 }];
const range = { from: DAY, to: DAY };

/** A stage at the final threshold of the day, which was read, and compared with totals that differ by so much. */
async function createFinalStage({ orgs = 2, by = 0 } = {}): Promise<Stage> {
  const stage = await createStage({ orgs });
  await bias(stage, by);
  await stage.moveTo(FINAL);
  await stage.run({ kind: 'backfill', range });
  return stage;
}

// Guarantee (Losant): Losant's own totals are compared with our sums. A difference changes no number and fails no run;
// it blocks its month unless CONTROL_TOTALS is show.
it('control totals of final days are compared; a difference blocks the month unless CONTROL_TOTALS is show', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.run();
  expect(await readOutcomes(stage)).toEqual([{ outcome: 'pending', reason: expect.anything(), metrics: 12 }]);
  await stage.moveTo(FINAL);
  await stage.run();
  expect(await readOutcomes(stage)).toEqual(EQUAL);
  // They are read again, and our sums computed again, only if a command forces the days.
  expect((await stage.run()).report.requests).toBe(1);
  await bias(stage, -7);
  await stage.run({ kind: 'backfill', range, force: false });
  expect(await readDifferences(stage)).toEqual([]);
  const { report } = await stage.run({ kind: 'backfill', range, force: true });
  expect(report).toMatchObject({ status: 'complete', failures: [] });
  const totals = ['payload_all_bytes', 'payload_all_count', 'payload_billable_count'];
  expect(await readDifferences(stage)).toEqual(totals.map((metric) => ({ metric, difference: 7 })));
  expect(await readBlockers(stage)).toEqual([{ first_day: DAY, streams: ['payload_totals'] }]);
  await stage.run({}, { controlTotals: 'show' });
  expect(await readBlockers(stage)).toEqual([]);
  expect(await readDifferences(stage)).toHaveLength(3);
  await bias(stage, 0);
  await asWriter(stage.store.url, asProgram('update losant_usage.instance_totals set our_sum = our_sum + 1'));
  await stage.run({ kind: 'manual', range });
  expect(await readOutcomes(stage)).toEqual(EQUAL);
});

it('control totals are read again after a restatement, and not compared while Losant omits them', async () => {
  const stage = await createFinalStage();
  const [orgId = ''] = stage.orgIds;
  await stage.platform.control('restate', { orgId, day: DAY, counter: 'device_counts' });
  await breakTotals(stage, 'server_error', 'instance.deviceCounts');
  const { report, tally } = await stage.run({ kind: 'manual', range });
  expect(report).toMatchObject({ status: 'complete', cells: { loaded: 1 }, rows: { updated: 1 } });
  expect(tally.restatedFinal).toBeGreaterThan(0);
  await breakTotals(stage, 'missing_bucket', 'instance.deviceCounts');
  await stage.moveTo(FINAL + HOUR_MS);
  await stage.run();
  const omitted = { outcome: 'not_compared', reason: 'omitted', metrics: 3 };
  expect(await readOutcomes(stage)).toEqual([{ ...EQUAL[0], metrics: 9 }, omitted]);
  expect(await readBlockers(stage)).toEqual([]);
  await stage.platform.control('config', { faults: null });
  await stage.moveTo(FINAL + DAY_MS + 2 * HOUR_MS);
  await stage.run();
  expect(await readOutcomes(stage)).toEqual(EQUAL);
});

it('a total that Losant omits is not 0, and those of its stream that it reports are compared', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.moveTo(FINAL);
  // One of the three requests of the stream.
  const faults = { kinds: ['missing_bucket'], every: 2, forever: true, actions: ['instance.payloadCountsBreakdown'] };
  await stage.platform.control('config', { faults });
  await stage.run({ kind: 'backfill', range });
  const omitted = { outcome: 'not_compared', reason: 'omitted', metrics: 1 };
  expect(await readOutcomes(stage)).toEqual([{ ...EQUAL[0], metrics: 11 }, omitted]);
});

it('a total that Losant omits is not read again if our sum is zero', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.platform.control('empty', { orgId: stage.orgIds[0], day: DAY });
  await stage.moveTo(FINAL);
  await stage.run({ kind: 'backfill', range });
  const readTotal = () =>
    stage.query(`select our_sum::integer, quantity, last_read_at::text from losant_usage.instance_totals
      where usage_date = '${DAY}' and metric = 'payload_source_count'`);
  const total = await readTotal();
  expect(total).toMatchObject([{ our_sum: 0, quantity: null, last_read_at: expect.any(String) }]);
  await stage.moveTo(FINAL + DAY_MS + HOUR_MS);
  await stage.run();
  expect(await readTotal()).toEqual(total);
});

it('control totals that differ are read again once a day until they are right, whatever Losant omits', async () => {
  const stage = await createFinalStage({ by: -7 });
  expect(await readDifferences(stage)).toHaveLength(3);
  await bias(stage, 0);
  await stage.moveTo(FINAL + DAY_MS - HOUR_MS);
  await stage.run();
  expect(await readDifferences(stage)).toHaveLength(3);
  await breakTotals(stage, 'missing_bucket', 'instance.payloadCountsBreakdown');
  await stage.moveTo(FINAL + DAY_MS + HOUR_MS);
  await stage.run();
  expect(await readDifferences(stage)).toHaveLength(3);
  await stage.platform.control('config', { faults: null });
  await stage.moveTo(FINAL + 2 * DAY_MS + 2 * HOUR_MS);
  await stage.run();
  expect(await readOutcomes(stage)).toEqual(EQUAL);
  expect(await readBlockers(stage)).toEqual([]);
});

it('a difference blocks its month also after organizations were deleted, or selected, until a total is equal', async () => {
  const stage = await createFinalStage({ orgs: 3, by: -7 });
  expect(await readDifferences(stage)).toHaveLength(3);
  // More than one at a time count as deleted only after three days of lists that lack them.
  const [selectedId = '', ...deletedIds] = stage.orgIds;
  for (const orgId of deletedIds) await stage.platform.send('DELETE', `/orgs/${orgId}`, {});
  for (const days of [1, 2, 3]) {
    await stage.moveTo(FINAL + days * (DAY_MS + HOUR_MS));
    await stage.run();
  }
  expect(await stage.query('select from losant_usage.organizations where deleted_on is not null')).toHaveLength(2);
  expect(await readDifferences(stage)).toHaveLength(3);
  // As the remedy of the blocker says.
  await stage.run({ kind: 'backfill', range, force: true });
  expect(await readDifferences(stage)).toHaveLength(3);
  await stage.run({}, { selection: [selectedId] });
  expect(await readDifferences(stage)).toHaveLength(3);
  expect(await readBlockers(stage)).toEqual([{ first_day: DAY, streams: ['payload_totals'] }]);
  // The simulator's total lacks the deleted organizations.
  const [deleted] = await stage.query(`select sum(payload_billable_count)::integer as payloads
    from losant_usage.daily_usage where org_id = any ('{${deletedIds.join()}}') and usage_date = '${DAY}'`);
  await bias(stage, Number(deleted?.['payloads']));
  await stage.run();
  const differences = await readDifferences(stage);
  expect(differences.map(({ metric }) => metric)).toEqual(['payload_all_bytes', 'payload_all_count']);
});

it('our sums are computed again if the connection is lost meanwhile', async () => {
  const stage = await createFinalStage();
  const { url } = stage.store;
  await asWriter(url, asProgram('update losant_usage.instance_totals set our_sum = null'));
  await using locker = await openAs('writer', url);
  let running: Promise<RunOutcome> | undefined;
  await locker.db.transaction().execute(async (trx) => {
    await sql`select from losant_usage.instance_totals for update`.execute(trx);
    running = stage.run();
    running.catch(() => {});
    const cut = `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    await until('the sums wait, and lose their connection', async () => (await asWriter(url, cut)).length === 1);
  });
  expect((await running)?.report).toMatchObject({ status: 'complete' });
  expect(await readOutcomes(stage)).toEqual(EQUAL);
});

it('control totals past the horizon are not requested', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.run();
  const addTotals = (day: string) => `insert into losant_usage.instance_totals (instance_id, usage_date, metric)
    select instance_id, '${day}', 'devices_total' from losant_usage.instances`;
  // The horizon is 90 days.
  for (const day of ['2026-08-25', '2026-08-26']) await asWriter(stage.store.url, asProgram(addTotals(day)));
  await stage.run();
  const unread = `select usage_date::text as day from losant_usage.instance_totals where last_read_at is null`;
  expect(await stage.query(unread)).toEqual([{ day: '2026-08-25' }]);
});

it('control totals that do not come hold up a run for two minutes at most', async () => {
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

it('control totals of a rejected stream are a problem; those that fail are pending, and read if not configured', async () => {
  const stage = await createStage({ orgs: 2 });
  await breakTotals(stage, 'server_error', 'instance.notebookMinuteCounts');
  await stage.run();
  await stage.moveTo(FINAL);
  await stage.run();
  const others = { ...EQUAL[0], metrics: 7 };
  expect(await readOutcomes(stage)).toEqual([others, { outcome: 'pending', reason: 'not_read', metrics: 5 }]);
  await breakTotals(stage, 'forbidden', 'instance.notebookMinuteCounts');
  const { report, refusal } = await stage.run();
  expect({ status: report.status, refusal }).toEqual({ status: 'complete', refusal: null });
  expect(await readOutcomes(stage)).toEqual([others, { outcome: 'not_compared', reason: 'refused', metrics: 5 }]);
  expect(await readProblem(stage)).toMatchObject([{ text: expect.stringContaining('instance.notebookMinuteCounts') }]);
  await stage.platform.control('config', { faults: null });
  await stage.run({}, { streams: ['device_counts', 'payload_sources', 'payload_totals'] });
  expect(await readProblem(stage)).toEqual([{ text: null }]);
  expect(await readOutcomes(stage)).toEqual(EQUAL);
});

it.for([
  ['forbidden', 'are not'],
  ['not_found', 'are not'],
  ['too_large', 'are'],
] as const)('control totals rejected as %s for a day %s asked for day after day', async ([kind, outcome]) => {
  const stage = await createStage({ orgs: 1 });
  await breakTotals(stage, kind, 'instance.payloadCounts');
  const days = { from: '2026-11-03', to: '2026-11-22' };
  await stage.run({ kind: 'backfill', range: days, streams: ['payload_sources'] });
  const { faults } = (await stage.platform.control('stats')) as { faults: Record<string, number> };
  // As many as are requested at the same time.
  expect((faults[kind] as number) <= stage.context().concurrency ? 'are not' : 'are').toBe(outcome);
});

it('control totals are neither read nor compared if only some organizations are selected', async () => {
  const stage = await createStage({ orgs: 2 });
  const { orgIds } = stage;
  await stage.run({}, { selection: orgIds.slice(0, 1) });
  expect(await readOutcomes(stage)).toEqual([{ outcome: 'not_compared', reason: 'selection', metrics: 12 }]);
  const { actions } = (await stage.platform.control('stats')) as { actions: Record<string, object> };
  expect(Object.keys(actions).filter((action) => action.startsWith('instance.'))).toEqual(['instance.get']);
});
