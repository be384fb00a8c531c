import { writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { formatTable } from '../src/terminal/text.ts';
import type { Bench, Row } from './cases.ts';

/** Returns a function that prints a table and writes all tables so far to a file. */
export function createReport(file: string, context: object): Bench['report'] {
  const head = { startedAt: new Date().toISOString(), node: process.version, cpus: availableParallelism() };
  const tables: object[] = [];
  return (title, rows) => {
    // A high load average shows that something else was running.
    tables.push({ title, load: loadavg()[0], rows });
    writeFileSync(file, `${JSON.stringify({ ...head, ...context, tables }, null, 2)}\n`);
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const lines = formatTable({
      head: names.map(formatHeading),
      rows: rows.map((row) => names.map((name) => formatCell(name, row[name]))),
      right: names.map((_, column) => column).slice(1),
    });
    console.log(['', title, ...lines].join('\n'));
  };
}

const UNITS: readonly (readonly [ending: string, format: (value: number) => string])[] = [
  ['Ms', (ms) => (ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(2)} s`)],
  ['Us', (us) => `${us.toFixed(0)} µs`],
  ['Bytes', (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 0)} MiB`],
  ['Ratio', (ratio) => ratio.toFixed(2)],
];

/** Returns the heading of a column: `cpuPerRequestUs` → `cpu per request`. */
function formatHeading(name: string): string {
  const words = name
    .replace(/(Ms|Us|Bytes|Ratio)$/, '')
    .replace(/[A-Z]+/g, (word) => ` ${word.toLowerCase()}`);
  return words.replace(/ to (\w+)$/, ' ÷ $1');
}

function formatCell(name: string, value: Row[string]): string {
  if (typeof value !== 'number') return value ?? '-';
  const unit = UNITS.find(([ending]) => name.endsWith(ending));
  return unit === undefined ? Math.round(value).toLocaleString('en') : unit[1](value);
}
