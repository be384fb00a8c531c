import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Ended, jsonOf } from '../support/program.ts';
import { orgIdsOf, useExport } from './export.ts';
import { readStored, readTruth } from './usage.ts';

const day = daysAgo(1);

/** What is wrong with one organization's device counts each, and the code that it gets; the last has no answer. */
const WRONG = [
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

const exported = useExport({ orgs: 12 });

describe('of twelve organizations, eight answer wrongly for one stream and one not at all', () => {
  let orgIds: string[];
  let ended: Ended;

  beforeAll(async () => {
    const { platform, run } = exported;
    orgIds = await orgIdsOf(platform);
    const always = { actions: ['deviceCounts'], forever: true };
    const faults = WRONG.map(([kind], index) => ({ kinds: [kind], orgIds: [orgIds[index]], ...always }));
    await platform.control('config', { faults });
    ended = await run(['run', '--json'], { REQUEST_ATTEMPTS: '2' });
  });

  // Promise (Missing numbers): The commands status and gaps exit with 3 while there is a gap, and a run whose due
  // numbers are not all stored does not exit with 0.
  it('ends with exit code 3, its counts add up, and each failure is named', () => {
    expect(ended.code).toBe(3);
    const { status, cells, failures } = jsonOf(ended);
    expect(status).toBe('partial');
    const none = { unchanged: 0, left_out: 0, unavailable: 0 };
    expect(cells).toEqual({ ...none, planned: 48, loaded: 39, failed: 1, quarantined: 8 });
    const named = failures.map(({ orgId, stream, code, from, to }) =>
      [orgId, stream, code, from, to].join(' '),
    );
    const failing = WRONG.map(([, code], index) => `${orgIds[index]} device_counts ${code} ${day} ${day}`);
    expect(named.toSorted()).toEqual(failing.toSorted());
  });

  // Promise (Numbers): A number that is not a whole number from 0 to 2^53 − 1 as written in the body is never stored;
  // other days of the answer load.
  it('stores every other cell as it is true, and of those nothing', async () => {
    const isFailing = (line: string) =>
      WRONG.some((_, index) => line.startsWith(`device_counts ${orgIds[index]} ${day} `));
    const truth = await readTruth(exported.platform, day, day);
    expect(await readStored(exported.place)).toEqual(truth.filter((line) => !isFailing(line)));
    const standings = `select standing, reason is null as is_well, count(*)::int
      from losant_usage.cells group by 1, 2 order by 1`;
    expect(await exported.place.query(standings)).toEqual([
      { standing: 'stored', is_well: true, count: 39 },
      { standing: 'missing', is_well: false, count: 9 },
    ]);
  });

  it('keeps the body of each as it came', async () => {
    const all = 'select org_id, code, body_gzip from losant_usage.quarantine';
    const rows = await asWriter(exported.place.url, all);
    const kept = WRONG.slice(0, 8).map(([kind, code], index) => {
      const own = rows.filter(({ org_id }) => org_id === orgIds[index]);
      expect(own).toMatchObject([{ code }]);
      return [kind, gunzipSync(own[0]?.['body_gzip'] as Buffer).toString('utf8')] as const;
    });
    const bodies = Object.fromEntries(kept);
    expect(bodies['negative']).toMatch(new RegExp(`"date":"${day}T00:00:00.000Z",[^}]*":-\\d+[,}]`));
    expect(bodies['no_counts']).toMatch(/^\{"start":.*"_type":"deviceCounts"/);
    expect(bodies['html_ok']).toMatch(/^<!doctype html>/);
    expect(bodies['empty_body']).toBe('');
  });

  it('has them all with the next run that is answered well', async () => {
    const { platform, place, run } = exported;
    await platform.control('config', { faults: null });
    const healed = await run(['run', '--json', '--date', day]);
    expect(healed.code).toBe(0);
    expect(jsonOf(healed).cells).toMatchObject({ planned: 48, loaded: 9, unchanged: 39 });
    expect(await readStored(place)).toEqual(await readTruth(platform, day, day));
  });
});

// Promise (Numbers): A level that Losant leaves out is missing, not zero.
it('a device count that is left out is missing, and the run is not green', async () => {
  const { platform, place, run } = exported;
  const [orgId = ''] = await orgIdsOf(platform);
  const before = daysAgo(4);
  await platform.control('omit', { orgId, day: before, action: 'device_counts' });
  const ended = await run(['backfill', '--json', '--from', before, '--to', before]);
  const failures = [{ orgId, stream: 'device_counts', from: before, to: before, code: 'left_out' }];
  expect(jsonOf(ended)).toMatchObject({ status: 'partial', cells: { left_out: 1, failed: 0 }, failures });
  expect(ended.code).toBe(3);
  const rows = await place.query(`select standing, reason from losant_usage.cells
    where stream = 'device_counts' and usage_date = '${before}' and org_id = '${orgId}'`);
  expect(rows).toEqual([{ standing: 'missing', reason: 'left_out' }]);
});
