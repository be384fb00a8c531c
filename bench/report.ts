/** Prints tables to stdout and writes the same figures to a JSON file, which is replaced after each table. */
import { writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';

/**
 * A row of a table. The end of each name is its unit: `wallMs`, `peakRssBytes`, `cpuPerRequestUs`,
 * `toFloorRatio`.
 */
export type Row = Readonly<Record<string, string | number | null>>;

export interface Table {
  /** The name of the case, as `--only` takes it. */
  readonly name: string;
  readonly title: string;
  readonly rows: readonly Row[];
}

export interface Report {
  /** Prints a table and keeps it. */
  add(table: Table): void;
  /** Keeps a table that grows, replacing its earlier version. */
  keep(table: Table): void;
}

export function createReport(file: string, settings: object): Report {
  const tables: (Table & { readonly load: number | undefined })[] = [];
  const head = {
    startedAt: new Date().toISOString(),
    node: process.version,
    cpus: availableParallelism(),
    settings,
  };
  const keep = (table: Table) => {
    const known = tables.findIndex(({ title }) => title === table.title);
    // A load above that of the bench itself means that something else was running.
    tables.splice(known < 0 ? tables.length : known, 1, { ...table, load: loadavg()[0] });
    writeFileSync(file, `${JSON.stringify({ ...head, tables }, null, 2)}\n`);
  };
  return {
    keep,
    add(table) {
      keep(table);
      console.log(renderTable(table));
    },
  };
}

export function renderTable({ title, rows }: Pick<Table, 'title' | 'rows'>): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = [
    names.map(headOf),
    ...rows.map((row) => names.map((name) => cellOf(name, row[name] ?? null))),
  ];
  const widths = names.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const text = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
  return `\n${title}\n${text.join('\n')}`;
}

const UNITS: readonly (readonly [string, (value: number) => string])[] = [
  ['Ms', (ms) => (ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(2)} s`)],
  ['Us', (us) => `${us.toFixed(0)} µs`],
  ['Bytes', (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 0)} MiB`],
  ['Ratio', (ratio) => ratio.toFixed(2)],
];

/** Returns the heading for a name: `cpuPerRequestUs` → `cpu per request`. */
function headOf(name: string): string {
  const unit = UNITS.find(([ending]) => name.endsWith(ending));
  const bare = unit === undefined ? name : name.slice(0, -unit[0].length);
  return bare.replace(/[A-Z]+/g, (letters) => ` ${letters.toLowerCase()}`).replace(/\bto (\w+)$/, '÷ $1');
}

function cellOf(name: string, value: string | number | null): string {
  if (value === null) return '-';
  if (typeof value === 'string') return value;
  const unit = UNITS.find(([ending]) => name.endsWith(ending));
  return unit === undefined ? Math.round(value).toLocaleString('en') : unit[1](value);
}

/** Returns the middle value; of an even number, the lower of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
}
