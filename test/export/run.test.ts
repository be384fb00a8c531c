import { expect, it } from 'vitest';
import { HeldError, SettingsError } from '../../src/errors.ts';
import type { Held } from '../../src/export/context.ts';
import { previewRun } from '../../src/export/preview.ts';
import { releaseLease, takeLease } from '../../src/ledger/lease.ts';
import { DAY_MS, HOUR_MS } from '../../src/usage/day.ts';
import { NOW } from '../simulator/platform.ts';
import { until } from '../support/wait.ts';
import { openStage, orgIdsOf, type Stage } from './stage.ts';

const BACKFILL = { kind: 'backfill', range: { from: '2026-11-20', to: '2026-11-21' } } as const;

const faults = ({ platform }: Stage, plan: object | null) => platform.control('config', { faults: plan });
const countOf = async ({ sql }: Stage, where: string) =>
  (await sql(`select count(*)::integer as n from losant_usage.cells where ${where}`))[0]?.['n'];

it('a run with nothing due leaves no record and asks only for the instance', async () => {
  await using stage = await openStage();
  expect((await stage.run()).report).toMatchObject({
    status: 'complete',
    cells: { planned: 32, loaded: 32 },
  });
  const { report } = await stage.run();
  expect(report).toMatchObject({
    runId: null,
    status: 'complete',
    orgs: 0,
    from: null,
    cells: { planned: 0 },
  });
  expect(await stage.sql('select status, counts from losant_usage.runs')).toMatchObject([
    { status: 'complete', counts: { orgs: 8, cells: { planned: 32 }, restated: 0 } },
  ]);
});

// Promise (Missing numbers): A read that failed is tried again by itself; a run by hand tries at once.
it('a run by hand tries what failed at once, and a run by schedule at the time of the retry', async () => {
  await using stage = await openStage();
  await faults(stage, { kinds: ['too_large'], actions: ['deviceCounts'], forever: true });
  const { report } = await stage.run();
  expect(report).toMatchObject({ status: 'partial', cells: { failed: 8, loaded: 24 } });
  expect(await stage.sql('select failures from losant_usage.runs')).toMatchObject([
    { failures: [{ code: 'refused', stream: 'device_counts', cells: 8, orgs: 8 }] },
  ]);
  await faults(stage, null);
  expect((await stage.run()).report.cells.planned).toBe(0);
  expect((await stage.run({ kind: 'manual' })).report).toMatchObject({
    status: 'complete',
    cells: { loaded: 8 },
  });
});

// Promise (Runs): A refused scope ends its stream, and one organization that is refused only its own numbers.
it('a stream that all refuse is neither asked for nor recorded as failed; one that an organization refuses is', async () => {
  await using stage = await openStage();
  await faults(stage, { kinds: ['forbidden'], actions: ['deviceCounts'], forever: true });
  const all = await stage.run();
  expect(all.refusal?.kind).toBe('forbidden');
  expect(all.report).toMatchObject({ status: 'partial', cells: { failed: 8, loaded: 24 } });
  expect(await countOf(stage, "stream = 'device_counts' and attempts > 0")).toBe(0);
  const [own = ''] = await orgIdsOf(stage.platform);
  await faults(stage, { kinds: ['forbidden'], actions: ['deviceCounts'], orgIds: [own], forever: true });
  const one = await stage.run();
  expect(one.refusal?.kind).toBe('forbidden');
  expect(one.report.cells).toMatchObject({ failed: 1, loaded: 7 });
  expect(await countOf(stage, `org_id = '${own}' and reason = 'forbidden'`)).toBe(1);
});

it('a scope that is refused where nothing is missing is told all the same', async () => {
  await using stage = await openStage({ orgs: 2 });
  await stage.run();
  await faults(stage, { kinds: ['forbidden'], actions: ['deviceCounts'], forever: true });
  const range = { from: '2026-11-23', to: '2026-11-23' };
  const { report, refusal } = await stage.run({ kind: 'manual', range });
  expect(refusal?.kind).toBe('forbidden');
  expect(report).toMatchObject({ status: 'partial', cells: { failed: 2, unchanged: 6 } });
});

