/** The measurements, one function each. */
import type { FloorResult, FloorTask } from './floor.ts';
import { type Measured, runMeasured } from './measured.ts';
import type { PostgresServer, SimulatorProcess } from './servers.ts';

export interface BenchSettings {
  readonly concurrency: number;
  readonly nodeFlags: readonly string[];
}

/** What is read of the document that `run --json` and `backfill --json` print. */
export interface ExportReport {
  readonly status: string;
  readonly from: string | null;
  readonly cells: Readonly<Record<string, number>>;
  readonly rows: Readonly<Record<string, number>>;
  readonly requests: number;
  readonly durationMs: number;
}

export interface ExportCase {
  readonly orgs: number;
  readonly latencyMs: number;
  readonly program: Measured<ExportReport>;
  readonly floor: Measured<FloorResult>;
}

const LAUNCHER = 'bin/losant-usage.js';
const TEMPLATE = 'bench_template';

/** Must be high enough never to be what bounds a run. */
const REQUESTS_PER_SECOND = 10_000;

let databases = 0;

/** Makes the database that all others are cloned from. */
export async function createTemplate(postgres: PostgresServer): Promise<void> {
  const databaseUrl = await postgres.createDatabase(TEMPLATE);
  await runMeasured({ script: LAUNCHER, args: ['migrate', '--json'], env: { DATABASE_URL: databaseUrl } });
}

/** An empty database with the program's tables. */
export async function createDatabase(postgres: PostgresServer): Promise<string> {
  databases += 1;
  return await postgres.createDatabase(`bench_${databases}`, TEMPLATE);
}

/** One `run` (or `backfill`) of the program. Throws unless it is complete. */
export async function runExport(
  args: readonly string[],
  { simulator, databaseUrl }: { simulator: SimulatorProcess; databaseUrl: string },
  { concurrency, nodeFlags }: BenchSettings,
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
    },
  });
}

/** The first run on an empty database, then the floor of the same requests and rows. */
export async function measureFirstRun(
  { orgs, latencyMs }: Pick<ExportCase, 'orgs' | 'latencyMs'>,
  { simulator, postgres }: { simulator: SimulatorProcess; postgres: PostgresServer },
  settings: BenchSettings,
): Promise<ExportCase & { readonly databaseUrl: string }> {
  const databaseUrl = await createDatabase(postgres);
  await simulator.setLatency(latencyMs);
  const program = await runExport(['run'], { simulator, databaseUrl }, settings);
  const { from: day } = program.document;
  if (day === null) throw new Error('the first run had nothing to do');
  const { url, instanceId, token } = simulator;
  const task: FloorTask = { url, instanceId, token, day, databaseUrl, concurrency: settings.concurrency };
  const floor = await runMeasured<FloorResult>({
    script: 'bench/floor.ts',
    args: [JSON.stringify(task)],
    env: {},
  });
  return { orgs, latencyMs, program, floor, databaseUrl };
}
