import { expect, test } from 'vitest';
import { renderTable, type Table } from '../../src/terminal/table.ts';
import { renderLine, styled } from '../../src/terminal/text.ts';

const shown = (table: Table) => renderTable(table).map((row) => renderLine(row, { color: false }));

test('columns are as wide as their widest cell, numbers to the right, the last one open', () => {
  const rows = [
    ['device_counts', '20', styled('green', 'nothing')],
    ['payload_totals', '1,234', 'two numbers of one organization'],
  ];
  expect(shown({ head: ['stream', 'orgs', 'missing'], rows, right: [1] })).toEqual([
    '  stream           orgs  missing',
    '  device_counts      20  nothing',
    '  payload_totals  1,234  two numbers of one organization',
  ]);
});

test('a name with controls or wide letters breaks no line and moves no column', () => {
  const rows = [
    ['a\nb', 'x'],
    ['例え', 'x'],
    ['abcde', 'x'],
  ];
  expect(shown({ rows, indent: 0 })).toEqual(['a\\nb   x', '例え   x', 'abcde  x']);
});

test('without rows there is the head alone', () => {
  expect(shown({ head: ['a', 'b'], rows: [] })).toEqual(['  a  b']);
});
