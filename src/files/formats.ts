/** Columns and rows, and how a file of each format comes from them. */
import { ByteWriter, type ColumnSource, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import { countDays } from '../usage/day.ts';
import { renderCsvHeader, renderCsvRows } from './csv.ts';

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
export type Row = readonly (string | null)[];

export type FileChunk = string | Uint8Array;

/** Renders a file from its rows in chunks, with at most some thousands of rows in memory. */
export interface Renderer {
  begin(): FileChunk;
  /** Returns the part that can be written once these rows are known. */
  add(rows: readonly Row[]): FileChunk | Promise<FileChunk>;
  end(): FileChunk | Promise<FileChunk>;
}

/** Creates the renderer of each format. */
export const formats = { csv: createCsv, ndjson: createNdjson, parquet: createParquet };

export type FormatName = keyof typeof formats;

export const formatNames = Object.keys(formats) as readonly FormatName[];

function createCsv(columns: readonly Column[]): Renderer {
  const cells = columns.map(({ name, kind }) => ({ name, isText: kind === 'text' }));
  return { begin: () => renderCsvHeader(cells), add: (rows) => renderCsvRows(cells, rows), end: () => '' };
}

/** Renders a JSON object per line, with all digits of a number above 2^53. */
function createNdjson(columns: readonly Column[]): Renderer {
  const keys = columns.map(({ name }) => JSON.stringify(name));
  const renderLine = (row: Row) => {
    const values = columns.map(({ kind }, index) => `${keys[index]}:${toJson(kind, row[index] ?? null)}`);
    return `{${values.join(',')}}\n`;
  };
  return { begin: () => '', add: (rows) => rows.map(renderLine).join(''), end: () => '' };
}

function toJson(kind: ColumnKind, text: string | null): string {
  if (text === null) return 'null';
  if (kind === 'integer' || kind === 'boolean' || kind === 'json') return text;
  // A decimal of a database may be NaN or Infinity, which JSON has only as text.
  return kind === 'decimal' && /\d$/.test(text) ? text : JSON.stringify(text);
}

/** The rows of a row group, which stays in memory until it is complete: for 24 columns a few megabytes. */
const GROUP_ROWS = 2_500;

const EPOCH = '1970-01-01';

type Value = bigint | number | boolean | string | Uint8Array | null;

interface ParquetType {
  readonly element: Omit<SchemaElement, 'name'>;
  readonly convert: (text: string) => Value;
}

const encoder = new TextEncoder();

const TYPES: Readonly<Record<ColumnKind, ParquetType>> = {
  integer: { element: { type: 'INT64' }, convert: BigInt },
  // The value is an average; a count is an integer.
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
  // The text is written as bytes: the library would parse and rewrite it, and round its numbers.
  json: {
    element: { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } },
    convert: (text) => encoder.encode(text),
  },
  text: {
    element: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
    convert: (text) => text,
  },
};

/** Returns a renderer of Apache Parquet, compressed by Snappy, with nullable columns. */
function createParquet(columns: readonly Column[]): Renderer {
  const converters = columns.map(({ kind }) => TYPES[kind].convert);
  const bytes = new ByteWriter();
  const file = new ParquetWriter({ writer: bytes, schema: schemaOf(columns), createdBy: 'losant-usage' });
  let group: Value[][] = columns.map(() => []);
  const writeGroup = async () => {
    const columnData: ColumnSource[] = columns.map(({ name }, index) => ({ name, data: group[index] ?? [] }));
    await file.write({ columnData, rowGroupSize: GROUP_ROWS });
    group = columns.map(() => []);
  };
  return {
    begin: () => take(bytes),
    add: async (rows) => {
      for (const row of rows) {
        for (const [index, convert] of converters.entries()) {
          const text = row[index] ?? null;
          group[index]?.push(text === null ? null : convert(text));
        }
        if (group[0]?.length === GROUP_ROWS) await writeGroup();
      }
      return take(bytes);
    },
    end: async () => {
      if (group[0]?.length) await writeGroup();
      await file.finish();
      return take(bytes);
    },
  };
}

/** Returns the bytes written since the last call; the library continues its count. */
function take(bytes: ByteWriter): FileChunk {
  const part = bytes.getBytes().slice();
  bytes.index = 0;
  return part;
}

function schemaOf(columns: readonly Column[]): SchemaElement[] {
  return [
    { name: 'root', num_children: columns.length },
    ...columns.map(({ name, kind }) => ({
      ...TYPES[kind].element,
      name,
      repetition_type: 'OPTIONAL' as const,
    })),
  ];
}

/** Returns the microseconds since 1970 of `YYYY-MM-DDTHH:MM:SS.uuuuuuZ`. */
function toMicros(instant: string): bigint {
  return BigInt(Date.parse(`${instant.slice(0, 23)}Z`)) * 1_000n + BigInt(instant.slice(23, 26));
}
