import type { Column, ColumnKind, Renderer, Row } from './formats.ts';

/**
 * Returns a renderer of one JSON object per line, with every column. A number above 2^53 is written
 * with all its digits.
 */
export function createNdjson(columns: readonly Column[]): Renderer {
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
