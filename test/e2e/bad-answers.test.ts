import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { type Ended, jsonOf } from '../support/program.ts';
import { orgIdsOf, useExport } from './export.ts';
import { readStored, readTruth } from './usage.ts';

const day = daysAgo(1);

/** What is wrong with one organization's answer each, and the code it gets. */
const WRONG = [
  ['negative', 'deviceCounts', 'invalid_value'],
  ['fractional', 'deviceCounts', 'invalid_value'],
  ['text_number', 'deviceCounts', 'invalid_value'],
  ['null_value', 'deviceCounts', 'invalid_value'],
  ['boolean_value', 'deviceCounts', 'invalid_value'],
  ['missing_value', 'deviceCounts', 'invalid_value'],
  ['duplicate_bucket', 'deviceCounts', 'unplaceable_body'],
  ['misplaced_bucket', 'deviceCounts', 'unplaceable_body'],
  ['no_counts', 'deviceCounts', 'unplaceable_body'],
  ['html_ok', 'deviceCounts', 'unplaceable_body'],
  ['empty_body', 'deviceCounts', 'unplaceable_body'],
  ['negative', 'notebookMinuteCounts', 'invalid_value'],
] as const;

const exported = useExport({ orgs: 30 });

const STREAM_OF = { deviceCounts: 'device_counts', notebookMinuteCounts: 'notebook_minutes' };

const gunzip = (bytes: unknown) => gunzipSync(bytes as Buffer).toString('utf8');

describe('of thirty organizations, twelve answer wrongly for one stream and two not at all', () => {
  let orgIds: string[];
  let ended: Ended;
  let failing: { orgId: string; stream: string; code: string }[];
  const DOWN = [12, 13];

  beforeAll(async () => {
    const { platform, run } = exported;
    orgIds = await orgIdsOf(platform);
    const faults = WRONG.map(([kind, action], index) => ({
      kinds: [kind],
      actions: [action],
      orgIds: [orgIds[index]],
      forever: true,
    }));
    const down = DOWN.map((index) => orgIds[index] ?? '');
    await platform.control('config', {
      faults: [
        ...faults,
        { kinds: ['server_error'], orgIds: down, actions: ['deviceCounts'], forever: true },
      ],
    });
    ended = await run(['run', '--json'], { REQUEST_ATTEMPTS: '2' });
    failing = [
      ...WRONG.map(([, action, code], index) => ({
        orgId: orgIds[index] ?? '',
        stream: STREAM_OF[action],
        code,
      })),
      ...down.map((orgId) => ({ orgId, stream: 'device_counts', code: 'server_error' })),
    ];
  });

  // Promise (Missing numbers): The commands status and gaps exit with 3 while there is a gap, and a run whose due
  // numbers are not all stored does not exit with 0.
  it('ends with exit code 3, its counts add up, and each failure is named', () => {
    expect(ended.code).toBe(3);
    const { status, cells, failures } = jsonOf(ended);
    expect(status).toBe('partial');
    expect(cells).toEqual({
      planned: 120,
      loaded: 106,
      unchanged: 0,
      left_out: 0,
      failed: 2,
      quarantined: 12,
      unavailable: 0,
    });
    expect(failures.map(({ orgId, stream, code, from, to }) => ({ orgId, stream, code, from, to }))).toEqual(
      expect.arrayContaining(failing.map((failure) => ({ ...failure, from: day, to: day }))),
    );
    expect(failures).toHaveLength(14);
  });

  // Promise (Numbers): A number that is not a whole number from 0 to 2^53 − 1 as written in the body is never stored;
  // other days of the answer load.
  it('stores every other cell as it is true, and of those nothing', async () => {
    const isFailing = (line: string) =>
      failing.some(({ stream, orgId }) => line.startsWith(`${stream} ${orgId} ${day} `));
    const truth = await readTruth(exported.platform, day, day);
    expect(truth.filter(isFailing)).toHaveLength(14);
    expect(await readStored(exported.place)).toEqual(truth.filter((line) => !isFailing(line)));
    const standings = await exported.place.query(
      `select standing, reason is null as is_well, count(*)::int from losant_usage.coverage group by 1, 2 order by 1`,
    );
    expect(standings).toEqual([
      { standing: 'stored', is_well: true, count: 106 },
      { standing: 'missing', is_well: false, count: 14 },
    ]);
  });

  it('keeps the body of each as it came', async () => {
    const rows = await exported.place.query('select * from losant_usage.quarantine');
    const kept = WRONG.map(([kind, action, code], index) => {
      const [row, ...more] = rows.filter(({ org_id }) => org_id === orgIds[index]);
      expect(more).toEqual([]);
      expect(row).toMatchObject({ stream: STREAM_OF[action], code, body_truncated: false });
      return [kind, gunzip(row?.['body_gzip'])] as const;
    });
    const bodies = Object.fromEntries(kept.toReversed());
    expect(bodies['negative']).toMatch(new RegExp(`"date":"${day}T00:00:00.000Z",[^}]*":-\\d+[,}]`));
    expect(bodies['no_counts']).toMatch(/^\{"start":.*"_type":"deviceCounts"/);
    expect([bodies['html_ok'], bodies['empty_body']]).toEqual([
      expect.stringMatching(/^<!doctype html>/),
      '',
    ]);
  });

  it('has them all with the next run that is answered well', async () => {
    const { platform, place, run } = exported;
    await platform.control('config', { faults: null });
    const healed = await run(['run', '--json', '--date', day]);
    expect(healed.code).toBe(0);
    expect(jsonOf(healed).cells).toMatchObject({ planned: 120, loaded: 14, unchanged: 106 });
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
  expect(jsonOf(ended)).toMatchObject({ status: 'partial', cells: { loaded: 359, left_out: 1 } });
  expect(ended.code).toBe(3);
  const rows = await place.query(
    `select standing, reason from losant_usage.cells where stream = 'device_counts' and usage_date = '${before}'
       and org_id = '${orgId}'`,
  );
  expect(rows).toEqual([{ standing: 'missing', reason: 'left_out' }]);
});
