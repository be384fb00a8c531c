import { type Bench, sizeOf, withSimulator } from '../bench.ts';
import { runExport, withDatabase } from '../program.ts';
import type { Row } from '../report.ts';

const LATENCY_MS = 20;
const REQUESTS_PER_ORG = 6;

/**
 * The simulator's limit within any second, relative to the rate. Starts are evenly spaced, but a late
 * timer is made up for within 100 ms, and the network shifts them a little.
 */
const ALLOWANCE = 1.1;

interface Stats {
  readonly requests: number;
  readonly actions: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** Measures a run at a polite rate, against a simulator that answers 429 beyond it. */
export async function paced(bench: Bench): Promise<void> {
  const { postgres, report, settings } = bench;
  const rows: Row[] = [];
  for (const rate of bench.sizes.rates) {
    const orgs = Math.ceil((rate * sizeOf(bench, 'paced-seconds')) / REQUESTS_PER_ORG);
    await withSimulator(orgs, async (simulator) => {
      const requestsPerSecond = Math.ceil(rate * ALLOWANCE);
      await simulator.control('config', { latencyMs: LATENCY_MS, requestsPerSecond });
      const { document, wallMs, cpuMs } = await withDatabase(postgres, (databaseUrl) =>
        runExport(
          ['run'],
          { simulator, databaseUrl },
          { ...settings, env: { REQUESTS_PER_SECOND: String(rate) } },
        ),
      );
      // The count includes the requests for control totals, which the run does not count as its own.
      const { requests, actions } = await simulator.control<Stats>('stats');
      const tooMany = Object.values(actions).reduce((sum, outcomes) => sum + (outcomes['429'] ?? 0), 0);
      const leastMs = (requests / rate) * 1_000;
      rows.push({
        ...{ rate, orgs, requests, leastMs, runMs: document.durationMs },
        ...{ runToLeastRatio: document.durationMs / leastMs, wallMs, cpuMs, tooMany },
      });
    });
  }
  const title = `paced: one day at so many requests per second, ${LATENCY_MS} ms; least: requests ÷ rate`;
  report.add({ name: 'paced', title, rows });
}
