import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CsvColumn, type CsvValue, renderCsvHeader, renderCsvRows } from '../../src/files/csv.ts';

const COLUMNS: readonly CsvColumn[] = [
  { name: 'org_name', isText: true },
  { name: 'usage_date', isText: false },
  { name: 'quantity', isText: false },
];

test('a file has a header and a line per row, each ended by CRLF', () => {
  const rows: CsvValue[][] = [
    ['Acme, "Inc"', '2026-11-24', 9007199254740993n],
    ['two\nlines', '2026-11-24', -5],
    ['', null, 0],
    [null, '2026-11-24', 0.5],
    ['Пример 例 👩‍🔧', null, true],
  ];
  expect(renderCsvHeader(COLUMNS)).toBe('org_name,usage_date,quantity\r\n');
  expect(renderCsvRows(COLUMNS, rows)).toBe(
    '"Acme, ""Inc""",2026-11-24,9007199254740993\r\n' +
      '"two\nlines",2026-11-24,-5\r\n' +
      '"",,0\r\n' +
      ',2026-11-24,0.5\r\n' +
      'Пример 例 👩‍🔧,,true\r\n',
  );
  expect(renderCsvRows(COLUMNS, [])).toBe('');
});

test.each([
  ['=HYPERLINK("http://x")', '"\'=HYPERLINK(""http://x"")"'],
  ['+1', "'+1"],
  ['-5', "'-5"],
  ['@SUM(A1)', "'@SUM(A1)"],
  ['\0=1', "'\0=1"],
  ['\rx', '"\'\rx"'],
  ['\n=1', '"\'\n=1"'],
  ['\u00a0\u200b\ufeff=1', "'\u00a0\u200b\ufeff=1"],
  ['＝1', "'＝1"],
  ["'=1", "''=1"],
  ["'quoted'", "'quoted'"],
  ['', '""'],
])('a text that a spreadsheet would read as a formula is neutralized %j', (text, field) => {
  expect(renderCsvRows([{ name: 'text', isText: true }], [[text]])).toBe(`${field}\r\n`);
});

test('an independent parser reads every text, and none starts a formula', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('=', '-', "'", '"', ',', ' ', '\t', '\r', '\n', 'a', '\ufeff') }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(anyText, anyText), { minLength: 1 }), (rows) => {
      const text = renderCsvRows(COLUMNS.slice(0, 2), rows);
      const records: string[][] = parse(text, { record_delimiter: '\r\n' });
      expect(records.map(([, raw]) => raw)).toEqual(rows.map(([, raw]) => raw));
      for (const [index, [free = '']] of records.entries()) {
        expect(free).not.toMatch(/^\s*[=+\-@\t\r]/);
        expect([free, free.slice(1)]).toContain(rows[index]?.[0]);
      }
    }),
  );
});
