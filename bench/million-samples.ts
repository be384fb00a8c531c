/** Samples the resources of program, simulator and Postgres during a long run. */
import { loadavg } from 'node:os';
import { readCpuMs, readMemory } from './processes.ts';
import type { Report, Row } from './report.ts';
import type { SimulatorProcess } from './servers.ts';

export interface Watch {
  /** Begins to watch the program, whose process is `pid`. */
  readonly begin: (pid: number) => void;
  readonly end: () => void;
}

export interface Watched {
  readonly report: Report;
  readonly simulator: SimulatorProcess;
  readonly postgresPid: number | null;
  readonly orgs: number;
  readonly everyMs: number;
}

const REQUESTS_PER_ORG = 6;
const PRINT_EVERY_MS = 60_000;
const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Watches the processes. Samples are added to the report as they come, and one is printed every
 * minute. A signal that would end the bench ends the program instead, whose failure then ends the
 * bench.
 */
export function watchProcesses(watched: Watched): Watch {
  const { report, everyMs } = watched;
  const samples: Row[] = [];
  let timer: NodeJS.Timeout | undefined;
  let program = 0;
  const stop = () => {
    if (program > 0) process.kill(program, 'SIGTERM');
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  return {
    begin(pid) {
      program = pid;
      const startedAt = performance.now();
      let printedAt = -Infinity;
      const sample = async () => {
        const atMs = performance.now() - startedAt;
        const row = await takeSample(watched, { pid, atMs });
        if (row === null) return;
        samples.push(row);
        report.keep({ name: 'samples', title: 'samples', rows: samples });
        if (atMs - printedAt < PRINT_EVERY_MS) return;
        printedAt = atMs;
        console.log(renderProgress(watched, row));
      };
      timer = setInterval(() => void sample(), everyMs);
    },
    end() {
      clearInterval(timer);
      for (const signal of STOP_SIGNALS) process.off(signal, stop);
    },
  };
}

/** Returns a sample, or null once the program has ended. */
async function takeSample(
  { simulator, postgresPid }: Watched,
  { pid, atMs }: { pid: number; atMs: number },
): Promise<Row | null> {
  try {
    const { requests } = await simulator.control<{ requests: number }>('stats');
    return {
      ...{ atMs, requests, cpuMs: readCpuMs(pid), ...readMemory(pid) },
      postgresCpuMs: postgresPid === null ? null : readCpuMs(postgresPid),
      simulatorCpuMs: readCpuMs(simulator.pid),
      simulatorRssBytes: readMemory(simulator.pid).rssBytes,
      load: loadavg()[0] ?? null,
    };
  } catch {
    return null;
  }
}

function renderProgress({ orgs }: Watched, row: Row): string {
  const [at, requests, rss, peak] = [row['atMs'], row['requests'], row['rssBytes'], row['peakRssBytes']].map(
    Number,
  );
  const share = (requests ?? 0) / (orgs * REQUESTS_PER_ORG);
  const leftMs = share > 0 ? (at ?? 0) / share - (at ?? 0) : Number.NaN;
  const minutes = (ms: number) => `${(ms / 60_000).toFixed(1)} min`;
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const cpu = (Number(row['cpuMs']) / (requests ?? 1)) * 1_000;
  return [
    `${minutes(at ?? 0)}: ${(requests ?? 0).toLocaleString('en')} requests (${(share * 100).toFixed(1)} %)`,
    `${cpu.toFixed(0)} µs CPU each, ${mib(rss ?? 0)} (peak ${mib(peak ?? 0)}), simulator ${mib(Number(row['simulatorRssBytes']))}`,
    `about ${minutes(leftMs)} left`,
  ].join('; ');
}
