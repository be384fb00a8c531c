/** Losant's own totals beside our sums: agreement, differences, and totals that cannot be read. */
import { expect, it } from 'vitest';
import { DAY_MS, HOUR_MS } from '../../src/usage/day.ts';
import { NOW } from '../simulator/platform.ts';
import { asProgram } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';
import { openStage, type Stage } from './stage.ts';

const DAY = '2026-11-23';
/** When the numbers of the day are final. */
const FINAL = NOW + 3 * DAY_MS;

/** The numbers of one day of three organizations, final. */
async function openFinal(): Promise<Stage> {
  const stage = await openStage({ orgs: 3 });
  await stage.run();
  await stage.moveTo(FINAL);
  await stage.run();
  return stage;
}

const outcomes = async ({ query }: Stage, where = 'true') =>
  await query(`select outcome, reason, count(*)::integer as metrics from losant_usage.reconciliation
    where compared_with = 'losant' and usage_date = '${DAY}' and ${where} group by 1, 2 order by 1, 2`);

const differing = async ({ query }: Stage) =>
  await query(`select metric, difference::integer from losant_usage.reconciliation
    where compared_with = 'losant' and outcome = 'differs' order by 1`);

const blockers = ({ query }: Stage) =>
  query(`select first_day::text, streams from losant_usage.period_blockers where cause = 'contradicted'`);

const bias = ({ platform }: Stage, by: number) =>
  platform.control('config', { bias: by === 0 ? null : [{ counter: 'payload_totals', day: DAY, by }] });

const breakTotals = ({ platform }: Stage, kind: string, action: string) =>
  platform.control('config', { faults: { kinds: [kind], forever: true, actions: [action] } });

/** Takes the totals of the day for changed, so that the next run asks for them. */
const forget = ({ place }: Stage) =>
  asWriter(place.url, asProgram('update losant_usage.instance_totals set verified_at = null'));

it('agree on final days to the last payload, and are asked for no more; until then they are pending', async () => {
  const stage = await openStage({ orgs: 3 });
  await stage.run();
  expect(await outcomes(stage)).toEqual([{ outcome: 'pending', reason: expect.anything(), metrics: 12 }]);
  await stage.moveTo(FINAL);
  await stage.run();
  expect(await outcomes(stage)).toEqual([{ outcome: 'equal', reason: null, metrics: 12 }]);
  const { report } = await stage.run();
  expect(report.requests).toBe(1);
});

// Promise (Losant): Losant’s own totals are compared with ours to the last payload; a difference changes no number
// and fails no run, and blocks its month unless it is only to be shown.
it('that differ are shown, block the month unless CONTROL_TOTALS is show, and fail no run', async () => {
  const stage = await openFinal();
  await bias(stage, -7);
  await forget(stage);
  expect((await stage.run()).report).toMatchObject({ status: 'complete', failures: [] });
  const totals = ['payload_all_bytes', 'payload_all_count', 'payload_billable_count'];
  expect(await differing(stage)).toEqual(totals.map((metric) => ({ metric, difference: 7 })));
  expect(await blockers(stage)).toEqual([{ first_day: DAY, streams: ['payload_totals'] }]);
  await stage.run({}, { controlTotals: 'show' });
  expect(await blockers(stage)).toEqual([]);
  expect(await differing(stage)).toHaveLength(3);
});

it('are asked for again with a number that was restated, and pending until then', async () => {
  const stage = await openFinal();
  const [orgId = ''] = stage.orgIds;
  await stage.platform.control('restate', { orgId, day: DAY, counter: 'device_counts' });
  await breakTotals(stage, 'server_error', 'instance.deviceCounts');
  const again = { kind: 'manual', range: { from: DAY, to: DAY } } as const;
  const { report, tally } = await stage.run(again);
  expect(report).toMatchObject({ status: 'complete', cells: { loaded: 1 }, rows: { updated: 1 } });
  expect(tally.restatedFinal).toBeGreaterThan(0);
  await stage.platform.control('config', { faults: null });
  await stage.moveTo(FINAL + HOUR_MS);
  await stage.run();
  expect(await outcomes(stage)).toEqual([{ outcome: 'equal', reason: null, metrics: 12 }]);
});

it('of a stream that is refused are named with the instance, and the others are compared', async () => {
  const stage = await openStage({ orgs: 3 });
  await breakTotals(stage, 'forbidden', 'instance.notebookMinuteCounts');
  await stage.run();
  await stage.moveTo(FINAL);
  const { report, refusal } = await stage.run();
  expect({ status: report.status, refusal }).toEqual({ status: 'complete', refusal: null });
  expect(await outcomes(stage)).toEqual([
    { outcome: 'equal', reason: null, metrics: 7 },
    { outcome: 'not_compared', reason: 'refused', metrics: 5 },
  ]);
  const problem = () => stage.query('select totals_problem as text from losant_usage.instances');
  expect(await problem()).toMatchObject([{ text: expect.stringContaining('instance.notebookMinuteCounts') }]);
  await stage.platform.control('config', { faults: null });
  await stage.run();
  expect(await problem()).toEqual([{ text: null }]);
  expect(await outcomes(stage)).toEqual([{ outcome: 'equal', reason: null, metrics: 12 }]);
});

it('are neither asked for nor compared where only some organizations are exported', async () => {
  const stage = await openStage({ orgs: 3 });
  const { orgIds } = stage;
  await stage.run({}, { selection: orgIds.slice(0, 1) });
  expect(await outcomes(stage)).toEqual([{ outcome: 'not_compared', reason: 'selection', metrics: 12 }]);
  const { actions } = (await stage.platform.control('stats')) as { actions: Record<string, object> };
  expect(Object.keys(actions).filter((action) => action.startsWith('instance.'))).toEqual(['instance.get']);
});
