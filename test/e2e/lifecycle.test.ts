import { afterEach, beforeEach, expect, it } from 'vitest';
import { startPlatform } from '../simulator/platform.ts';
import { daysAgo } from '../support/days.ts';
import { type Ended, type Env, jsonOf } from '../support/program.ts';
import { type Export, openExport, orgIdsOf } from './export.ts';
import { readStored, readTruth } from './usage.ts';

const ORGS = 12;
const day = daysAgo(1);

let exported: Export;
beforeEach(async () => {
  exported = await openExport({ orgs: ORGS });
});
afterEach(() => exported.close());

const run = (args: readonly string[] = [], env: Env = {}): Promise<Ended> =>
  exported.run(['run', '--json', ...args], env);

const query = (statement: string) => exported.place.query(statement);

it('organizations chosen by id today, and all of them from now on: the next run lists them before it is green', async () => {
  const { platform, place } = exported;
  const [chosen = '', alsoChosen = ''] = await orgIdsOf(platform);
  const goOn = () =>
    query('select org_id from losant_usage.tracks group by org_id having bool_and(to_day is null)');
  expect((await run([], { LOSANT_ORG_IDS: chosen })).code).toBe(0);
  expect((await run([], { LOSANT_ORG_IDS: `${chosen},${alsoChosen}` })).code).toBe(0);
  expect(await goOn()).toHaveLength(2);
  expect((await run()).code).toBe(0);
  expect(await goOn()).toHaveLength(ORGS);
  expect(await readStored(place)).toEqual(await readTruth(platform, day, day));
});

// Promise (Missing numbers): What can no longer be read is unavailable with its reason, and not forgotten.
it('an organization that is deleted keeps its rows, and its missing days are known to be lost', async () => {
  const { platform, place } = exported;
  const [deleted = '', ...others] = await orgIdsOf(platform);
  await platform.control('config', {
    faults: { kinds: ['server_error'], orgIds: [deleted], actions: ['notebookMinuteCounts'], forever: true },
  });
  expect((await run([], { REQUEST_ATTEMPTS: '1' })).code).toBe(3);
  const before = await readStored(place);
  await platform.control('config', { faults: null });
  expect((await platform.send('DELETE', `/orgs/${deleted}`, {})).status).toBe(200);

  // A run by hand reads the list anew.
  const ended = await run(['--date', day]);
  expect(ended.code).toBe(0);
  const { cells, failures } = jsonOf(ended);
  expect(failures).toEqual([]);
  expect(cells).toMatchObject({
    planned: 4 * others.length,
    unchanged: 4 * others.length,
    unavailable: 0,
  });
  expect(await readStored(place)).toEqual(before);
  expect(await query('select org_id from losant_usage.organizations where removed_on is not null')).toEqual([
    { org_id: deleted },
  ]);
  const coverage = `select stream, standing from losant_usage.coverage where org_id = '${deleted}' order by 1`;
  expect(await query(coverage)).toEqual([
    { stream: 'device_counts', standing: 'unavailable' },
    { stream: 'notebook_minutes', standing: 'unavailable' },
    { stream: 'payload_sources', standing: 'unavailable' },
    { stream: 'payload_totals', standing: 'unavailable' },
  ]);
});

// Promise (Missing numbers): An organization that returns is read again, with all that was given up.
it('an organization that is back is exported again, with what was given up', async () => {
  const { platform, place } = exported;
  const [deleted = ''] = await orgIdsOf(platform);
  await platform.control('config', {
    faults: { kinds: ['server_error'], orgIds: [deleted], actions: ['notebookMinuteCounts'], forever: true },
  });
  expect((await run([], { REQUEST_ATTEMPTS: '1' })).code).toBe(3);
  await platform.control('config', { faults: null });
  await platform.send('DELETE', `/orgs/${deleted}`, {});
  expect((await run()).code).toBe(0);
  expect(
    await query('select org_id from losant_usage.organizations where removed_on is not null'),
  ).toHaveLength(1);

  await exported.stopPlatform();
  const port = Number(new URL(platform.url).port);
  await using restored = await startPlatform({ now: Date.now, orgs: ORGS, port });
  const back = await run();
  expect(back.code).toBe(0);
  expect(jsonOf(back).cells).toMatchObject({ planned: 4, loaded: 1, unchanged: 3 });
  expect(await query('select org_id from losant_usage.organizations where removed_on is not null')).toEqual(
    [],
  );
  expect(await readStored(place)).toEqual(await readTruth(restored, day, day));
});

it('more deletions at once than can be believed are refused and reported', async () => {
  const { platform } = exported;
  expect((await run()).code).toBe(0);
  for (const orgId of (await orgIdsOf(platform)).slice(0, 6))
    await platform.send('DELETE', `/orgs/${orgId}`, {});
  const ended = await run();
  expect(ended.code).toBe(3);
  expect(jsonOf(ended)).toMatchObject({
    status: 'partial',
    failures: [{ orgId: null, stream: null, code: 'removals_refused' }],
  });
  expect(await query('select org_id from losant_usage.organizations where removed_on is not null')).toEqual(
    [],
  );
});

it('an organization that leaves the configuration and returns is promised again', async () => {
  const { platform } = exported;
  const [stays = '', leaves = ''] = await orgIdsOf(platform);
  const tracked = `select org_id, to_day::text from losant_usage.tracks where stream = 'device_counts' order by 1`;
  const both = { LOSANT_ORG_IDS: `${stays},${leaves}` };
  expect((await run([], both)).code).toBe(0);
  expect(await query(tracked)).toEqual([
    { org_id: stays, to_day: null },
    { org_id: leaves, to_day: null },
  ]);
  expect((await run([], { LOSANT_ORG_IDS: stays })).code).toBe(0);
  expect(await query(tracked)).toEqual([
    { org_id: stays, to_day: null },
    { org_id: leaves, to_day: day },
  ]);
  expect((await run([], both)).code).toBe(0);
  expect(await query(tracked)).toEqual([
    { org_id: stays, to_day: null },
    { org_id: leaves, to_day: null },
  ]);
});

it('a configured organization that the instance does not know fails the run, every time', async () => {
  const { platform } = exported;
  const [known = ''] = await orgIdsOf(platform);
  const unknown = 'ffffffffffffffffffffffff';
  const env = { LOSANT_ORG_IDS: `${known},${unknown.toUpperCase()}` };
  for (const loaded of [4, 0]) {
    const ended = await run([], env);
    expect(ended.code).toBe(3);
    expect(jsonOf(ended)).toMatchObject({
      status: 'partial',
      cells: { loaded, failed: 0 },
      failures: [{ orgId: unknown, stream: null, code: 'org_unknown' }],
    });
  }
});
