import { daysAgo } from '../../test/support/days.ts';
import { type Bench, sizeOf, withSimulator } from '../bench.ts';
import { runExport, withDatabase } from '../program.ts';
import type { Row } from '../report.ts';

const STREAMS = ['device_counts', 'notebook_minutes', 'payload_totals'];
const LATENCY_MS = 20;
const DAYS = [1, 31, 360];
const DETAIL_DAYS = 400;

/** Measures the cost of days beside that of requests: counters by day return 31 of them at once. */
export async function windows(bench: Bench): Promise<void> {
  const { postgres, report, settings } = bench;
  const orgs = sizeOf(bench, 'window-orgs');
  const rows: Row[] = [];
  await withSimulator(orgs, async (simulator) => {
    await simulator.control('config', { latencyMs: LATENCY_MS, detailDays: DETAIL_DAYS });
    for (const days of DAYS) {
      const range = ['--from', daysAgo(days), '--to', daysAgo(1)];
      const streams = STREAMS.flatMap((stream) => ['--stream', stream]);
      const { wallMs, cpuMs, peakRssBytes, document } = await withDatabase(postgres, (databaseUrl) =>
        runExport(
          ['backfill', ...range, ...streams],
          { simulator, databaseUrl },
          { ...settings, env: { HORIZON_DAYS: String(DETAIL_DAYS) } },
        ),
      );
      const { requests, cells } = document;
      const waitMs = (requests * LATENCY_MS) / settings.concurrency;
      rows.push({
        ...{ days, requests, cells: cells['loaded'] ?? 0, wallMs, toWaitsRatio: wallMs / waitMs },
        ...{ cpuMs, cpuPerRequestUs: (cpuMs / requests) * 1_000, peakRssBytes },
      });
    }
  });
  const title = `windows: the counters by day of ${orgs} organizations, ${LATENCY_MS} ms, 31 days a request`;
  report.add({ name: 'windows', title, rows });
}
