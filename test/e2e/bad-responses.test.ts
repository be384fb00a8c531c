import { beforeAll, describe, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { type Ended, jsonOf } from '../support/program.ts';
import { orgIdsOf, useInstallation } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

const day = daysAgo(1);

/** A fault of the device counts of one organization each, and its code; the last organization gets no response. */
const FAULTS = [
  ['negative', 'invalid_value'],
  ['fractional', 'invalid_value'],
  ['text_number', 'invalid_value'],
  ['missing_value', 'invalid_value'],
  ['duplicate_bucket', 'unplaceable_body'],
  ['no_counts', 'unplaceable_body'],
  ['html_ok', 'unplaceable_body'],
  ['empty_body', 'unplaceable_body'],
  ['server_error', 'server_error'],
] as const;

const installation = useInstallation({ orgs: 12 });

describe('a run in which eight of twelve organizations have invalid responses for a stream, and one has none', () => {
  let orgIds: string[];
  let ended: Ended;

  beforeAll(async () => {
    const { platform, run } = installation;
    orgIds = await orgIdsOf(platform);
    const always = { actions: ['deviceCounts'], forever: true };
    const faults = FAULTS.map(([kind], index) => ({ kinds: [kind], orgIds: [orgIds[index]], ...always }));
    await platform.control('config', { faults });
    ended = await run(['run', '--json'], { REQUEST_ATTEMPTS: '2' });
  });

  it('exits with 3, its counts add up, and it reports each failure', () => {
    expect(ended.code).toBe(3);
    const { status, cells, failures } = jsonOf(ended);
    expect(status).toBe('partial');
    const none = { unchanged: 0, omitted: 0, unavailable: 0 };
    expect(cells).toEqual({ ...none, planned: 48, loaded: 39, failed: 1, quarantined: 8 });
    const reported = failures.map(({ orgId, stream, code, from, to }) => [orgId, stream, code, from, to].join(' '));
    const failing = FAULTS.map(([, code], index) => `${orgIds[index]} device_counts ${code} ${day} ${day}`);
    expect(reported.toSorted()).toEqual(failing.toSorted());
  });

  it('stores exactly the other cells', async () => {
    const isFailing = (line: string) =>
      FAULTS.some((_, index) => line.startsWith(`device_counts ${orgIds[index]} ${day} `));
    const truth = await readTruth(installation.platform, day, day);
    expect(await readStored(installation.store)).toEqual(truth.filter((line) => !isFailing(line)));
    const standings = `select standing, reason is null as is_good, count(*)::int
      from losant_usage.cells group by 1, 2 order by 1`;
    expect(await installation.store.query(standings)).toEqual([
      { standing: 'stored', is_good: true, count: 39 },
      { standing: 'missing', is_good: false, count: 9 },
    ]);
  });
});

it('a run whose responses for stored cells were quarantined names the command that shows them', async () => {
  const { platform, run } = installation;
  await platform.control('config', { faults: null });
  expect(await run(['run', '--day', day])).toMatchObject({ code: 0 });
  await platform.control('config', { faults: { kinds: ['negative'], forever: true, actions: ['deviceCounts'] } });
  const ended = await run(['run', '--day', day]);
  await platform.control('config', { faults: null });
  expect(ended.code).toBe(3);
  expect((await run(['gaps'])).stdout).toBe('No gaps.\n');
  const [, command = ''] = /To see what is wrong and why: losant-usage (.*)\n$/.exec(ended.stdout) ?? [];
  expect(command).toMatch(/^explain --org [0-9a-f]{24} --day \S+ --stream device_counts$/);
  expect((await run(command.split(' '))).stdout).toContain('quarantine');
});

it('an omitted device count is missing, and the run is not complete', async () => {
  const { platform, store, run } = installation;
  const [orgId = ''] = await orgIdsOf(platform);
  const omittedDay = daysAgo(4);
  await platform.control('omit', { orgId, day: omittedDay, action: 'device_counts' });
  const ended = await run(['backfill', '--json', '--from', omittedDay, '--to', omittedDay]);
  const failures = [{ orgId, stream: 'device_counts', from: omittedDay, to: omittedDay, code: 'omitted' }];
  expect(jsonOf(ended)).toMatchObject({ status: 'partial', cells: { omitted: 1, failed: 0 }, failures });
  expect(ended.code).toBe(3);
  const rows = await store.query(`select standing, reason from losant_usage.cells
    where stream = 'device_counts' and usage_date = '${omittedDay}' and org_id = '${orgId}'`);
  expect(rows).toEqual([{ standing: 'missing', reason: 'omitted' }]);
});
