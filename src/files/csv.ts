/**
 * CSV by RFC 4180 with a header: lines end in CRLF, quotes are doubled. NULL is an empty cell and
 * empty text is `""`, so the two stay distinct. Text that a spreadsheet would take for a formula gets
 * a leading apostrophe.
 */
import { type Options, stringify } from 'csv-stringify/sync';

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
