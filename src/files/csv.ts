/**
 * CSV by RFC 4180 with a header: lines end in CRLF, quotes are doubled. NULL is an empty cell and
 * empty text is `""`, so the two stay distinct. Text that a spreadsheet would take for a formula gets
 * a leading apostrophe.
 */
export interface CsvColumn {
  readonly name: string;
  /** Whether the column has text from outside, which must not form a formula; the number -5 stays as it is. */
  readonly isText: boolean;
}

/** The value of a cell; days and instants as their text. */
export type CsvValue = string | number | bigint | boolean | null;

/** What is quoted: also empty text, a lone CR and a lone LF. */
const QUOTED = /^$|[",\r\n]/;

/**
 * Matches the beginning of a formula (https://owasp.org/www-community/attacks/CSV_Injection), also in
 * wide forms and behind characters that a spreadsheet trims. Leading apostrophes make it reversible:
 * text that looks neutralised is neutralised again.
 */
const FORMULA = /^'*[\s\p{Cc}\p{Cf}]*[\t\r=+\-@＝＋－＠]/u;

export function renderCsvHeader(columns: readonly CsvColumn[]): string {
  return renderLine(columns.map(({ name }) => renderCell(name)));
}

/** Renders values in the order of `columns`; a large file comes in chunks of rows. */
export function renderCsvRows(columns: readonly CsvColumn[], rows: readonly (readonly CsvValue[])[]): string {
  const isText = columns.map((column) => column.isText);
  const lines = rows.map((row) =>
    renderLine(row.map((value, index) => renderCell(isText[index] === true ? neutralize(value) : value))),
  );
  return lines.join('');
}

function renderLine(cells: readonly string[]): string {
  return `${cells.join(',')}\r\n`;
}

function renderCell(value: CsvValue): string {
  if (value === null) return '';
  const text = String(value);
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function neutralize(value: CsvValue): CsvValue {
  return typeof value === 'string' && FORMULA.test(value) ? `'${value}` : value;
}
