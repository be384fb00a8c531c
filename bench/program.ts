/** Runs the program itself as a measured process. */
import { type Measured, type MeasuredScript, runMeasured } from './measured.ts';
import { type PostgresServer, query, type SimulatorProcess } from './servers.ts';

/** The part of the document of `run --json` and `backfill --json` that is read. */
export interface ExportReport {
  readonly status: string;
  readonly from: string | null;
  readonly cells: Readonly<Record<string, number>>;
  readonly rows: Readonly<Record<'inserted' | 'updated' | 'deleted' | 'unchanged', number>>;
  readonly requests: number;
  readonly durationMs: number;
}

export interface ProgramSettings {
  readonly concurrency: number;
  /** Flags of Node for the measured program. */
  readonly nodeFlags: readonly string[];
}

export const LAUNCHER = 'bin/losant-usage.js';
const TEMPLATE = 'bench_template';

/** A rate high enough never to limit a run. */
const REQUESTS_PER_SECOND = 10_000;

/** Creates the database that all others are cloned from. */
export async function createTemplate(postgres: PostgresServer): Promise<void> {
  await migrate(await postgres.createDatabase(TEMPLATE));
}

/** Creates the program's tables in an empty database. */
export async function migrate(databaseUrl: string): Promise<void> {
  await runMeasured({ script: LAUNCHER, args: ['migrate', '--json'], env: { DATABASE_URL: databaseUrl } });
}

let databases = 0;

/**
 * Runs a function with an empty database, which has the program's tables unless they are not wanted,
 * and drops it.
 */
export async function withDatabase<T>(
  postgres: PostgresServer,
  use: (databaseUrl: string) => Promise<T>,
  template: string | undefined = TEMPLATE,
): Promise<T> {
  databases += 1;
  const name = `bench_${databases}`;
  const databaseUrl = await postgres.createDatabase(name, template);
  try {
    return await use(databaseUrl);
  } finally {
    await postgres.dropDatabase(name);
  }
}

/** The template for a database without the program's tables, for `withDatabase`. */
export const NO_TABLES = 'template1';

export interface Target {
  readonly simulator: SimulatorProcess;
  readonly databaseUrl: string;
}

/** Runs one `run` (or `backfill`) of the program. Throws unless it is complete. */
export async function runExport(
  args: readonly string[],
  { simulator, databaseUrl }: Target,
  {
    concurrency,
    nodeFlags,
    env = {},
    ...more
  }: ProgramSettings & Partial<Pick<MeasuredScript, 'env' | 'onStart' | 'longestMs'>>,
): Promise<Measured<ExportReport>> {
  return await runMeasured<ExportReport>({
    script: LAUNCHER,
    args: [...args, '--json'],
    nodeFlags,
    env: {
      LOSANT_API_URL: simulator.url,
      LOSANT_API_TOKEN: simulator.token,
      LOSANT_INSTANCE_ID: simulator.instanceId,
      DATABASE_URL: databaseUrl,
      REQUEST_CONCURRENCY: String(concurrency),
      REQUESTS_PER_SECOND: String(REQUESTS_PER_SECOND),
      LOG_LEVEL: 'warn',
      ...env,
    },
    ...more,
  });
}

/** Returns the bytes of the write-ahead log since the server was created. */
export async function readWalBytes(databaseUrl: string): Promise<number> {
  const [row] = await query<{ bytes: string }>(
    databaseUrl,
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as bytes`,
  );
  return Number(row?.bytes);
}
