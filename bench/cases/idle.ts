import { type Bench, sizeOf, withSimulator } from '../bench.ts';
import { fillLedger } from '../history.ts';
import type { Measured } from '../measured.ts';
import { type ExportReport, runExport, withDatabase } from '../program.ts';
import { median } from '../report.ts';

const FIGURES = ['wallMs', 'cpuMs', 'peakRssBytes'] as const;

/** Measures the cost of a wake-up with nothing to do. */
export async function idle(bench: Bench): Promise<void> {
  const { postgres, report, settings } = bench;
  const orgs = sizeOf(bench, 'idle-orgs');
  const days = sizeOf(bench, 'idle-days');
  await withSimulator(orgs, (simulator) =>
    withDatabase(postgres, async (databaseUrl) => {
      const target = { simulator, databaseUrl };
      await runExport(['run'], target, settings);
      await fillLedger(databaseUrl, days);
      const runs: Measured<ExportReport>[] = [];
      for (let round = 0; round < sizeOf(bench, 'rounds'); round += 1) {
        const run = await runExport(['run'], target, settings);
        const { requests } = run.document;
        if (requests > 1) throw new Error(`there was something to do: ${JSON.stringify(run.document)}`);
        runs.push(run);
      }
      const medians = FIGURES.map((figure) => [figure, median(runs.map((run) => run[figure]))] as const);
      const title = `idle: nothing due, ${orgs} organizations × ${days} days, medians of ${runs.length}`;
      report.add({ name: 'idle', title, rows: [Object.fromEntries(medians)] });
    }),
  );
}
