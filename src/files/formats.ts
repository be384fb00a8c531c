import { type Options, stringify } from 'csv-stringify/sync';
import { ByteWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import { countDays } from '../usage/day.ts';

/** The form in which a column's values are written; `decimal` may have a fraction. */
export type ColumnKind = 'integer' | 'decimal' | 'boolean' | 'day' | 'instant' | 'json' | 'text';

export interface Column {
  readonly name: string;
  readonly kind: ColumnKind;
}

/**
 * A row's values in the order of its columns, as text, so that none is rounded on the way: numbers in
 * decimal digits, `true` and `false`, days as `YYYY-MM-DD`, instants as `YYYY-MM-DDTHH:MM:SS.uuuuuuZ`,
 * JSON without white space between its parts. A missing value is null.
 */
export type TextRow = readonly (string | null)[];

export type FileChunk = string | Uint8Array;

type Pages = AsyncIterable<readonly TextRow[]>;

/** Renders a file from pages of its rows, with at most some thousands of them in memory. */
type Renderer = (columns: readonly Column[], pages: Pages) => AsyncGenerator<FileChunk>;

export const formats = {
  csv: renderCsv,
  ndjson: renderNdjson,
  parquet: renderParquet,
} satisfies Readonly<Record<string, Renderer>>;

export type FormatName = keyof typeof formats;

export const formatNames = Object.keys(formats) as readonly FormatName[];

const CSV_OPTIONS: Options = {
  record_delimiter: '\r\n',
  // A lone CR or LF is quoted too.
  quote_record_delimiter: true,
  // Quotes an empty text, but not NULL.
  quoted_match: /^$/,
};

/**
 * Matches the beginning of a formula (https://owasp.org/www-community/attacks/CSV_Injection), also in wide forms and
 * behind characters that a spreadsheet trims. To keep this reversible, text that already looks neutralized matches too.
 */
const FORMULA = /^'*[\s\p{Cc}\p{Cf}]*[\t\r=+\-@＝＋－＠]/u;

/**
 * Renders CSV by RFC 4180 with a header: lines end in CRLF, quotes are doubled. NULL is an empty field and an empty
 * text is `""`, so the two stay distinct. Text that a spreadsheet would read as a formula gets a leading apostrophe;
 * the number -5 is not text.
 */
async function* renderCsv(columns: readonly Column[], pages: Pages) {
  const neutralize = (value: string | null, index: number) =>
    columns[index]?.kind === 'text' && value !== null && FORMULA.test(value) ? `'${value}` : value;
  yield stringify([columns.map(({ name }) => name)], CSV_OPTIONS);
  for await (const rows of pages) {
    const fields = rows.map((row) => row.map(neutralize));
    yield stringify(fields, CSV_OPTIONS);
  }
}

/** Renders a JSON object per line; numbers above 2^53 keep all digits. */
async function* renderNdjson(columns: readonly Column[], pages: Pages) {
  const keys = columns.map(({ name }) => JSON.stringify(name));
  const renderLine = (row: TextRow) => {
    const values = columns.map(({ kind }, index) => `${keys[index]}:${toJson(kind, row[index] ?? null)}`);
    return `{${values.join(',')}}\n`;
  };
  for await (const rows of pages) yield rows.map(renderLine).join('');
}

function toJson(kind: ColumnKind, text: string | null): string {
  if (text === null) return 'null';
  if (kind === 'integer' || kind === 'boolean' || kind === 'json') return text;
  // A decimal may be NaN or Infinity, which JSON can only express as text.
  return kind === 'decimal' && /\d$/.test(text) ? text : JSON.stringify(text);
}

/** A row group stays in memory until it is complete: a few megabytes for 24 columns. */
const ROWS_PER_GROUP = 2_500;

const EPOCH = '1970-01-01';

type Value = bigint | number | boolean | string | Uint8Array | null;

const encoder = new TextEncoder();

type ParquetType = { element: Omit<SchemaElement, 'name'>; convert: (text: string) => Value };

const TYPES: Readonly<Record<ColumnKind, ParquetType>> = {
  integer: { element: { type: 'INT64' }, convert: BigInt },
  // Decimals are averages, shares and sums over an instance; a double is exact for whole numbers up to 2^53.
  decimal: { element: { type: 'DOUBLE' }, convert: Number },
  boolean: { element: { type: 'BOOLEAN' }, convert: (text) => text === 'true' },
  day: {
    element: { type: 'INT32', converted_type: 'DATE', logical_type: { type: 'DATE' } },
    convert: (day) => countDays(EPOCH, day),
  },
  instant: {
    element: {
      type: 'INT64',
      converted_type: 'TIMESTAMP_MICROS',
      logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
    },
    convert: toMicros,
  },
  // As bytes, because the library would parse and rewrite a text, and round its numbers.
  json: { element: { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } }, convert: (text) => encoder.encode(text) },
  text: {
    element: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
    convert: (text) => text,
  },
};

/** Renders Apache Parquet, compressed by Snappy, with nullable columns. */
async function* renderParquet(columns: readonly Column[], pages: Pages) {
  const bytes = new ByteWriter();
  const file = new ParquetWriter({ writer: bytes, schema: toParquetSchema(columns), createdBy: 'losant-usage' });
  const writeGroup = async (rows: readonly TextRow[]) => {
    const columnData = columns.map(({ name, kind }, index) => {
      const texts = rows.map((row) => row[index] ?? null);
      return { name, data: texts.map((text) => (text === null ? null : TYPES[kind].convert(text))) };
    });
    await file.write({ columnData, rowGroupSize: ROWS_PER_GROUP });
  };
  const group: TextRow[] = [];
  for await (const rows of pages) {
    group.push(...rows);
    while (group.length >= ROWS_PER_GROUP) await writeGroup(group.splice(0, ROWS_PER_GROUP));
    yield takeBytes(bytes);
  }
  if (group.length > 0) await writeGroup(group);
  await file.finish();
  yield takeBytes(bytes);
}

/** Returns the bytes written since the last call. The library goes on counting from the start of the file. */
function takeBytes(bytes: ByteWriter): FileChunk {
  const chunk = bytes.getBytes().slice();
  bytes.index = 0;
  return chunk;
}

function toParquetSchema(columns: readonly Column[]): SchemaElement[] {
  return [
    { name: 'root', num_children: columns.length },
    ...columns.map(({ name, kind }) => ({ ...TYPES[kind].element, name, repetition_type: 'OPTIONAL' as const })),
  ];
}

/** Returns the microseconds since 1970 of `YYYY-MM-DDTHH:MM:SS.uuuuuuZ`. */
function toMicros(instant: string): bigint {
  return BigInt(Date.parse(`${instant.slice(0, 23)}Z`)) * 1_000n + BigInt(instant.slice(23, 26));
}