it('numbers that the database refuses are kept aside, and the others of their batch are loaded', async () => {
  await using stage = await openStage();
  const [own = ''] = await orgIdsOf(stage.platform);
  await stage.sql(
    `alter table losant_usage.usage_days add check (org_id <> '${own}' or devices_total is null)`,
  );
  const { report } = await stage.run();
  expect(report.cells).toMatchObject({ planned: 32, loaded: 31, quarantined: 1 });
  expect(report.failures).toMatchObject([{ orgId: own, stream: 'device_counts', code: 'database_refused' }]);
});

it('a load that met a deadlock is tried again', async () => {
  await using stage = await openStage({ orgs: 2 });
  await stage.sql(`create sequence public.loads;
    create function public.fail_once() returns boolean language plpgsql as $$
      begin if nextval('public.loads') = 1 then raise deadlock_detected; end if; return true; end $$;
    alter table losant_usage.usage_days add check (devices_total is null or public.fail_once())`);
  expect((await stage.run()).report).toMatchObject({ status: 'complete', cells: { loaded: 8 } });
});

it('a window that is refused for its length is asked for in shorter ones', async () => {
  await using stage = await openStage({ orgs: 1, maxRangeDays: 3 });
  const range = { from: '2026-11-14', to: '2026-11-23' };
  const { report } = await stage.run({ kind: 'backfill', range });
  expect(report).toMatchObject({ status: 'complete', cells: { loaded: 40 }, failures: [] });
});

// Promise (Missing numbers): A list of organizations counts only if it is complete by its own account; until then
// each run says that others may be missing.
it('while the list is incomplete the known organizations are exported and the run is not complete', async () => {
  await using stage = await openStage({ orgs: 8, pageSizeMax: 4 });
  await stage.platform.control('config', { list: { emptyPages: [1] } });
  const { report } = await stage.run();
  expect(report).toMatchObject({
    status: 'partial',
    cells: { loaded: 16 },
    failures: [{ code: 'list_incomplete' }],
  });
  await stage.platform.control('config', { list: {} });
  expect((await stage.run()).report).toMatchObject({
    status: 'complete',
    cells: { loaded: 16 },
    failures: [],
  });
});

it('a backfill adds days that later runs go on with, and force reads what is stored again', async () => {
  await using stage = await openStage({ orgs: 2 });
  await stage.run();
  const context = stage.context();
  const options = { orgIds: null, streams: null, force: false, signal: new AbortController().signal };
  expect(await previewRun(context, { ...options, ...BACKFILL })).toMatchObject({
    from: '2026-11-20',
    to: '2026-11-22',
    orgs: 2,
    cells: 24,
  });
  expect((await stage.run(BACKFILL)).report).toMatchObject({
    status: 'complete',
    from: '2026-11-20',
    to: '2026-11-22',
    cells: { planned: 24, loaded: 24 },
  });
  expect((await stage.run(BACKFILL)).report.cells.planned).toBe(0);
  expect((await stage.run({ ...BACKFILL, force: true })).report.cells).toMatchObject({
    planned: 16,
    unchanged: 16,
  });
  expect(await countOf(stage, "usage_date < '2026-11-20'")).toBe(0);
});

// Promise (Runs): A backfill beyond the horizon says so, and does not exit with 0.
it('a backfill beyond the horizon is clamped, says so, and is not complete', async () => {
  await using stage = await openStage({ orgs: 1 });
  const range = { from: '2026-08-20', to: '2026-08-27' };
  const { report } = await stage.run({ kind: 'backfill', range });
  expect(report.status).toBe('partial');
  expect(report.failures).toMatchObject([{ code: 'past_horizon', from: '2026-08-20', to: '2026-08-25' }]);
  expect(report).toMatchObject({ from: '2026-08-26', to: '2026-11-23' });
});

