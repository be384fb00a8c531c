import { daysAgo } from '../../test/support/days.ts';
import { type Bench, sizeOf, withSimulator } from '../bench.ts';
import { readCpuMs } from '../processes.ts';
import { readWalBytes, runExport, type Target, withDatabase } from '../program.ts';
import type { Row } from '../report.ts';
import { query, type SimulatorProcess } from '../servers.ts';

const RESTATED_ONE_IN = 100;

/**
 * Measures a day that is read again: with nothing changed, then with one organization in a hundred
 * restated.
 */
export async function rerun(bench: Bench): Promise<void> {
  const { postgres, report } = bench;
  const orgs = sizeOf(bench, 'orgs');
  const day = daysAgo(1);
  await withSimulator(orgs, (simulator) =>
    withDatabase(postgres, async (databaseUrl) => {
      const target = { simulator, databaseUrl };
      const first = await measure(bench, target, ['run']);
      const same = await measure(bench, target, ['run', '--date', day]);
      const restated = await restate(target, day);
      const changed = await measure(bench, target, ['run', '--date', day]);
      const rows = Object.entries({
        'first load': first,
        'nothing changed': same,
        [`${restated} restated`]: changed,
      }).map(
        ([what, row]): Row => ({
          what,
          ...row,
          walToFirstRatio: Number(row['walBytes']) / Number(first['walBytes']),
        }),
      );
      report.add({ name: 'rerun', title: `rerun: one day of ${orgs} organizations, 0 ms`, rows });
    }),
  );
}

async function measure(
  { postgres, settings }: Bench,
  target: Target,
  args: readonly string[],
): Promise<Readonly<Record<string, number>>> {
  const cpuBefore = readCpuMs(postgres.pid);
  const walBefore = await readWalBytes(target.databaseUrl);
  const { wallMs, cpuMs, peakRssBytes, document } = await runExport(args, target, settings);
  const walBytes = (await readWalBytes(target.databaseUrl)) - walBefore;
  const { inserted, updated, deleted, unchanged } = document.rows;
  return {
    ...{ requests: document.requests, wallMs, cpuMs, postgresCpuMs: readCpuMs(postgres.pid) - cpuBefore },
    ...{ peakRssBytes, inserted, updated, deleted, unchanged, walBytes },
  };
}

async function restate({ simulator, databaseUrl }: Target, day: string): Promise<number> {
  const orgs = await query<{ org_id: string }>(
    databaseUrl,
    `select org_id from (select org_id, row_number() over (order by org_id) as n
       from losant_usage.organizations) as o where n % ${RESTATED_ONE_IN} = 0`,
  );
  for (const { org_id: orgId } of orgs) await restateOrg(simulator, { orgId, day });
  return orgs.length;
}

async function restateOrg(simulator: SimulatorProcess, what: { orgId: string; day: string }): Promise<void> {
  await simulator.control('restate', what);
}
