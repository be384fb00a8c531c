/**
 * CSV by RFC 4180 with a header: lines end in CRLF, quotes are doubled. NULL is an empty field and an empty text is
 * `""`, so the two stay distinct. Text that a spreadsheet would read as a formula gets a leading apostrophe.
 */
import { type Options, stringify } from 'csv-stringify/sync';

export interface CsvColumn {
  readonly name: string;
  /** Whether the column has untrusted text, which must not become a formula; the number -5 is not text. */
  readonly isText: boolean;
}

/** The value of a field; days and instants as text. */
export type CsvValue = string | number | bigint | boolean | null;

const FORMAT: Options = {
  record_delimiter: '\r\n',
  // A lone CR or LF is quoted too.
  quote_record_delimiter: true,
  // Quotes an empty text, but not NULL.
  quoted_match: /^$/,
  cast: { boolean: String },
};

/**
 * Matches the beginning of a formula (https://owasp.org/www-community/attacks/CSV_Injection), also in wide forms and
 * behind characters that a spreadsheet trims. To keep this reversible, text that already looks neutralized matches too.
 */
const FORMULA = /^'*[\s\p{Cc}\p{Cf}]*[\t\r=+\-@＝＋－＠]/u;

export function renderCsvHeader(columns: readonly CsvColumn[]): string {
  return stringify([columns.map(({ name }) => name)], FORMAT);
}

export function renderCsvRows(columns: readonly CsvColumn[], rows: readonly (readonly CsvValue[])[]): string {
  const isText = columns.map((column) => column.isText);
  const neutralize = (value: CsvValue, index: number) =>
    isText[index] === true && typeof value === 'string' && FORMULA.test(value) ? `'${value}` : value;
  const fields = rows.map((row) => row.map(neutralize));
  return stringify(fields, FORMAT);
}
