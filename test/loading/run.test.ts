import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { SettingsError } from '../../src/errors.ts';
import { readClock } from '../../src/loading/context.ts';
import { type RunOutcome, Tally } from '../../src/loading/report.ts';
import { hasFailedCells } from '../../src/loading/run.ts';
import { Gate } from '../../src/losant/rate.ts';
import { asOwner, asWriter, openAs } from '../support/databases.ts';
import { containing } from '../support/texts.ts';
import { until } from '../support/wait.ts';
import { POLICY } from '../usage/cells.ts';
import { createStage, type Stage } from './stage.ts';

const DEVICES = { streams: ['device_counts'] };
const BACKFILL = { kind: 'backfill', range: { from: '2026-11-20', to: '2026-11-21' } } as const;

const faults = ({ platform }: Stage, plan: object | null) => platform.control('config', { faults: plan });
const countOf = async ({ query }: Stage, where: string) =>
  (await query(`select count(*)::integer as n from losant_usage.cells where ${where}`))[0]?.['n'];

it('a run with nothing due leaves no record and requests only the instance', async () => {
  const stage = await createStage();
  const complete = { status: 'complete', cells: { planned: 16, loaded: 16 } };
  expect((await stage.run()).report).toMatchObject(complete);
  const { report } = await stage.run();
  const none = { runId: null, status: 'complete', orgs: 0, from: null, requests: 1 };
  expect(report).toMatchObject({ ...none, cells: { planned: 0 } });
  expect(await stage.query('select status, counts from losant_usage.runs')).toMatchObject([
    { status: 'complete', counts: { orgs: 4, cells: { planned: 16 }, rows: { updated: 0 } } },
  ]);
});

it('a manual run retries failed reads at once, and a scheduled run at the time of the retry', async () => {
  const stage = await createStage();
  await faults(stage, { kinds: ['too_large'], actions: ['deviceCounts'], forever: true });
  const { report } = await stage.run();
  expect(report).toMatchObject({ status: 'partial', cells: { failed: 4, loaded: 12 } });
  expect(await stage.query('select failures from losant_usage.runs')).toMatchObject([
    { failures: [{ code: 'rejected', stream: 'device_counts', cells: 4, orgs: 4 }] },
  ]);
  await faults(stage, null);
  expect((await stage.run()).report.cells.planned).toBe(0);
  const manualReport = (await stage.run({ kind: 'manual' })).report;
  expect(manualReport).toMatchObject({ status: 'complete', cells: { loaded: 4 } });
});

it('the clock of a run does not go back if the clock of its host is set back', async () => {
  const { context, now } = await createStage();
  let behindMs = 0;
  const clock = await readClock({ hostNow: () => now() - behindMs }, context().handle);
  const firstMs = clock();
  behindMs = 45_000;
  expect(clock()).toBeGreaterThanOrEqual(firstMs);
});

it('a stream that all organizations reject is not recorded as failed; one that a single one rejects is', async () => {
  const stage = await createStage();
  await faults(stage, { kinds: ['forbidden'], actions: ['deviceCounts'], forever: true });
  const rejectedByAll = await stage.run();
  expect(rejectedByAll.rejection?.kind).toBe('forbidden');
  expect(rejectedByAll.report).toMatchObject({ status: 'partial', cells: { failed: 4, loaded: 12 } });
  expect(await countOf(stage, "stream = 'device_counts' and failed_reads > 0")).toBe(0);
  const [orgId = ''] = stage.orgIds;
  await faults(stage, { kinds: ['forbidden'], actions: ['deviceCounts'], orgIds: [orgId], forever: true });
  const rejectedByOne = await stage.run();
  expect(rejectedByOne.rejection?.kind).toBe('forbidden');
  expect(rejectedByOne.report.cells).toMatchObject({ failed: 1, loaded: 3 });
  expect(await countOf(stage, `org_id = '${orgId}' and reason = 'forbidden'`)).toBe(1);
});

it('a rejected scope is reported even if no cell is missing', async () => {
  const stage = await createStage({ orgs: 2 });
  await stage.run();
  await faults(stage, { kinds: ['forbidden'], actions: ['deviceCounts'], forever: true });
  const range = { from: '2026-11-23', to: '2026-11-23' };
  const { report, rejection } = await stage.run({ kind: 'manual', range });
  expect(rejection?.kind).toBe('forbidden');
  expect(report).toMatchObject({ status: 'partial', cells: { failed: 2, unchanged: 6 } });
});

it("a run ends when Losant's clock turns out to be wrong, keeps what it has loaded, and says so", async () => {
  const stage = await createStage({ orgs: 100 });
  await stage.platform.control('config', { clockJump: { afterRequests: 400, byMs: 3_600_000 } });
  const hint = containing('nothing more was loaded');
  await expect(stage.run()).rejects.toMatchObject({ kind: 'clock_skew', hint });
  expect(await countOf(stage, 'is_stored')).toBeGreaterThan(0);
  expect(await stage.query('select status from losant_usage.runs')).toEqual([{ status: 'failed' }]);
});

