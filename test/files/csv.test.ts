import { Readable } from 'node:stream';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Column, formats, type TextRow } from '../../src/files/formats.ts';

const COLUMNS: readonly Column[] = [
  { name: 'org_name', kind: 'text' },
  { name: 'usage_date', kind: 'day' },
  { name: 'quantity', kind: 'integer' },
];

/** Returns the header and the rows. */
async function renderCsv(columns: readonly Column[], rows: readonly TextRow[]): Promise<readonly [string, string]> {
  const parts: string[] = [];
  for await (const part of formats.csv(columns, Readable.from([rows]))) parts.push(part);
  const [header = '', ...pages] = parts;
  return [header, pages.join('')];
}

test('a file has a header and a line per row, each ended by CRLF', async () => {
  const rows: TextRow[] = [
    ['Acme, "Inc"', '2026-11-24', '9007199254740993'],
    ['two\nlines', '2026-11-24', '-5'],
    ['', null, '0'],
    [null, '2026-11-24', null],
    ['Пример 例 👩‍🔧', null, '1'],
  ];
  expect(await renderCsv(COLUMNS, rows)).toEqual([
    'org_name,usage_date,quantity\r\n',
    '"Acme, ""Inc""",2026-11-24,9007199254740993\r\n' +
      '"two\nlines",2026-11-24,-5\r\n' +
      '"",,0\r\n' +
      ',2026-11-24,\r\n' +
      'Пример 例 👩‍🔧,,1\r\n',
  ]);
  expect(await renderCsv(COLUMNS, [])).toEqual(['org_name,usage_date,quantity\r\n', '']);
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
])('a text that a spreadsheet would read as a formula is neutralized %j', async (text, field) => {
  expect(await renderCsv([{ name: 'text', kind: 'text' }], [[text]])).toEqual(['text\r\n', `${field}\r\n`]);
});

test('an independent parser reads every text, and none starts a formula', async () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('=', '-', "'", '"', ',', ' ', '\t', '\r', '\n', 'a', '\ufeff') }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(anyText, anyText), { minLength: 1 }), async (rows) => {
      const [, text] = await renderCsv(COLUMNS.slice(0, 2), rows);
      const records: string[][] = parse(text, { record_delimiter: '\r\n' });
      expect(records.map(([, raw]) => raw)).toEqual(rows.map(([, raw]) => raw));
      for (const [index, [free = '']] of records.entries()) {
        expect(free).not.toMatch(/^\s*[=+\-@\t\r]/);
        expect([free, free.slice(1)]).toContain(rows[index]?.[0]);
      }
    }),
  );
});
