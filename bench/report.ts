import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { formatTable } from '../src/terminal/text.ts';
import { capitalize } from '../src/terminal/words.ts';
import type { Bench, Row } from './cases.ts';

const DOCUMENT = 'docs/performance.md';

/**
 * Returns a function that prints a table and writes all tables so far to a file, and those of a case also into its place
 * in docs/performance.md if `isPublished`.
 */
export function createReport(
  file: string,
  { isPublished, ...context }: Readonly<Record<string, unknown>> & { isPublished: boolean; server: string },
): Bench['report'] {
  const head = { startedAt: new Date().toISOString(), node: process.version, cpus: availableParallelism() };
  const tables: object[] = [];
  const sections = new Map<string, string[]>();
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
    const [name = ''] = title.split(':');
    const section = [...(sections.get(name) ?? []), `${capitalize(title.slice(name.length + 2))}; ${context.server}:`];
    sections.set(name, [...section, renderMarkdown(names, rows)]);
    if (isPublished) publish(name, sections.get(name) ?? []);
  };
}

function renderMarkdown(names: readonly string[], rows: readonly Row[]): string {
  const renderRow = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = names.map((_, column) => (column === 0 ? '---' : '---:'));
  const lines = rows.map((row) => renderRow(names.map((name) => formatCell(name, row[name]))));
  return [renderRow(names.map(formatHeading)), `|${rule.join('|')}|`, ...lines].join('\n');
}

/** Writes the tables of a case between its two marks. */
function publish(name: string, section: readonly string[]): void {
  const document = readFileSync(DOCUMENT, 'utf8');
  const place = new RegExp(`(<!-- bench: ${name} -->\n)[^]*?(<!-- end -->)`);
  if (!place.test(document)) throw new Error(`${DOCUMENT} has no place for ${name}`);
  const text = document.replace(place, (_, begin, end) => `${begin}\n${section.join('\n\n')}\n\n${end}`);
  writeFileSync(DOCUMENT, text);
}

const UNITS: readonly (readonly [ending: string, format: (value: number) => string])[] = [
  ['Ms', (ms) => (ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(2)} s`)],
  ['Us', (us) => `${us.toFixed(0)} µs`],
  ['Bytes', (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 0)} MiB`],
  ['Ratio', (ratio) => ratio.toFixed(2)],
];

/** Returns the heading of a column: `cpuPerRequestUs` → `cpu per request`. */
function formatHeading(name: string): string {
  const words = name.replace(/(Ms|Us|Bytes|Ratio)$/, '').replace(/[A-Z]+/g, (word) => ` ${word.toLowerCase()}`);
  return words.replace(/ to (\w+)$/, ' ÷ $1');
}

function formatCell(name: string, value: Row[string]): string {
  if (typeof value !== 'number') return value ?? '-';
  const unit = UNITS.find(([ending]) => name.endsWith(ending));
  return unit === undefined ? Math.round(value).toLocaleString('en') : unit[1](value);
}
