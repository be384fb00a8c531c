import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { type Ended, jsonOf } from '../support/program.ts';
import { orgIdsOf, useExport } from './export.ts';
import { readStored, readTruth } from './usage.ts';

const day = daysAgo(2);

type Body = Record<string, unknown>;
interface DayBody {
  counts: Body[];
}

/** One thing that is wrong with one organization's answer, and the same done to the good answer's body. */
interface Wrong {
  readonly kind: string;
  readonly action: 'deviceCounts' | 'notebookMinuteCounts' | 'payloadCounts';
  readonly code: string;
  readonly spoil: (text: string, field: string) => string;
}

/** Changes the field the platform chose, in the one bucket of the body. */
function inField(change: (value: number) => unknown) {
  return (text: string, field: string): string =>
    inCounts((counts) => counts.map((bucket) => ({ ...bucket, [field]: change(bucket[field] as number) })))(
      text,
    );
}

function inCounts(change: (counts: Body[]) => Body[]) {
  return (text: string): string => {
    const body = JSON.parse(text) as DayBody;
    return JSON.stringify({ ...body, counts: change(body.counts) });
  };
}

const later = (bucket: Body) => ({ ...bucket, date: `${day}T05:00:00.000Z` });

const device = (kind: string, code: string, spoil: Wrong['spoil']): Wrong => ({
  ...{ kind, code, spoil },
  action: 'deviceCounts',
});

const WRONG: readonly Wrong[] = [
  device(
    'negative',
    'invalid_value',
    inField((value) => -value - 1),
  ),
  device(
    'fractional',
    'invalid_value',
    inField((value) => value + 0.5),
  ),
  device('text_number', 'invalid_value', inField(String)),
  device(
    'null_value',
    'invalid_value',
    inField(() => null),
  ),
  device(
    'boolean_value',
    'invalid_value',
    inField(() => true),
  ),
  device(
    'missing_value',
    'invalid_value',
    inField(() => undefined),
  ),
  device(
    'duplicate_bucket',
    'unplaceable_body',
    inCounts((counts) => [...counts, ...counts]),
  ),
  device(
    'misplaced_bucket',
    'unplaceable_body',
    inCounts((counts) => counts.map(later)),
  ),
  device('no_counts', 'unplaceable_body', (text) =>
    JSON.stringify({ ...(JSON.parse(text) as Body), counts: undefined }),
  ),
  device('html_ok', 'unplaceable_body', () => '<!doctype html><title>Sign in</title>'),
  device('empty_body', 'unplaceable_body', () => ''),
  {
    ...device(
      'negative',
      'invalid_value',
      inField((value) => -value - 1),
    ),
    action: 'notebookMinuteCounts',
  },
];

const exported = useExport({ orgs: 30 });

const STREAM_OF = {
  deviceCounts: 'device_counts',
  notebookMinuteCounts: 'notebook_minutes',
  payloadCounts: 'payload_sources',
};

const gunzip = (bytes: unknown) => gunzipSync(bytes as Buffer).toString('utf8');

describe('of thirty organizations, twelve answer wrongly for one stream and two not at all', () => {
  let orgIds: string[];
  let ended: Ended;
  let failing: { orgId: string; stream: string; code: string }[];
  const DOWN = [12, 13];

  beforeAll(async () => {
    const { platform, run } = exported;
    orgIds = await orgIdsOf(platform);
    const faults = WRONG.map(({ kind, action }, index) => ({
      ...{ kinds: [kind], actions: [action], orgIds: [orgIds[index]] },
      forever: true,
    }));
    const down = DOWN.map((index) => orgIds[index] ?? '');
    await platform.control('config', {
      faults: [
        ...faults,
        { kinds: ['server_error'], orgIds: down, actions: ['deviceCounts'], forever: true },
      ],
    });
    ended = await run(['run', '--json', '--date', day], { REQUEST_ATTEMPTS: '2' });
    failing = [
      ...WRONG.map(({ action, code }, index) => ({
        orgId: orgIds[index] ?? '',
        stream: STREAM_OF[action],
        code,
      })),
      ...down.map((orgId) => ({ orgId, stream: 'device_counts', code: 'server_error' })),
    ];
  });

  it('ends with exit code 3, its counts add up, and each failure is named', () => {
    expect(ended.code).toBe(3);
    const { status, cells, failures } = jsonOf(ended);
    expect(status).toBe('partial');
    expect(cells).toEqual({
      ...{ planned: 120, loaded: 106, unchanged: 0, left_out: 0 },
      ...{ failed: 2, quarantined: 12, unavailable: 0 },
    });
    expect(failures.map(({ orgId, stream, code, from, to }) => ({ orgId, stream, code, from, to }))).toEqual(
      expect.arrayContaining(failing.map((failure) => ({ ...failure, from: day, to: day }))),
    );
    expect(failures).toHaveLength(14);
  });

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
    const { platform, place } = exported;
    const { faults } = (await platform.control('faults')) as {
      faults: { orgId: string; kind: string; path: string; query: string; field: string | null }[];
    };
    await platform.control('config', { faults: null });
    for (const [index, { kind, code, action, spoil }] of WRONG.entries()) {
      const orgId = orgIds[index] ?? '';
      const served = faults.filter((fault) => fault.orgId === orgId).at(-1);
      if (served === undefined) throw new Error(`${kind} was not served`);
      const good = await platform.raw(`${served.path}?${served.query}`, {
        authorization: `Bearer ${platform.token}`,
      });
      const [kept, ...more] = await place.query(
        `select stream, from_date::text, to_date::text, code, body_gzip, body_truncated, times
           from losant_usage.quarantine where org_id = '${orgId}'`,
      );
      expect(more).toEqual([]);
      expect(kept).toMatchObject({
        ...{ stream: STREAM_OF[action], from_date: day, to_date: day, code },
        ...{ body_truncated: false, times: 1 },
      });
      expect({ kind, body: gunzip(kept?.['body_gzip']) }).toEqual({
        kind,
        body: spoil(good.text, served.field ?? ''),
      });
    }
  });

  it('has them all with the next run that is answered well', async () => {
    const { platform, place, run } = exported;
    await platform.control('config', { faults: null });
    const healed = await run(['run', '--json', '--date', day]);
    expect(healed.code).toBe(0);
    expect(jsonOf(healed).cells).toMatchObject({ planned: 120, loaded: 14, unchanged: 106 });
    expect(await readStored(place)).toEqual(await readTruth(platform, day, day));
    expect(await place.query('select code from losant_usage.quarantine where resolved_at is null')).toEqual(
      [],
    );
  });
});

it('a device count that is left out is missing, and the run is not green', async () => {
  const { platform, place, run } = exported;
  const [orgId = ''] = await orgIdsOf(platform);
  const before = daysAgo(4);
  await platform.control('omit', { orgId, day: before, action: 'device_counts' });
  const ended = await run(['run', '--json', '--date', before]);
  expect(jsonOf(ended)).toMatchObject({ status: 'partial', cells: { loaded: 119, left_out: 1 } });
  expect(ended.code).toBe(3);
  const rows = await place.query(
    `select standing, reason from losant_usage.coverage where stream = 'device_counts' and usage_date = '${before}'
       and org_id = '${orgId}'`,
  );
  expect(rows).toEqual([{ standing: 'missing', reason: 'left_out' }]);
});
