import { type Bench, sizeOf, withSimulator } from '../bench.ts';
import { ALL_CONTENDERS, type Comparison, compare, FAST_CONTENDERS } from '../contenders.ts';

const REQUESTS_PER_ORG = 6;

/**
 * Exports one day of every organization into an empty database, at each latency: the fast contenders
 * with many organizations, and all of them with as many as the obvious script manages in time.
 */
export async function daily(bench: Bench): Promise<void> {
  for (const latencyMs of bench.sizes.latency) {
    const waitedFor = (sizeOf(bench, 'slow-seconds') * 1_000) / (REQUESTS_PER_ORG * (latencyMs + 1));
    const slowOrgs = Math.max(1, Math.min(sizeOf(bench, 'slow-orgs'), Math.floor(waitedFor)));
    const rounds = sizeOf(bench, 'rounds');
    await addTable(bench, sizeOf(bench, 'orgs'), { contenders: FAST_CONTENDERS, latencyMs, rounds });
    await addTable(bench, slowOrgs, { contenders: ALL_CONTENDERS, latencyMs, rounds });
  }
}

async function addTable(
  { postgres, report, settings }: Bench,
  orgs: number,
  comparison: Comparison,
): Promise<void> {
  const { latencyMs, rounds } = comparison;
  const of = `${orgs} organizations, ${latencyMs} ms, concurrency ${settings.concurrency}`;
  const title = `daily: one day of ${of}, medians of ${rounds}`;
  const rows = await withSimulator(orgs, (simulator) =>
    compare({ postgres, simulator }, comparison, settings),
  );
  report.add({ name: 'daily', title, rows });
}
