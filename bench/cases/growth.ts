import { type Bench, withSimulator } from '../bench.ts';
import { readCpuMs } from '../processes.ts';
import { runExport, withDatabase } from '../program.ts';
import type { Row } from '../report.ts';

/**
 * Measures the memory and the CPU time of a request, neither of which may grow with the number of
 * organizations.
 */
export async function growth({ postgres, report, sizes, settings }: Bench): Promise<void> {
  const rows: Row[] = [];
  for (const orgs of sizes.growth) {
    const row = await withSimulator(orgs, (simulator) =>
      withDatabase(postgres, async (databaseUrl) => {
        const before = readCpuMs(postgres.pid);
        const { wallMs, cpuMs, peakRssBytes, document } = await runExport(
          ['run'],
          { simulator, databaseUrl },
          settings,
        );
        const postgresCpuMs = readCpuMs(postgres.pid) - before;
        const { requests } = document;
        return { orgs, requests, wallMs, cpuMs, postgresCpuMs, peakRssBytes };
      }),
    );
    const perRequest = (ms: number) => (ms / row.requests) * 1_000;
    const { cpuMs, postgresCpuMs } = row;
    rows.push({
      ...row,
      ...{ cpuPerRequestUs: perRequest(cpuMs), postgresPerRequestUs: perRequest(postgresCpuMs) },
    });
  }
  const flags = settings.nodeFlags.length === 0 ? 'no flags' : settings.nodeFlags.join(' ');
  report.add({ name: 'growth', title: `growth: one day at 0 ms, Node with ${flags}`, rows });
}
