import type { BenchSettings, ExportCase } from './cases.ts';
import type { TableSize } from './history.ts';

const WIDTH = 11;
const COLUMNS = [
  ...['orgs', 'latency', 'requests', 'wall', 'start-up', 'bare', 'N·L/C'],
  ...['× bare', '× N·L/C', 'CPU/request', 'bare CPU', 'rows/s', 'peak RSS'],
];

export function renderHead({ cpus, concurrency, nodeFlags }: BenchSettings & { cpus: number }): string {
  const flags = nodeFlags.length === 0 ? 'no flags' : nodeFlags.join(' ');
  return `First run on an empty database: one day of every organization, concurrency ${concurrency}, Node ${process.version} with ${flags}.
The program, the simulator and Postgres share ${cpus} CPUs: at 0 ms all three compete for them.
wall: the whole process, start to end; start-up: the part of it outside the run. bare: the same usage
requests by undici dispatch and one upsert per table, as a whole process too. N·L/C: requests × latency / concurrency.

${COLUMNS.map((name) => name.padStart(WIDTH)).join(' ')}`;
}

export function renderCase(
  { orgs, latencyMs, program, floor }: ExportCase,
  { concurrency }: Pick<BenchSettings, 'concurrency'>,
): string {
  const { requests, rows } = program.document;
  const waitMs = (requests * latencyMs) / concurrency;
  const cells = [
    String(orgs),
    `${latencyMs} ms`,
    String(requests),
    seconds(program.wallMs),
    seconds(program.wallMs - program.document.durationMs),
    seconds(floor.wallMs),
    waitMs === 0 ? '-' : seconds(waitMs),
    (program.wallMs / floor.wallMs).toFixed(2),
    waitMs === 0 ? '-' : (program.wallMs / waitMs).toFixed(2),
    `${Math.round((program.cpuMs / requests) * 1_000)} µs`,
    `${Math.round((floor.cpuMs / floor.document.requests) * 1_000)} µs`,
    String(Math.round(((rows['inserted'] ?? 0) / program.wallMs) * 1_000)),
    `${Math.round(program.peakRssBytes / 2 ** 20)} MiB`,
  ];
  return cells.map((cell) => cell.padStart(WIDTH)).join(' ');
}

/** Bytes of an organization's day, by table. */
export function renderSizes(sizes: readonly TableSize[], orgDays: number): string {
  const lines = sizes.map(({ name, rows, bytes }) => {
    const perDay = `${(bytes / orgDays).toFixed(0)} bytes`.padStart(12);
    return `${name.padStart(18)} ${perDay} in ${(rows / orgDays).toFixed(2)} rows`;
  });
  const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  lines.push(`${'together'.padStart(18)} ${`${(total / orgDays).toFixed(0)} bytes`.padStart(12)}`);
  return `per organization and day, with indexes:\n${lines.join('\n')}`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}
