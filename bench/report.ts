/** A row of a table. Each name ends with its unit: `wallMs`, `peakRssBytes`, `wallToFloorRatio`. */
export type Row = Readonly<Record<string, string | number | undefined>>;

/** Prints a table as Markdown, for RESULTS.md. */
export function printTable(title: string, rows: readonly Row[]): void {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const renderRow = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = names.map((_, column) => (column === 0 ? '---' : '---:'));
  const lines = rows.map((row) => renderRow(names.map((name) => formatCell(name, row[name]))));
  const table = [renderRow(names.map(formatHeading)), `|${rule.join('|')}|`, ...lines];
  console.log(['', `**${title}**`, '', ...table].join('\n'));
}

const UNITS: readonly (readonly [ending: string, format: (value: number) => string])[] = [
  ['Ms', (ms) => (ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(2)} s`)],
  ['Bytes', (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`],
  ['Ratio', (ratio) => ratio.toFixed(2)],
];

/** Returns the heading of a column: `wallToFloorRatio` → `wall ÷ floor`. */
function formatHeading(name: string): string {
  const words = name.replace(/(Ms|Bytes|Ratio)$/, '').replace(/[A-Z]+/g, (word) => ` ${word.toLowerCase()}`);
  return words.replace(/ to (\w+)$/, ' ÷ $1');
}

function formatCell(name: string, value: Row[string]): string {
  if (typeof value !== 'number') return value ?? '-';
  const unit = UNITS.find(([ending]) => name.endsWith(ending));
  return unit === undefined ? Math.round(value).toLocaleString('en') : unit[1](value);
}
