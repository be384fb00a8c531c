/**
 * CSV by RFC 4180 with a header: lines end in CRLF, quotes are doubled. NULL is an empty cell and
 * empty text is `""`, so the two stay distinct. Text that a spreadsheet would take for a formula gets
 * a leading apostrophe.
 */
import { CsvError, parse } from 'csv-parse/sync';
import { type Options, stringify } from 'csv-stringify/sync';
import type { Column, Renderer } from './renderer.ts';

export interface CsvColumn {
  readonly name: string;
  /** Whether the column has text from outside, which must not form a formula; the number -5 stays as it is. */
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

/** Renders values in the order of `columns`; a large file comes in chunks of rows. */
export function renderCsvRows(columns: readonly CsvColumn[], rows: readonly (readonly CsvValue[])[]): string {
  const isText = columns.map((column) => column.isText);
  const neutralize = (value: CsvValue, index: number) =>
    isText[index] === true && typeof value === 'string' && FORMULA.test(value) ? `'${value}` : value;
  const cells = rows.map((row) => row.map(neutralize));
  return stringify(cells, FORMAT);
}

export function createCsv(columns: readonly Column[]): Renderer {
  const cells = columns.map(({ name, kind }) => ({ name, isText: kind === 'text' }));
  return { begin: () => renderCsvHeader(cells), add: (rows) => renderCsvRows(cells, rows), end: () => '' };
}

/**
 * Yields the rows of a file that was rendered here, in pages, each value as the text that was
 * rendered. Throws SyntaxError with the line for text that is not such a file. A record without quotes
 * is split at its commas, which takes a tenth of the time of the parser.
 */
export async function* readCsv(
  columns: readonly CsvColumn[],
  chunks: AsyncIterable<string | Uint8Array>,
): AsyncGenerator<readonly (readonly (string | null)[])[]> {
  const areText = columns.some(({ isText }) => isText);
  // A cell that was neutralised begins with an apostrophe, and still looks like a formula.
  const restore = (cell: Cell, index: number) =>
    columns[index]?.isText === true && cell?.startsWith("'") === true && FORMULA.test(cell)
      ? cell.slice(1)
      : cell;
  let number = 0;
  for await (const records of readRecords(chunks)) {
    const rows: (readonly Cell[])[] = [];
    for (const record of records) {
      number += 1;
      const cells = record.includes('"')
        ? parseRecord(record, number)
        : record.split(',').map((text) => text || null);
      if (number === 1) requireHeader(columns, cells);
      else if (cells.length !== columns.length) {
        throw new SyntaxError(`line ${number} has ${cells.length} cells instead of ${columns.length}`);
      } else if (!areText) rows.push(cells);
      else rows.push(cells.map(restore));
    }
    if (rows.length > 0) yield rows;
  }
  if (number === 0) requireHeader(columns, []);
}

/** The longest record, against a quote that is never closed. */
const RECORD_MAX = 1_000_000;

/** Yields the records of each chunk: lines, but for line ends within quotes. */
async function* readRecords(chunks: AsyncIterable<string | Uint8Array>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let rest = '';
  let open: string[] = [];
  for await (const chunk of chunks) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = `${rest}${text}`.split('\r\n');
    rest = lines.pop() ?? '';
    const records: string[] = [];
    for (const line of lines) {
      const isOdd = line.includes('"') && line.split('"').length % 2 === 0;
      if (open.length === 0 && !isOdd) records.push(line);
      else if (open.length === 0 || !isOdd) open.push(line);
      else {
        records.push([...open, line].join('\r\n'));
        open = [];
      }
      if (open.length > RECORD_MAX / 100) break;
    }
    yield records;
    if (rest.length > RECORD_MAX || open.length > RECORD_MAX / 100) break;
  }
  if (rest !== '' || open.length > 0) yield [[...open, rest].join('\r\n')];
}

function parseRecord(record: string, number: number): Cell[] {
  try {
    const [cells = []] = parse(record, {
      record_delimiter: '\r\n',
      cast: (text, { quoting }) => (text === '' && !quoting ? null : text),
    }) as Cell[][];
    return cells;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new SyntaxError(`line ${number}: ${error.message}`, { cause: error });
  }
}

type Cell = string | null;

function requireHeader(columns: readonly CsvColumn[], cells: readonly Cell[]): void {
  const expected = columns.map(({ name }) => name).join(', ');
  if (cells.join(', ') === expected) return;
  throw new SyntaxError(`line 1 names other columns than ${expected}`);
}
