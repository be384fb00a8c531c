import { spawnSync } from 'node:child_process';
import type { Bench } from '../bench.ts';
import { LAUNCHER } from '../program.ts';
import { median } from '../report.ts';

const RUNS = 15;
const CHECKOUT = new URL('../..', import.meta.url).pathname;

/** Measures the time until the program has printed what it knows without a database. */
export async function startup({ report }: Bench): Promise<void> {
  const rows = [['--version'], ['--help'], ['run', '--help']].map((args) => {
    start(args);
    const times = Array.from({ length: RUNS }, () => start(args));
    return { command: args.join(' '), wallMs: median(times), slowestMs: Math.max(...times) };
  });
  report.add({ name: 'startup', title: `startup: medians of ${RUNS}, compiled code kept`, rows });
}

function start(args: readonly string[]): number {
  const startedAt = performance.now();
  const { PATH = '', HOME = '' } = process.env;
  const { status } = spawnSync(process.execPath, [LAUNCHER, ...args], { cwd: CHECKOUT, env: { PATH, HOME } });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${String(status)}`);
  return performance.now() - startedAt;
}