it('a day that nobody wants is refused with the command that adds it; so is an unknown organization', async () => {
  await using stage = await openStage({ orgs: 1 });
  const range = { from: '2026-11-10', to: '2026-11-10' };
  const refused = stage.run({ kind: 'manual', range });
  await expect(refused).rejects.toBeInstanceOf(SettingsError);
  await expect(refused).rejects.toHaveProperty(
    'hint',
    expect.stringContaining('backfill --from 2026-11-10 --to 2026-11-10'),
  );
  const yesterday = { from: '2026-11-23', to: '2026-11-23' };
  expect((await stage.run({ kind: 'manual', range: yesterday })).report.cells).toMatchObject({
    planned: 4,
    loaded: 4,
  });
  expect((await stage.run({ kind: 'manual', range: yesterday })).report.cells).toMatchObject({
    unchanged: 4,
  });
  await expect(stage.run({ kind: 'manual', orgIds: ['a'.repeat(24)] })).rejects.toBeInstanceOf(SettingsError);
});

// Promise (Runs): One process at a time exports an instance; one that lost its lease loads nothing more.
it('one process at a time: a run is refused, a backfill makes its rows at once and waits', async () => {
  await using stage = await openStage({ orgs: 2 });
  await stage.run();
  const { db, instanceId } = stage.context();
  const lease = await takeLease(db, { instanceId, runId: crypto.randomUUID(), host: 'elsewhere' });
  await expect(stage.run()).rejects.toBeInstanceOf(HeldError);
  const told: Held[] = [];
  const waiting = stage.run({ ...BACKFILL, onHeld: (held) => told.push(held) });
  await until('it says who has the instance', () => told.length > 0);
  expect(told[0]).toMatchObject({ message: expect.stringContaining('elsewhere') as string, cellsLeft: 24 });
  await releaseLease(db, lease);
  expect((await waiting).report).toMatchObject({ status: 'complete', cells: { loaded: 24 } });
});

it('a run whose process died is interrupted when another one takes its lease', async () => {
  await using stage = await openStage({ orgs: 1 });
  await stage.run();
  const { db, instanceId } = stage.context();
  await takeLease(db, { instanceId, runId: crypto.randomUUID(), host: 'dead' });
  await stage.sql("update losant_usage.runs set status = 'running', finished_at = null");
  await stage.goTo(NOW + DAY_MS);
  await stage.run();
  expect(await stage.sql('select status from losant_usage.runs order by started_at')).toEqual([
    { status: 'interrupted' },
    { status: 'complete' },
  ]);
});

// Promise (Changes): A foreign trigger, rule or policy on these tables is refused, and a write that the database
// swallows ends the run.
it.each([
  ['a rule', 'create rule nothing as on insert to losant_usage.coverage do instead nothing', 'rule nothing'],
  [
    'a trigger',
    `create function public.swallow() returns trigger language plpgsql as 'begin return null; end';
     create trigger swallow before update on losant_usage.usage_days for each row execute function public.swallow()`,
    'trigger swallow',
  ],
  ['forced row security', 'alter table losant_usage.coverage force row level security', 'row security'],
])('%s on a table is refused by name before anything is read', async (_what, statement, name) => {
  await using stage = await openStage({ orgs: 1 });
  await stage.sql(statement);
  await expect(stage.run()).rejects.toMatchObject({
    kind: 'database_mismatch',
    message: expect.stringContaining(name),
  });
});

it("Losant's totals are asked for until they are equal, and then no more", async () => {
  await using stage = await openStage({ orgs: 3 });
  await stage.run();
  const outcomes = () =>
    stage.sql("select distinct outcome from losant_usage.reconciliation where compared_with = 'losant'");
  expect(await outcomes()).toEqual([{ outcome: 'pending' }]);
  const quiet = (await stage.run()).report.requests;
  expect(quiet).toBe(1);
  await stage.goTo(NOW + 4 * DAY_MS + HOUR_MS);
  await stage.run();
  expect(await outcomes()).toEqual(expect.arrayContaining([{ outcome: 'equal' }]));
});
