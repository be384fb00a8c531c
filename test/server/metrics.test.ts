/** The samples of a scrape: those of the ledger, and the process's own counts. */
import { expect, test } from 'vitest';
import { createMetrics } from '../../src/server/metrics.ts';
import { HEALTH, NOW_MS, viewOf } from './pages.ts';

const open = () => createMetrics({ version: '1.2.3', startedAtMs: NOW_MS - 60_000 });

/** Returns the samples of a scrape by name with labels. */
async function scrape(metrics: ReturnType<typeof open>, health = HEALTH) {
  const text = await metrics.render(viewOf(health, { ageMs: 2_000 }), NOW_MS);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => [line.replace(/ \S+$/, ''), Number(/\S+$/.exec(line)?.[0])]));
}

const ofStream = (name: string) => `losant_usage_${name}{stream="device_counts"}`;
const secondsOf = (instant: string) => Date.parse(instant) / 1_000;

test('the ledger has samples by stream, by standing and by kind of what needs attention', async () => {
  const samples = await scrape(open());
  expect(samples).toMatchObject({
    losant_usage_oldest_gap_age_seconds: secondsOf(HEALTH.at) - secondsOf('2026-11-12T00:00:00Z'),
    losant_usage_gaps_expiring: 1,
    'losant_usage_attention_items{kind="missing"}': 12,
    'losant_usage_attention_items{kind="difference"}': 0,
    losant_usage_final_restatements_total: 7,
    [ofStream('organizations_tracked')]: 3,
    [ofStream('organizations_complete')]: 2,
    [ofStream('complete_to_timestamp_seconds')]: secondsOf('2026-11-10T00:00:00Z'),
    [ofStream('newest_read_day_end_timestamp_seconds')]: secondsOf('2026-11-24T00:00:00Z'),
    [ofStream('yesterday_incomplete_cells')]: 3,
    losant_usage_database_up: 1,
    losant_usage_ledger_snapshot_age_seconds: 2,
    'losant_usage_build_info{version="1.2.3"}': 1,
  });
  for (const [standing, cells] of Object.entries(HEALTH.streams[0]?.cells ?? {})) {
    const labels = `stream="device_counts",standing="${standing}"`;
    expect(samples[`losant_usage_cells{${labels}}`]).toBe(cells);
  }
});

test('runs and requests are counted, next to the metrics of every process', async () => {
  const metrics = open();
  metrics.countRun({ result: 'partial', durationMs: 2_000 });
  // A look at the lease of another process is no run.
  metrics.countRun({ result: 'standby', durationMs: 10 });
  const times = { durationMs: 100, gateWaitMs: 500 };
  metrics.countRequest({ action: 'instance.get', status: null, ...times, retryReason: 'timeout' });
  metrics.showTokenRejected(true);
  metrics.showLastRunFailed(true);
  const samples = await scrape(metrics);
  expect(samples).toMatchObject({
    'losant_usage_runs_total{result="partial"}': 1,
    'losant_usage_runs_total{result="complete"}': 0,
    'losant_usage_runs_total{result="standby"}': 1,
    losant_usage_run_duration_seconds_count: 1,
    'losant_usage_requests_total{endpoint="instance.get",status="none"}': 1,
    'losant_usage_request_retries_total{reason="timeout"}': 1,
    losant_usage_rate_limit_wait_seconds_total: 0.5,
    losant_usage_token_rejected: 1,
    losant_usage_last_run_failed: 1,
    process_resident_memory_bytes: expect.any(Number) as number,
  });
});
