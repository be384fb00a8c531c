import { createCsv } from './csv.ts';
import { createParquet } from './parquet.ts';
import type { Column, ColumnKind, Renderer, Row } from './renderer.ts';

/** Creates the renderer of each format. */
export const formats = { csv: createCsv, ndjson: createNdjson, parquet: createParquet };

export type FormatName = keyof typeof formats;

export const formatNames = Object.keys(formats) as readonly FormatName[];

/** Renders a JSON object per line, with all digits of a number above 2^53. */
function createNdjson(columns: readonly Column[]): Renderer {
  const names = columns.map(({ name }) => JSON.stringify(name));
  const write = columns.map(({ kind }) => WRITE[kind]);
  const renderLine = (row: Row) => {
    const values = row.map((value, index) => {
      const text = value === null ? 'null' : write[index]?.(value);
      return `${names[index]}:${text}`;
    });
    return `{${values.join(',')}}\n`;
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
