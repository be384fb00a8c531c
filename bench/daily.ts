/** The cases of one process: how long a command takes to start, and a daily run compared with the floor. */
import { count } from '../src/terminal/words.ts';
import { daysAgo } from '../test/support/days.ts';
import type { OwnPostgres } from '../test/support/own-postgres.ts';
import type { FloorTask } from './floor.ts';
import {
  addLogin,
  LAUNCHER,
  type Measured,
  query,
  readCpuMs,
  runMeasured,
  runProgram,
  SETTINGS,
  type SimulatorProcess,
  withDatabase,
  withSimulator,
} from './processes.ts';
import type { Row } from './report.ts';

export interface Sizes {
  /** Organizations of `daily`: all at the first latency, the first at the others. */
  readonly daily: readonly number[];
  /** Delays of each response in `daily`, in ms. */
  readonly latencies: readonly number[];
  /** Organizations of `views`, and its days of history. */
  readonly views: number;
  readonly days: number;
  /** Organizations of `months`. */
  readonly months: number;
  /** Rounds of each command or question, of which the median counts. */
  readonly rounds: number;
}

export interface Bench {
  readonly postgres: OwnPostgres;
  readonly sizes: Sizes;
  /** Prints a table. */
  readonly report: (title: string, rows: readonly Row[]) => void;
}

/** The requests at once, of the program and of the floor. */
const CONCURRENCY = 32;

const START_FIGURES = ['wallMs', 'cpuMs', 'peakRssBytes'] as const;

/** The rounds of a command that takes a moment. */
const START_ROUNDS = 9;

/** Measures how long a command takes that does next to nothing. */
export async function start({ postgres, report }: Bench): Promise<void> {
  await withDatabase(postgres, async (databaseUrl) => {
    const env = { ...SETTINGS, DATABASE_URL: addLogin(['status'], databaseUrl) };
    const rows = [];
    for (const args of [
      ['run', '--help'],
      ['status', '--json'],
    ]) {
      const runs = [];
      for (let round = 0; round < START_ROUNDS; round += 1) runs.push(await runMeasured(LAUNCHER, args, env));
      rows.push({ command: args.join(' '), ...medianOf(runs, START_FIGURES) });
    }
    report(`start: medians of ${START_ROUNDS}`, rows);
  });
}

/** Loads one day of every organization into an empty database, with the program and with the floor. */
export async function daily(bench: Bench): Promise<void> {
  const { sizes, report } = bench;
  for (const [index, latencyMs] of sizes.latencies.entries()) {
    for (const orgs of index === 0 ? sizes.daily : sizes.daily.slice(0, 1)) {
      const rows = await withSimulator({ orgs, latencyMs }, (simulator) => compare(bench, simulator));
      const title = `daily: one day of ${count(orgs, 'organization')}, ${latencyMs} ms, ${CONCURRENCY} at once`;
      report(`${title}, medians of ${sizes.rounds}`, rows);
    }
  }
}

type Run = Measured<{ readonly requests: number }>;

/** The contenders, with the schema of their tables. */
const SCHEMAS = { 'this program': 'losant_usage', floor: 'public' } as const;

type Contender = keyof typeof SCHEMAS;

const CONTENDERS: readonly Contender[] = ['this program', 'floor'];

const FIGURES = ['wallMs', 'cpuMs', 'postgresCpuMs', 'peakRssBytes', 'requests'] as const;

type Figures = Readonly<Record<(typeof FIGURES)[number], number>>;

/**
 * Runs the contenders alternately, for a number of rounds, each time into an empty database. Throws if they have not
 * stored the same numbers.
 */
async function compare(bench: Bench, simulator: SimulatorProcess): Promise<Row[]> {
  const all: Readonly<Record<Contender, Figures[]>> = { 'this program': [], floor: [] };
  const storedNumbers = new Set<string>();
  // The first round does not count, because the simulator's code is compiled in it.
  for (let round = 0; round <= bench.sizes.rounds; round += 1) {
    for (const contender of round === 0 ? (['floor'] as const) : CONTENDERS) {
      const { figures, numbers } = await measureContender(bench, contender, simulator);
      if (round > 0) all[contender].push(figures);
      storedNumbers.add(numbers);
      if (storedNumbers.size > 1)
        throw new Error(`${contender} stored different numbers: ${[...storedNumbers].join(' and ')}`);
    }
  }
  const floor = medianOf(all.floor, FIGURES);
  return CONTENDERS.map((contender) => {
    const figures = medianOf(all[contender], FIGURES);
    return { contender, ...figures, wallToFloorRatio: figures.wallMs / floor.wallMs };
  });
}

async function measureContender(
  { postgres }: Bench,
  contender: Contender,
  simulator: SimulatorProcess,
): Promise<{ figures: Figures; numbers: string }> {
  return await withDatabase(postgres, async (databaseUrl) => {
    const cpuBeforeMs = readCpuMs(postgres.pid);
    const task: FloorTask = { ...simulator, day: daysAgo(1), databaseUrl, concurrency: CONCURRENCY };
    const run: Run =
      contender === 'floor'
        ? await runMeasured('bench/floor.ts', [JSON.stringify(task)])
        : await runProgram(['run'], { ...simulator, databaseUrl }, CONCURRENCY);
    const { wallMs, cpuMs, peakRssBytes, document } = run;
    const postgresCpuMs = readCpuMs(postgres.pid) - cpuBeforeMs;
    const figures = { wallMs, cpuMs, postgresCpuMs, peakRssBytes, requests: document.requests };
    // Enough of the stored numbers to show whether they are the same.
    const schema = SCHEMAS[contender];
    const [row] = await query<{ numbers: string }>(
      databaseUrl,
      `select concat_ws(' ', d.*, s.*) as numbers
       from (select count(*), sum(devices_total), sum(notebook_minutes), sum(payload_billable_count),
         sum(payload_all_count), sum(payload_all_bytes), sum(payload_source_count) from ${schema}.usage_days) as d,
         (select count(*), sum(count) from ${schema}.payload_sources) as s`,
    );
    return { figures, numbers: row?.numbers ?? '' };
  });
}

/** Returns the median of each figure; of an even number of runs, the lower of the two. */
export function medianOf<F extends string>(all: readonly Readonly<Record<F, number>>[], figures: readonly F[]) {
  const entries = figures.map((figure) => {
    const sorted = all.map((each) => each[figure]).toSorted((a, b) => a - b);
    return [figure, sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN];
  });
  return Object.fromEntries(entries) as Record<F, number>;
}
