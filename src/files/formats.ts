import type { Column, ColumnKind, Renderer, Row } from './renderer.ts';

/** The formats. The libraries of CSV and Parquet are loaded when a file of theirs is written. */
const FORMATS = {
  csv: async (columns: readonly Column[]) => (await import('./csv.ts')).createCsv(columns),
  ndjson: createNdjson,
  parquet: async (columns: readonly Column[]) => (await import('./parquet.ts')).createParquet(columns),
} satisfies Readonly<Record<string, (columns: readonly Column[]) => Renderer | Promise<Renderer>>>;

export type FormatName = keyof typeof FORMATS;

export const formatNames: readonly FormatName[] = ['csv', 'ndjson', 'parquet'];

export async function createRenderer(format: FormatName, columns: readonly Column[]): Promise<Renderer> {
  return await FORMATS[format](columns);
}

/** Renders a JSON object per line, with all digits of a number above 2^53. */
function createNdjson(columns: readonly Column[]): Renderer {
  const keys = columns.map(({ name }, index) => `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
  const write = columns.map(({ kind }) => WRITE[kind]);
  const renderLine = (row: Row) => {
    let line = '';
    for (const [index, value] of row.entries()) {
      line += keys[index];
      line += value === null ? 'null' : write[index]?.(value);
    }
    return `${line}}\n`;
  };
  return { begin: () => '', add: (rows) => rows.map(renderLine).join(''), end: () => '' };
}

const asIs = (text: string): string => text;

const WRITE: Readonly<Record<ColumnKind, (text: string) => string>> = {
  integer: asIs,
  // A decimal of a database may be NaN or Infinity, which JSON has only as text.
  decimal: (text) => (/\d$/.test(text) ? text : JSON.stringify(text)),
  boolean: asIs,
  day: JSON.stringify,
  instant: JSON.stringify,
  json: asIs,
  text: JSON.stringify,
};
