import { daysAgo } from '../../test/support/days.ts';
import { type Bench, sizeOf, withSimulator } from '../bench.ts';
import { readTableSizes } from '../history.ts';
import { readCpuMs } from '../processes.ts';
import { runExport, withDatabase } from '../program.ts';

/**
 * The window that the three counters by day cover with five requests; payloads by source need a
 * request a day.
 */
const WINDOW_DAYS = 31;
const WINDOW_REQUESTS = 5;

/** The organizations on a page of the list. */
const PER_PAGE = 100;

/**
 * Measures a backfill: its requests against the formula, its pace, and the disk space of an
 * organization's day.
 */
export async function backfill(bench: Bench): Promise<void> {
  const { postgres, report, settings } = bench;
  const orgs = sizeOf(bench, 'backfill-orgs');
  const days = sizeOf(bench, 'backfill-days');
  const perOrg = WINDOW_REQUESTS * Math.ceil(days / WINDOW_DAYS) + days;
  // One request is for the instance, beside those for the list.
  const formula = orgs * perOrg + Math.ceil(orgs / PER_PAGE) + 1;
  const title = `backfill: ${days} days of ${orgs} organizations, 0 ms`;
  await withSimulator(orgs, (simulator) =>
    withDatabase(postgres, async (databaseUrl) => {
      const before = readCpuMs(postgres.pid);
      const range = ['--from', daysAgo(days), '--to', daysAgo(1)];
      const { document, wallMs, cpuMs, peakRssBytes } = await runExport(
        ['backfill', ...range],
        { simulator, databaseUrl },
        settings,
      );
      const { requests, rows } = document;
      const row = { requests, formula, wallMs, cpuMs, postgresCpuMs: readCpuMs(postgres.pid) - before };
      const pace = { inserted: rows.inserted, rowsPerSecond: (rows.inserted / wallMs) * 1_000, peakRssBytes };
      report.add({ name: 'backfill', title, rows: [{ ...row, ...pace }] });
      const sizes = await readTableSizes(databaseUrl);
      const grown = sizes.map((size) => ({
        table: size.name,
        rowsPerOrgDayRatio: size.rows / (orgs * days),
        bytesPerOrgDay: size.bytes / (orgs * days),
      }));
      report.add({ name: 'backfill', title: 'backfill: disk, with indexes', rows: grown });
    }),
  );
}