it('a run whose failures were too many for its list is complete if the ledger has all of them as read since', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.moveTo('2026-11-25T01:00:00.000Z');
  const [orgId = ''] = stage.orgIds;
  const tally = new Tally(stage.context());
  for (let index = 0; index <= 10_000; index += 1) {
    const days = ['2026-11-24'];
    const slice = { orgId, stream: `stream_${index}`, range: { from: '2026-11-24', to: '2026-11-24' }, days };
    tally.addUnreadSlice(slice, { code: 'not_found', detail: 'HTTP 404' });
  }
  // No failure that is listed is left.
  tally.reclassifyDeleted(new Set());
  const scope = { orgIds: null, streams: null, range: null, force: false };
  const options = { ...scope, kind: 'scheduled', runId: '', signal: new AbortController().signal } as const;
  const { db } = stage.context();
  const ledger = { db, now: stage.now, policy: POLICY, lease: null, runId: '' };
  const session = { ledger, tally, options };
  for (const [kinds, isLeft] of [
    [['unauthorized'], true],
    [['too_large'], true],
    [[], false],
  ] as const) {
    await faults(stage, { kinds, actions: ['deviceCounts'], forever: true });
    await stage.run({ kind: 'manual' });
    expect(await hasFailedCells(session)).toBe(isLeft);
  }
});

/** Lets the database reject the device count of an organization's day with an error. */
async function rejectDevices(stage: Stage, orgId: string, day: string, error: string): Promise<void> {
  await asOwner(
    stage.store.url,
    `create function public.reject() returns boolean language plpgsql as $$
      begin raise ${error}; end $$;
    grant execute on function public.reject to losant_usage_writer;
    alter table losant_usage.usage_days add check (
      devices_total is null or org_id <> '${orgId}' or usage_date <> '${day}' or public.reject())`,
  );
}

it('quarantines the day whose numbers the database rejects, and loads the other days and organizations', async () => {
  const stage = await createStage({ orgs: 2 });
  const [orgId = ''] = stage.orgIds;
  await rejectDevices(stage, orgId, '2026-11-20', 'numeric_value_out_of_range');
  const { report } = await stage.run({ kind: 'backfill', range: { from: '2026-11-19', to: '2026-11-21' } });
  expect(report.cells).toMatchObject({ planned: 32, loaded: 31, quarantined: 1 });
  const failure = { orgId, stream: 'device_counts', from: '2026-11-20', to: '2026-11-20' };
  expect(report.failures).toMatchObject([{ ...failure, code: 'database_rejected' }]);
  expect(await stage.query('select first_day::text, last_day::text from losant_usage.quarantine')).toEqual([
    { first_day: '2026-11-20', last_day: '2026-11-20' },
  ]);
});

it('a write that violates a check of the schema is a bug: it ends the run and quarantines nothing', async () => {
  const stage = await createStage({ orgs: 1 });
  const [orgId = ''] = stage.orgIds;
  await rejectDevices(stage, orgId, '2026-11-23', 'check_violation');
  const failure = { name: 'error', code: '23514' };
  await expect(stage.run()).rejects.toMatchObject(failure);
  expect(await stage.query('select from losant_usage.quarantine')).toEqual([]);
  const failed = { status: 'failed', error: 'check_violation' };
  expect(await stage.query('select status, error from losant_usage.runs')).toEqual([failed]);
});

it.each(['refuse', 'cut'] as const)(
  'slices for which Losant %ss long ranges are requested in shorter ones',
  async (longRange) => {
    const stage = await createStage({ orgs: 1, maxRangeDays: 3, longRange });
    const range = { from: '2026-11-14', to: '2026-11-23' };
    const { report } = await stage.run({ kind: 'backfill', range }, DEVICES);
    expect(report).toMatchObject({ status: 'complete', cells: { loaded: 10 }, failures: [] });
  },
);

it('while the list is incomplete, the known organizations are loaded and the run is not complete', async () => {
  const stage = await createStage({ orgs: 4, pageSizeMax: 2 });
  await stage.platform.control('config', { list: { emptyPages: [1] } });
  const cells = { loaded: 8 };
  const failures = [{ code: 'list_incomplete' }];
  expect((await stage.run()).report).toMatchObject({ status: 'partial', cells, failures });
  await stage.platform.control('config', { list: {} });
  expect((await stage.run()).report).toMatchObject({ status: 'complete', cells, failures: [] });
});

