/** The samples of a scrape: those of the ledger, and the process's own counts. */
import { expect, test } from 'vitest';
import { createMetrics } from '../../src/server/metrics.ts';
import { HEALTH, INSTANCE, NOW_MS, viewOf } from './pages.ts';

const open = () => createMetrics({ version: '1.2.3', instanceIds: [INSTANCE], startedAtMs: NOW_MS - 60_000 });

/** Returns the samples of a scrape by name with labels. */
async function scrape(metrics: ReturnType<typeof open>, health = HEALTH) {
  const text = await metrics.render(viewOf(health, { ageMs: 2_000 }), NOW_MS);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => [line.replace(/ \S+$/, ''), Number(/\S+$/.exec(line)?.[0])]));
}

const ofInstance = (name: string) => `losant_usage_${name}{instance_id="${INSTANCE}"}`;
const ofStream = (name: string) => `losant_usage_${name}{instance_id="${INSTANCE}",stream="device_counts"}`;
const secondsOf = (instant: string) => Date.parse(instant) / 1_000;

test('the ledger has samples by instance, by stream and by standing', async () => {
  const samples = await scrape(open());
  expect(samples).toMatchObject({
    [ofInstance('oldest_gap_age_seconds')]: secondsOf(HEALTH.at) - secondsOf('2026-11-12T00:00:00Z'),
    [ofInstance('gaps_expiring')]: 1,
    [ofInstance('organization_list_incomplete')]: 1,
    [ofInstance('reconciliation_differences')]: 6,
    [ofInstance('final_restatements_total')]: 7,
    [ofStream('organizations_tracked')]: 3,
    [ofStream('organizations_complete')]: 2,
    [ofStream('complete_to_timestamp_seconds')]: secondsOf('2026-11-10T00:00:00Z'),
    [ofStream('newest_read_day_end_timestamp_seconds')]: secondsOf('2026-11-24T00:00:00Z'),
    [ofStream('yesterday_incomplete_cells')]: 3,
    losant_usage_database_up: 1,
    losant_usage_ledger_snapshot_age_seconds: 2,
    'losant_usage_build_info{version="1.2.3"}': 1,
  });
  for (const [standing, cells] of Object.entries(HEALTH.instances[0]?.streams[0]?.cells ?? {})) {
    const labels = `instance_id="${INSTANCE}",stream="device_counts",standing="${standing}"`;
    expect(samples[`losant_usage_cells{${labels}}`]).toBe(cells);
  }
});

test.each([
  ['was never read', '2026-11-24T09:30:00.000Z', 3_600],
  ['was read', null, 0],
])('an instance that %s has the seconds since its first attempt, or 0', async (_, neverReadSince, seconds) => {
  const instances = HEALTH.instances.map((each) => ({ ...each, neverReadSince, streams: [] }));
  const samples = await scrape(open(), { ...HEALTH, instances });
  expect(samples).toMatchObject({ [ofInstance('instance_never_read_seconds')]: seconds });
});

test('runs and requests are counted, next to the metrics of every process', async () => {
  const metrics = open();
  metrics.countRun(INSTANCE, { result: 'partial', durationMs: 2_000 });
  // A look at the lease of another process is no run.
  metrics.countRun(INSTANCE, { result: 'standby', durationMs: 10 });
  const times = { durationMs: 100, gateWaitMs: 500 };
  metrics.countRequest({ action: 'instance.get', status: null, ...times, retryReason: 'timeout' });
  metrics.showTokenRejected(INSTANCE, true);
  metrics.showLastRunFailed(INSTANCE, true);
  const samples = await scrape(metrics);
  expect(samples).toMatchObject({
    [`losant_usage_runs_total{instance_id="${INSTANCE}",result="partial"}`]: 1,
    [`losant_usage_runs_total{instance_id="${INSTANCE}",result="complete"}`]: 0,
    [`losant_usage_runs_total{instance_id="${INSTANCE}",result="standby"}`]: 1,
    losant_usage_run_duration_seconds_count: 1,
    'losant_usage_requests_total{endpoint="instance.get",status="none"}': 1,
    'losant_usage_request_retries_total{reason="timeout"}': 1,
    losant_usage_rate_limit_wait_seconds_total: 0.5,
    [ofInstance('token_rejected')]: 1,
    [ofInstance('last_run_failed')]: 1,
    process_resident_memory_bytes: expect.any(Number) as number,
  });
});
