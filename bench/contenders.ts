/** Compares the program with other ways to fetch and store the same numbers. */
import { daysAgo } from '../test/support/days.ts';
import type { ContenderResult, Task } from './contenders/day.ts';
import { type Measured, runMeasured } from './measured.ts';
import { readCpuMs } from './processes.ts';
import { NO_TABLES, type ProgramSettings, runExport, type Target, withDatabase } from './program.ts';
import { median, type Row } from './report.ts';
import { type PostgresServer, query, type SimulatorProcess } from './servers.ts';

interface Contender {
  /** The schema of its tables. */
  readonly schema: 'losant_usage' | 'public';
  /** Whether its database has the program's tables. */
  readonly hasTables: boolean;
  readonly run: (target: Target, settings: ProgramSettings) => Promise<Measured<ContenderResult>>;
}

const CONTENDERS = {
  'this program': {
    schema: 'losant_usage',
    hasTables: true,
    run: (target, settings) => runExport(['run'], target, settings),
  },
  floor: { schema: 'public', hasTables: true, run: script('floor.ts') },
  'expert’s script': { schema: 'public', hasTables: false, run: script('expert.ts') },
  'obvious script': { schema: 'public', hasTables: false, run: script('obvious.ts', '1') },
  'chunks of 10': { schema: 'public', hasTables: false, run: script('obvious.ts', '10') },
} as const satisfies Record<string, Contender>;

export type ContenderName = keyof typeof CONTENDERS;

export const ALL_CONTENDERS = Object.keys(CONTENDERS) as ContenderName[];

/** The contenders that are not absurdly slow at any size and latency. */
export const FAST_CONTENDERS: readonly ContenderName[] = ['this program', 'floor', 'expert’s script'];

const FIGURES = ['wallMs', 'cpuMs', 'postgresCpuMs', 'simulatorCpuMs', 'peakRssBytes', 'requests'] as const;

type Figures = Readonly<Record<(typeof FIGURES)[number], number>>;

export interface Comparison {
  readonly contenders: readonly ContenderName[];
  readonly latencyMs: number;
  readonly rounds: number;
}

/**
 * Runs each contender in turn, for a number of rounds, each time into an empty database. Returns a row
 * for each with the median of every figure, and one for N·L/C. Throws if two of them have not stored
 * the same numbers.
 */
export async function compare(
  { postgres, simulator }: { postgres: PostgresServer; simulator: SimulatorProcess },
  { contenders, latencyMs, rounds }: Comparison,
  settings: ProgramSettings,
): Promise<Row[]> {
  // The simulator's code is compiled first, or the first contender would pay for it.
  await simulator.control('config', { latencyMs: 0 });
  await measureOne(CONTENDERS.floor, { postgres, simulator }, settings);
  await simulator.control('config', { latencyMs });
  const measured = new Map<ContenderName, Figures[]>(contenders.map((name) => [name, []]));
  const stored = new Set<string>();
  for (let round = 0; round < rounds; round += 1) {
    for (const name of contenders) {
      const { figures, numbers } = await measureOne(CONTENDERS[name], { postgres, simulator }, settings);
      measured.get(name)?.push(figures);
      stored.add(numbers);
      if (stored.size > 1) throw new Error(`${name} stored other numbers: ${[...stored].join(' and ')}`);
    }
  }
  const medians = new Map([...measured].map(([name, all]) => [name, medianOf(all)] as const));
  return [...rowsOf(medians), ...waitsOf(medians, latencyMs, settings)];
}

async function measureOne(
  { hasTables, schema, run }: Contender,
  { postgres, simulator }: { postgres: PostgresServer; simulator: SimulatorProcess },
  settings: ProgramSettings,
): Promise<{ figures: Figures; numbers: string }> {
  const measure = async (databaseUrl: string) => {
    const before = [readCpuMs(postgres.pid), readCpuMs(simulator.pid)] as const;
    const { wallMs, cpuMs, peakRssBytes, document } = await run({ simulator, databaseUrl }, settings);
    const postgresCpuMs = readCpuMs(postgres.pid) - before[0];
    const simulatorCpuMs = readCpuMs(simulator.pid) - before[1];
    const { requests } = document;
    const figures = { wallMs, cpuMs, postgresCpuMs, simulatorCpuMs, peakRssBytes, requests };
    return { figures, numbers: await readNumbers(databaseUrl, schema) };
  };
  return await withDatabase(postgres, measure, hasTables ? undefined : NO_TABLES);
}

/** Returns enough of the stored numbers to show that they are the same. */
async function readNumbers(databaseUrl: string, schema: string): Promise<string> {
  const [row] = await query<{ numbers: string }>(
    databaseUrl,
    `select concat_ws(' ', d.*, s.*) as numbers
     from (select count(*), sum(devices_total), sum(notebook_minutes), sum(payload_billable_count),
       sum(payload_all_count), sum(payload_all_bytes), sum(payload_source_count) from ${schema}.usage_days) as d,
       (select count(*), sum(count) from ${schema}.payload_sources) as s`,
  );
  return row?.numbers ?? '';
}

function medianOf(all: readonly Figures[]): Figures {
  const entries = FIGURES.map((figure) => [figure, median(all.map((each) => each[figure]))]);
  return Object.fromEntries(entries) as Figures;
}

function rowsOf(medians: ReadonlyMap<ContenderName, Figures>): Row[] {
  const floor = medians.get('floor');
  const program = medians.get('this program');
  const ratio = (value: number, other: number | undefined) => (other === undefined ? null : value / other);
  return [...medians].map(([contender, figures]) => ({
    contender,
    ...figures,
    cpuPerRequestUs: (figures.cpuMs / figures.requests) * 1_000,
    wallToFloorRatio: ratio(figures.wallMs, floor?.wallMs),
    cpuToFloorRatio: ratio(figures.cpuMs, floor?.cpuMs),
    wallToProgramRatio: ratio(figures.wallMs, program?.wallMs),
    cpuToProgramRatio: ratio(figures.cpuMs, program?.cpuMs),
  }));
}

/** Returns the time that the waits alone take: requests × latency ÷ concurrency. */
function waitsOf(
  medians: ReadonlyMap<ContenderName, Figures>,
  latencyMs: number,
  { concurrency }: ProgramSettings,
): Row[] {
  const program = medians.get('this program');
  if (latencyMs === 0 || program === undefined) return [];
  const wallMs = (program.requests * latencyMs) / concurrency;
  return [{ contender: 'N·L/C', wallMs, wallToProgramRatio: wallMs / program.wallMs }];
}

function script(name: string, ...more: string[]): Contender['run'] {
  return async ({ simulator: { url, instanceId, token }, databaseUrl }, { concurrency }) => {
    const task: Task = { url, instanceId, token, day: daysAgo(1), databaseUrl, concurrency };
    return await runMeasured<ContenderResult>({
      script: `bench/contenders/${name}`,
      args: [JSON.stringify(task), ...more],
      env: {},
    });
  };
}