it('a list that cannot be read ends the first run; later ones load the stored organizations and are not complete', async () => {
  const stage = await createStage({ orgs: 2 });
  const [orgId = ''] = stage.orgIds;
  const breakList = (kind: string) => faults(stage, { kinds: [kind], actions: ['instanceOrgs.get'], forever: true });
  await breakList('server_error');
  await expect(stage.run()).rejects.toMatchObject({ kind: 'server_error' });
  await faults(stage, null);
  await stage.run({ orgIds: [orgId] });
  await breakList('server_error');
  const failures = [{ orgId: null, code: 'list_incomplete' }];
  // Of an organization that is stored, no list tells anything.
  const ofOne = await stage.run({ kind: 'manual', orgIds: [orgId] });
  expect(ofOne).toMatchObject({ rejection: null, report: { status: 'complete', failures } });
  const ofAll = await stage.run({ kind: 'manual' });
  expect(ofAll).toMatchObject({ rejection: null, report: { status: 'partial', cells: { loaded: 4 }, failures } });
  await breakList('forbidden');
  expect(await stage.run({ kind: 'manual' })).toMatchObject({ rejection: { kind: 'forbidden' }, report: { failures } });
  await breakList('unauthorized');
  await expect(stage.run({ kind: 'manual' })).rejects.toMatchObject({ kind: 'unauthorized' });
});

it('an unreadable organization is a failure of every run, and its usage is loaded nevertheless', async () => {
  const stage = await createStage({ orgs: 2 });
  const [orgId = ''] = stage.orgIds;
  await stage.platform.control('config', { list: { items: { [orgId]: 'no_name' } } });
  for (const planned of [8, 0]) {
    const failures = [{ orgId, stream: null, code: 'org_unreadable' }];
    const { report } = await stage.run({ kind: 'manual' });
    expect(report).toMatchObject({ status: 'partial', cells: { planned }, failures });
  }
  expect(await countOf(stage, `org_id = '${orgId}' and is_stored`)).toBe(4);
});

it('a configured organization that the instance does not know fails the run, every time', async () => {
  const stage = await createStage({ orgs: 2 });
  const [known = ''] = stage.orgIds;
  const unknown = 'f'.repeat(24);
  for (const loaded of [4, 0]) {
    const { report } = await stage.run({}, { selection: [known, unknown] });
    const failures = [{ orgId: unknown, stream: null, code: 'org_unknown' }];
    expect(report).toMatchObject({ status: 'partial', cells: { loaded, failed: 0 }, failures });
  }
  expect(await stage.query('select org_id from losant_usage.organizations')).toEqual([{ org_id: known }]);
});

it('without the scope for the instance, the first list confirms it', async () => {
  const stage = await createStage();
  await faults(stage, { kinds: ['forbidden'], actions: ['instance.get'], forever: true });
  const { report, rejection } = await stage.run();
  expect(report).toMatchObject({ status: 'complete', cells: { loaded: 16 } });
  expect(rejection).toBeNull();
  const { apiUrl } = stage.context().config;
  expect(await stage.query('select name, api_url from losant_usage.instance')).toEqual([
    { name: null, api_url: apiUrl },
  ]);
});

it('an organization that is added to the settings is loaded by the next run of the day', async () => {
  const stage = await createStage({ orgs: 2 });
  const [first = '', second = ''] = stage.orgIds;
  await stage.run({}, { selection: [first] });
  const { report } = await stage.run({}, { selection: [first, second] });
  expect(report).toMatchObject({ status: 'complete', orgs: 1, cells: { loaded: 4 } });
});

it('a backfill loads its days, the next runs load those between, and force reads stored cells again', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.run();
  const { report } = await stage.run(BACKFILL);
  expect(report.between).toMatchObject({ from: '2026-11-22', to: '2026-11-22', cells: 4, requests: 6 });
  const rows = { inserted: 8, updated: 0, deleted: 0, unchanged: 0 };
  expect(report).toMatchObject({ ...BACKFILL.range, status: 'complete', cells: { planned: 8, loaded: 8 }, rows });
  expect((await stage.run(BACKFILL)).report.cells.planned).toBe(0);
  expect(await countOf(stage, "standing = 'missing' and usage_date = '2026-11-22'")).toBe(4);
  await stage.moveTo('2026-11-24T14:00:00.000Z');
  const between = { from: '2026-11-22', to: '2026-11-22', cells: { planned: 4, loaded: 4 } };
  expect((await stage.run()).report).toMatchObject(between);
  const forcedReport = (await stage.run({ ...BACKFILL, force: true })).report;
  expect(forcedReport).toMatchObject({ cells: { planned: 8, unchanged: 8 }, rows: { inserted: 0, unchanged: 8 } });
  expect(await countOf(stage, "usage_date < '2026-11-20'")).toBe(0);
});

