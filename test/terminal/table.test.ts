import { describe, expect, test } from 'vitest';
import { renderLine, renderTable, styled, type Table, wrapLine } from '../../src/terminal/text.ts';

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

test('beyond the most rows that are shown, the number of the others', () => {
  const rows = Array.from({ length: 1_204 }, (_, index) => [`${index}`]);
  expect(shown({ rows, most: 2 })).toEqual(['  0', '  1', '  and 1,202 more (--json has all)']);
  expect(shown({ rows: rows.slice(0, 2), most: 2 })).toEqual(['  0', '  1']);
});

describe('on a terminal that is too narrow', () => {
  const rows = [['stream', styled('red', '12 numbers of 3 organizations since 2026-11-20')]];
  const wrapped = (columns: number) =>
    renderTable({ rows })
      .flatMap((row) => wrapLine(row, columns))
      .map((row) => renderLine(row, { color: false }));

  test('the last column goes on below itself, broken between words', () => {
    expect(wrapped(33)).toEqual([
      '  stream  12 numbers of 3 ',
      '          organizations since ',
      '          2026-11-20',
    ]);
  });

  test('a line that fits is one line, and one with hardly any room is left to the terminal', () => {
    expect(wrapped(56)).toEqual(['  stream  12 numbers of 3 organizations since 2026-11-20']);
    expect(wrapped(29)).toHaveLength(1);
  });
});
