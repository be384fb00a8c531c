import { ByteWriter, type ColumnSource, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import { daysFrom } from '../usage/day.ts';
import type { Column, ColumnKind, Part, Renderer, Row } from './renderer.ts';

/** The rows of a row group, which stays in memory until it is complete: for 24 columns a few megabytes. */
const GROUP_ROWS = 2_500;

/** The most JSON texts remembered: an organization's tags are the same each day. */
const SHARED_MAX = 1_000;

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
    convert: (day) => daysFrom(EPOCH, day),
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
export function createParquet(columns: readonly Column[]): Renderer {
  const converters = columns.map(({ kind }) => {
    const { convert } = TYPES[kind];
    return kind === 'json' ? shareEqual(convert) : convert;
  });
  const bytes = new ByteWriter();
  const file = new ParquetWriter({ writer: bytes, schema: schemaOf(columns), createdBy: 'losant-usage' });
  let group: Value[][] = columns.map(() => []);
  let groupRows = 0;

  const addRow = (row: Row) => {
    for (const [index, convert] of converters.entries()) {
      const text = row[index] ?? null;
      group[index]?.push(text === null ? null : convert(text));
    }
    groupRows += 1;
  };
  const writeGroup = async () => {
    const columnData: ColumnSource[] = columns.map(({ name }, index) => ({ name, data: group[index] ?? [] }));
    await file.write({ columnData, rowGroupSize: GROUP_ROWS });
    group = columns.map(() => []);
    groupRows = 0;
  };
  return {
    begin: () => take(bytes),
    add: async (rows) => {
      for (const row of rows) {
        addRow(row);
        if (groupRows === GROUP_ROWS) await writeGroup();
      }
      return take(bytes);
    },
    end: async () => {
      if (groupRows > 0) await writeGroup();
      await file.finish();
      return take(bytes);
    },
  };
}

/** Keeps one value for equal texts: bytes for each row would fill the memory. */
function shareEqual(convert: (text: string) => Value): (text: string) => Value {
  const shared = new Map<string, Value>();
  return (text) => {
    const known = shared.get(text);
    if (known !== undefined) return known;
    if (shared.size === SHARED_MAX) shared.clear();
    const value = convert(text);
    shared.set(text, value);
    return value;
  };
}

/** Returns the bytes written since the last call; the library continues its count. */
function take(bytes: ByteWriter): Part {
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