it('a backfill beyond the horizon is clamped and not complete; so is a run of such a day', async () => {
  const stage = await createStage({ orgs: 1 });
  const range = { from: '2026-08-20', to: '2026-08-27' };
  const { report } = await stage.run({ kind: 'backfill', range }, DEVICES);
  expect(report.status).toBe('partial');
  expect(report.failures).toMatchObject([{ code: 'past_horizon', from: '2026-08-20', to: '2026-08-25' }]);
  expect(report).toMatchObject({ from: '2026-08-26', to: '2026-11-23' });
  const beyond = { from: '2026-08-20', to: '2026-08-20' };
  const day = (await stage.run({ kind: 'manual', range: beyond }, DEVICES)).report;
  const failures = [{ code: 'past_horizon' }];
  expect(day).toMatchObject({ status: 'partial', cells: { planned: 0 }, failures });
});

it('a run of a day that is not expected is an error with a hint; so is one of an unknown organization', async () => {
  const stage = await createStage({ orgs: 1 });
  const range = { from: '2026-11-10', to: '2026-11-10' };
  const manualRun = stage.run({ kind: 'manual', range });
  await expect(manualRun).rejects.toBeInstanceOf(SettingsError);
  const command = `losant-usage backfill --from 2026-11-10 --to 2026-11-10`;
  await expect(manualRun).rejects.toMatchObject({ hint: `${command} adds the day` });
  const orgIds = [...stage.orgIds];
  const runOfPart = stage.run({ kind: 'manual', range, orgIds, streams: ['device_counts', 'notebook_minutes'] });
  const scope = `--org ${orgIds[0]} --stream device_counts --stream notebook_minutes`;
  await expect(runOfPart).rejects.toMatchObject({ hint: `${command} ${scope} adds the day` });
  const yesterday = { kind: 'manual', range: { from: '2026-11-23', to: '2026-11-23' } } as const;
  expect((await stage.run(yesterday)).report.cells).toMatchObject({ planned: 4, loaded: 4 });
  expect((await stage.run(yesterday)).report.cells).toMatchObject({ unchanged: 4 });
  await expect(stage.run({ kind: 'manual', orgIds: ['a'.repeat(24)] })).rejects.toBeInstanceOf(SettingsError);
});

it('a backfill names what was never tracked, loads the rest, and is not complete', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.run();
  const unknownId = 'a'.repeat(24);
  const options = { ...BACKFILL, orgIds: [...stage.orgIds, unknownId], streams: ['device_counts'] };
  const { report } = await stage.run(options);
  expect(report).toMatchObject({ status: 'partial', from: '2026-11-20', cells: { planned: 2, loaded: 2 } });
  const where = { orgId: unknownId, stream: 'device_counts', from: null };
  expect(report.failures).toMatchObject([{ ...where, code: 'not_tracked' }]);
});

it('a run that has prepared its cells before midnight and reads after it reads the day that has just ended', async () => {
  const stage = await createStage({ orgs: 1 });
  await faults(stage, { kinds: ['too_large'], actions: ['deviceCounts'], forever: true });
  await stage.run();
  await faults(stage, null);
  const { url } = stage.store;
  await using locker = await openAs('writer', url);
  let running: Promise<RunOutcome> | undefined;
  await locker.db.transaction().execute(async (trx) => {
    await sql`select from losant_usage.coverage for update`.execute(trx);
    running = stage.run({ kind: 'manual' });
    running.catch(() => {});
    const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await until('it waits for the cell to retry', async () => (await asWriter(url, waiting)).length === 1);
    await stage.moveTo('2026-11-25T00:00:01.000Z');
  });
  expect((await running)?.report).toMatchObject({ status: 'complete', to: '2026-11-24', cells: { planned: 8 } });
});

it.each([
  ['device_counts', '2026-10-01', '2026-10-24', 54],
  ['payload_sources', '2026-11-21', '2026-11-23', 3],
])('a backfill of %s reads what fits into the newest requests of all organizations first', async (...options) => {
  const [stream, from, firstDay, days] = options;
  const stage = await createStage({ orgs: 101 });
  const range = { from, to: '2026-11-23' };
  // Responses of concurrent requests may be loaded in another order.
  const gate = new Gate({ concurrency: 1, requestsPerSecond: 1_000 });
  const { report } = await stage.run({ kind: 'backfill', range }, { streams: [stream], gate });
  expect(report).toMatchObject({ status: 'complete', cells: { planned: 101 * days, loaded: 101 * days } });
  const order = `select max(last_attempt_at) filter (where usage_date >= '${firstDay}')
      <= min(last_attempt_at) filter (where usage_date < '${firstDay}') as is_newest_first from losant_usage.cells`;
  const [row] = await stage.query(order);
  expect(row).toEqual({ is_newest_first: true });
});
