/**
 * CSV by RFC 4180 with a header: lines end in CRLF, quotes are doubled. NULL is an empty cell and
 * empty text is `""`, so the two stay distinct. Text that a spreadsheet would take for a formula gets
 * a leading apostrophe.
 */
import { pipeline } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { type Options, stringify } from 'csv-stringify/sync';
import type { Column, Renderer } from './formats.ts';

export interface CsvColumn {
  readonly name: string;
  /**
   * Whether the column has text from outside, which must not form a formula; a number such as -5 stays
   * as it is.
   */
  readonly isText: boolean;
}

/** The value of a cell; days and instants as their text. */
export type CsvValue = string | number | bigint | boolean | null;

const FORMAT: Options = {
  record_delimiter: '\r\n',
  // A lone CR or LF is quoted too.
  quote_record_delimiter: true,
  // Only empty text matches: it is quoted, NULL is not.
  quoted_match: /^$/,
  cast: { boolean: String },
};

/**
 * Matches the beginning of a formula (https://owasp.org/www-community/attacks/CSV_Injection), also in
 * wide forms and behind characters that a spreadsheet trims. Leading apostrophes make it reversible:
 * text that looks neutralised is neutralised again.
 */
const FORMULA = /^'*[\s\p{Cc}\p{Cf}]*[\t\r=+\-@＝＋－＠]/u;

export function renderCsvHeader(columns: readonly CsvColumn[]): string {
  return stringify([columns.map(({ name }) => name)], FORMAT);
}

/** `renderCsvRows` renders values in the order of `columns`; a large file comes in chunks of rows. */
export function renderCsvRows(columns: readonly CsvColumn[], rows: readonly (readonly CsvValue[])[]): string {
  const isText = columns.map((column) => column.isText);
  const cells = rows.map((row) =>
    row.map((value, index) =>
      isText[index] === true && typeof value === 'string' ? neutralize(value) : value,
    ),
  );
  return stringify(cells, FORMAT);
}

export function createCsv(columns: readonly Column[]): Renderer {
  const cells = columns.map(({ name, kind }) => ({ name, isText: kind === 'text' }));
  return {
    begin: () => renderCsvHeader(cells),
    add: (rows) => renderCsvRows(cells, rows),
    end: () => '',
  };
}

/**
 * `readCsv` yields the rows of a file that was rendered here, each value as the text that was rendered.
 * Throws SyntaxError with the line for text that is not such a file.
 */
export async function* readCsv(
  columns: readonly CsvColumn[],
  chunks: AsyncIterable<string | Uint8Array>,
): AsyncGenerator<readonly (string | null)[]> {
  const parser = parse({
    record_delimiter: '\r\n',
    cast: (text, { quoting }) => (text === '' && !quoting ? null : text),
  });
  let isHeader = true;
  try {
    // A failure of either stream ends the parser, whose reader receives it.
    const lines: AsyncIterable<Cell[]> = pipeline(chunks, parser, () => {});
    for await (const cells of lines) {
      if (isHeader) requireHeader(columns, cells);
      else yield cells.map((cell, index) => (columns[index]?.isText === true ? restore(cell) : cell));
      isHeader = false;
    }
  } catch (error) {
    throw error instanceof CsvError ? new SyntaxError(error.message, { cause: error }) : error;
  }
  if (isHeader) requireHeader(columns, []);
}

type Cell = string | null;

function requireHeader(columns: readonly CsvColumn[], cells: readonly Cell[]): void {
  const expected = columns.map(({ name }) => name).join(', ');
  if (cells.join(', ') === expected) return;
  throw new SyntaxError(`line 1 names other columns than ${expected}`);
}

function neutralize(text: string): string {
  return FORMULA.test(text) ? `'${text}` : text;
}

/** `restore` returns the text that was given to {@link neutralize}. */
function restore(cell: Cell): Cell {
  return cell !== null && cell.startsWith("'") && FORMULA.test(cell) ? cell.slice(1) : cell;
}
