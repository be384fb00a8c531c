import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { orgIdsOf, useExport } from './export.ts';

const STREAMS = { STREAMS: 'device_counts,notebook_minutes,payload_totals,payload_sources,payload_hours' };
const [FIRST, LAST] = [daysAgo(40), daysAgo(1)];

const exported = useExport({ orgs: 8, latencyMs: 20 });
beforeAll(async () => {
  await exported.run(['migrate']);
});

interface TruthDay {
  readonly day: string;
  readonly payload_hours: Readonly<Record<'billable_counts' | 'all_counts' | 'all_bytes', readonly number[]>>;
}

/** Every row of payload_hours that an export of the days must hold, as the platform has them now. */
async function readTruth(): Promise<string[]> {
  const { orgs } = (await exported.platform.control(`truth?from=${FIRST}&to=${LAST}&perPage=100`)) as {
    orgs: { orgId: string; createdDay: string; days: TruthDay[] }[];
  };
  const lines = orgs.flatMap(({ orgId, createdDay, days }) =>
    days
      .filter(({ day }) => day >= createdDay)
      .map(({ day, payload_hours: { billable_counts, all_counts, all_bytes } }) =>
        [orgId, day, ...[billable_counts, all_counts, all_bytes].map((counts) => counts.join(','))].join(' '),
      ),
  );
  return lines.sort();
}

async function readStored(): Promise<string[]> {
  const rows = await exported.place.query(`
    select concat_ws(' ', org_id, usage_date::text, array_to_string(hours_billable_count, ','),
      array_to_string(hours_all_count, ','), array_to_string(hours_all_bytes, ',')) as line
    from losant_usage.usage_days where hours_all_count is not null`);
  return rows.map(({ line }) => String(line)).sort();
}

const backfill = (more: readonly string[] = []) => [
  'backfill',
  '--json',
  '--from',
  FIRST,
  '--to',
  LAST,
  ...more,
];

it('hours of 40 days are exact after faults, restatements and a kill', async () => {
  const { platform, place, run, spawn } = exported;
  await platform.control('config', {
    faults: {
      kinds: [
        'server_error',
        'cut_body',
        'reset',
        'not_json',
        'duplicate_bucket',
        'misplaced_bucket',
        'negative',
      ],
      every: 12,
    },
  });
  const running = spawn(backfill(), { ...STREAMS, REQUEST_CONCURRENCY: '2' });
  await until('some hours are stored', async () => {
    const rows = await place.query(
      'select from losant_usage.usage_days where hours_all_count is not null limit 1',
    );
    return rows.length > 0;
  });
  running.kill('SIGKILL');
  expect((await running.ended).code).toBeNull();

  const orgIds = await orgIdsOf(platform);
  for (const [index, orgId] of orgIds.slice(0, 6).entries()) {
    await platform.control('restate', { orgId, day: daysAgo(2 + index), counter: 'payload_hours' });
  }
  await platform.control('config', { faults: null, latencyMs: 0 });
  // The lease of a dead process lapses within a minute.
  await place.query('update losant_usage.leases set until = now()');
  const ended = await run(backfill(['--force']), STREAMS);
  expect(jsonOf(ended).failures).toEqual([]);
  expect(ended.code).toBe(0);
  const stored = await readStored();
  expect(stored.length).toBeGreaterThan(200);
  expect(stored).toEqual(await readTruth());
  // Each day's hours add up to its total, so that none is in doubt.
  const differing = await place.query(`
    select from losant_usage.usage_days u
    where u.payload_all_count <> (select sum(n) from unnest(u.hours_all_count) as n)`);
  expect(differing).toEqual([]);
});

it('hours that do not add up to the day differ in the reconciliation, until they are put right', async () => {
  const { platform, place, run } = exported;
  const orgId = (await platform.orgWith('large')).slice(6);
  const day = daysAgo(10);
  const again = ['run', '--json', '--date', day, '--org', orgId, '--stream', 'payload_hours'];
  const differing = () =>
    place.query(`select metric, difference::integer, orgs_differing from losant_usage.reconciliation
      where usage_date = '${day}' and compared_with = 'payload_hours' and outcome = 'differs'`);
  await platform.control('hour', { orgId, day, hour: 7, by: 3 });
  expect((await run(again, STREAMS)).code).toBe(0);
  expect((await differing()).map(({ metric }) => metric)).toContain('payload_all_count');
  await platform.control('hour', { orgId, day, hour: 7, by: 0 });
  expect((await run(again, STREAMS)).code).toBe(0);
  expect(await differing()).toEqual([]);
});

it('a dry run says what the hours cost: three requests for 31 days of an organization', async () => {
  const { run, platform } = exported;
  const [orgId = ''] = await orgIdsOf(platform);
  const args = [
    'backfill',
    '--json',
    '--from',
    daysAgo(31),
    '--to',
    LAST,
    '--org',
    orgId,
    '--force',
    '--dry-run',
  ];
  const requestsOf = async (stream: string) =>
    jsonOf<{ requests: number }>(await run([...args, '--stream', stream], STREAMS)).requests;
  expect(await requestsOf('payload_hours')).toBe(await requestsOf('payload_totals'));
});

it('a statement has no number of hours, and its proof pack holds with them beside', async () => {
  const period = daysAgo(40).slice(0, 7);
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-hours-'));
  try {
    const refused = await exported.run(['close', '--period', period, '--json'], STREAMS);
    const [{ blockersHash = '' } = {}] = jsonOf<{ instances: { blockersHash?: string }[] }>(
      refused,
    ).instances;
    const accepted = ['--incomplete', 'a test', '--blockers', blockersHash];
    expect((await exported.run(['close', '--period', period, ...accepted], STREAMS)).code).toBe(0);
    const out = join(folder, 'pack');
    expect((await exported.run(['statement', '--period', period, '--out', out], STREAMS)).code).toBe(0);
    expect((await exported.run(['verify', out], STREAMS)).code).toBe(0);
    const lines = await exported.place.query(
      'select distinct metric from losant_usage.statement_lines order by metric',
    );
    expect(lines.map(({ metric }) => metric)).not.toContainEqual(expect.stringContaining('hour'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('without payload_hours in STREAMS what is stored stays readable, and nothing more is asked for', async () => {
  const { run, place, platform } = exported;
  const before = await readStored();
  await platform.control('stats/reset', {});
  const ended = await run(['run', '--json']);
  expect(ended.code).toBe(0);
  expect(await readStored()).toEqual(before);
  const [counted] = await place.query(`select count(payload_all_count) as hours from losant_usage.hourly_usage
    where usage_date between '${FIRST}' and '${LAST}'`);
  expect(Number(counted?.['hours'])).toBe(before.length * 24);
});
