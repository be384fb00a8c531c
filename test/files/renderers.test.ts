import { Readable } from 'node:stream';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { expect, test } from 'vitest';
import { type Column, type FormatName, formats, type TextRow } from '../../src/files/formats.ts';

const COLUMNS: readonly Column[] = [
  { name: 'org_name', kind: 'text' },
  { name: 'usage_date', kind: 'day' },
  { name: 'quantity', kind: 'integer' },
  { name: 'average', kind: 'decimal' },
  { name: 'is_final', kind: 'boolean' },
  { name: 'changed_at', kind: 'instant' },
  { name: 'tags', kind: 'json' },
];

const ROWS: readonly TextRow[] = [
  ['=1+1', '2026-11-24', '9223372036854775807', '100.5', 'true', '2026-11-24T23:59:59.999999Z', '[{"key":"a b"}]'],
  ['', '1969-12-31', '-5', '-0.25', 'false', '1969-12-31T23:59:59.000001Z', '9007199254740993'],
  ['a"b,\u001b[2J\r\n例 👩‍🔧', '2024-02-29', '0', '3', 'true', '2026-01-01T00:00:00.000000Z', '{}'],
  [null, null, null, null, null, null, null],
];

async function render(format: FormatName, chunks: readonly (readonly TextRow[])[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of formats[format](COLUMNS, Readable.from(chunks))) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

const CHUNKS = [ROWS.slice(0, 1), ROWS.slice(1)];

test('NDJSON has an object per line, and numbers of any size keep all digits', async () => {
  const lines = (await render('ndjson', CHUNKS)).toString().split('\n');
  expect(lines).toEqual([
    '{"org_name":"=1+1","usage_date":"2026-11-24","quantity":9223372036854775807,"average":100.5,"is_final":true,"changed_at":"2026-11-24T23:59:59.999999Z","tags":[{"key":"a b"}]}',
    '{"org_name":"","usage_date":"1969-12-31","quantity":-5,"average":-0.25,"is_final":false,"changed_at":"1969-12-31T23:59:59.000001Z","tags":9007199254740993}',
    String.raw`{"org_name":"a\"b,\u001b[2J\r\n例 👩‍🔧","usage_date":"2024-02-29","quantity":0,"average":3,"is_final":true,"changed_at":"2026-01-01T00:00:00.000000Z","tags":{}}`,
    '{"org_name":null,"usage_date":null,"quantity":null,"average":null,"is_final":null,"changed_at":null,"tags":null}',
    '',
  ]);
});

/** Returns the ArrayBuffer that the reader expects. */
const toArrayBuffer = (file: Buffer) => new Uint8Array(file).buffer;

test('Parquet has every value with its type', async () => {
  const file = toArrayBuffer(await render('parquet', CHUNKS));
  const { schema } = parquetMetadata(file);
  expect(schema.slice(1).map(({ name, type, logical_type }) => [name, type, logical_type?.type])).toEqual([
    ['org_name', 'BYTE_ARRAY', 'STRING'],
    ['usage_date', 'INT32', 'DATE'],
    ['quantity', 'INT64', undefined],
    ['average', 'DOUBLE', undefined],
    ['is_final', 'BOOLEAN', undefined],
    ['changed_at', 'INT64', 'TIMESTAMP'],
    ['tags', 'BYTE_ARRAY', 'JSON'],
  ]);
  // Instants are microseconds, which a Date would truncate.
  const rows = await parquetReadObjects({
    file,
    parsers: {
      timestampFromMicroseconds: (micros: bigint) => micros,
      dateFromDays: (days: number) => days,
      jsonFromBytes: (bytes: Uint8Array) => Buffer.from(bytes).toString(),
    },
  });
  const keys = COLUMNS.map(({ name }) => name);
  expect(rows.map((row) => keys.map((key) => row[key] as unknown))).toEqual([
    ['=1+1', 20781, 9223372036854775807n, 100.5, true, 1795564799999999n, '[{"key":"a b"}]'],
    ['', -1, -5n, -0.25, false, -999999n, '9007199254740993'],
    ['a"b,\u001b[2J\r\n例 👩‍🔧', 19782, 0n, 3, true, 1767225600000000n, '{}'],
    [null, null, null, null, null, null, null],
  ]);
});

test('Parquet has groups of 2,500 rows, and every format works without rows', async () => {
  const row: TextRow = ['Acme', '2026-11-24', '1', '1', 'true', '2026-11-24T00:00:00.000000Z', '[]'];
  const thousand = Array.from({ length: 1_000 }, () => row);
  const file = toArrayBuffer(await render('parquet', [...Array.from({ length: 5 }, () => thousand), [row]]));
  const { row_groups: groups } = parquetMetadata(file);
  expect(groups.map(({ num_rows }) => num_rows)).toEqual([2500n, 2500n, 1n]);
  expect(await parquetReadObjects({ file, rowStart: 5_000 })).toMatchObject([{ org_name: 'Acme', quantity: 1n }]);
  expect(await parquetReadObjects({ file: toArrayBuffer(await render('parquet', [])) })).toEqual([]);
  expect((await render('ndjson', [])).toString()).toBe('');
  const header = 'org_name,usage_date,quantity,average,is_final,changed_at,tags\r\n';
  expect((await render('csv', [])).toString()).toBe(header);
});
