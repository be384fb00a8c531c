/** The parameters that every case receives. */
import type { ProgramSettings } from './program.ts';
import type { Report } from './report.ts';
import { type PostgresServer, type SimulatorProcess, startSimulator } from './servers.ts';

/** The sizes, each with its default, its value for `--quick`, and its line in `--help`. */
const SIZES = {
  rounds: ['3', '1', 'runs of each contender, alternating; the medians count'],
  latency: ['0,20,100', '0,20', 'daily: delays of each answer, ms'],
  orgs: ['5000', '1000', 'daily, rerun: organizations'],
  'slow-orgs': ['1000', '300', 'daily: most organizations where the slow scripts take part'],
  'slow-seconds': ['120', '20', 'daily: longest wait of the obvious script for answers, s'],
  'backfill-orgs': ['500', '50', 'backfill: organizations'],
  'backfill-days': ['90', '90', 'backfill: days, at most 90'],
  'idle-orgs': ['10000', '500', 'idle: organizations'],
  'idle-days': ['90', '30', 'idle: days of history of each'],
  'window-orgs': ['200', '50', 'windows: organizations'],
  rates: ['20,200', '100', 'paced: requests per second'],
  'paced-seconds': ['60', '10', 'paced: how long a run should take'],
  growth: ['1000,10000,100000', '500,2000', 'growth: organizations'],
} as const satisfies Record<string, readonly [string, string, string]>;

export type SizeName = keyof typeof SIZES;

export const SIZE_NAMES = Object.keys(SIZES) as SizeName[];

export type Sizes = Readonly<Record<SizeName, readonly number[]>>;

/**
 * Returns the sizes given by option, and defaults for the rest. Throws for a value that is not a list
 * of numbers.
 */
export function readSizes(given: Readonly<Record<string, unknown>>, isQuick: boolean): Sizes {
  const entries = SIZE_NAMES.map((name) => {
    const text = given[name];
    const list = typeof text === 'string' ? text : SIZES[name][isQuick ? 1 : 0];
    if (!/^\d+(,\d+)*$/.test(list)) throw new Error(`--${name} ${list}: must be numbers, like 100 or 20,100`);
    return [name, list.split(',').map(Number)];
  });
  return Object.fromEntries(entries) as Sizes;
}

export function describeSizes(): string {
  return SIZE_NAMES.map((name) => {
    const [normal, quick, text] = SIZES[name];
    const values = normal === quick ? normal : `${normal}; quick ${quick}`;
    return `  --${name.padEnd(14)} ${text} (${values})`;
  }).join('\n');
}

export interface Bench {
  readonly postgres: PostgresServer;
  readonly report: Report;
  readonly sizes: Sizes;
  readonly settings: ProgramSettings;
}

/** Returns the value of a size that is a single number. */
export function sizeOf({ sizes }: Pick<Bench, 'sizes'>, name: SizeName): number {
  return sizes[name][0] ?? Number.NaN;
}

/** Runs a function with a simulator of its own. */
export async function withSimulator<T>(
  orgs: number,
  use: (simulator: SimulatorProcess) => Promise<T>,
): Promise<T> {
  const simulator = await startSimulator(orgs);
  try {
    return await use(simulator);
  } finally {
    await simulator.stop();
  }
}
