import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { escapeControls, escapeJson, formatTable, quoteForShell } from '../../src/terminal/text.ts';
import { count, formatDays, showDays, showDuration, showWhen } from '../../src/terminal/words.ts';

describe('untrusted text', () => {
  test.each([
    ['clear screen and color', 'evil\x1b[2J\x1b[31mRED', 'evil\\x1b[2J\\x1b[31mRED'],
    ['tab and line breaks', 'a\tb\nc\rd', 'a\\tb\\nc\\rd'],
    ['NUL, bell and backspace', '\0\x07\b', '\\x00\\x07\\x08'],
    ['DEL and C1', 'a\x7f\x9b31m', 'a\\x7f\\x9b31m'],
    ['bidi overrides', 'a\u202eb\u2066c\u200fd\u061ce', 'a\\u202eb\\u2066c\\u200fd\\u061ce'],
    ['separators that break lines', 'a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
    ['invisible marks', 'a\u2060b\ufeffc\ufff9d', 'a\\u2060b\\ufeffc\\ufff9d'],
    ['letters of any language and pictographs', 'Пример 例 مثال 👩‍🔧 é', 'Пример 例 مثال 👩‍🔧 é'],
  ])('%s', (_title, text, escaped) => {
    expect(escapeControls(text)).toBe(escaped);
  });

  test('in JSON is the same document without raw control characters', () => {
    const document = { name: 'a\x1b\x9b\u202e\u2028b', count: 1 };
    const json = escapeJson(JSON.stringify(document));
    expect(json).toBe('{"name":"a\\u001b\\u009b\\u202e\\u2028b","count":1}');
    expect(JSON.parse(json)).toEqual(document);
  });

  test('in a command is one word, with nothing that a terminal would not show', () => {
    expect(quoteForShell('packs/2026-10')).toBe('packs/2026-10');
    for (const text of ['', 'a b', "it's $(x)", "a\nb's \\n", 'a\x1b\x9b\u202eb ü']) {
      const word = quoteForShell(text);
      expect(escapeControls(word)).toBe(word);
      const env = { LC_ALL: 'C.UTF-8' };
      expect(execFileSync('bash', ['--norc', '-c', `printf %s ${word}`], { env, encoding: 'utf8' })).toBe(text);
    }
  });
});

test('columns are as wide as their widest cell, numbers are right-aligned, and hidden rows are counted', () => {
  const rows = [
    ['device_counts', '20', 'nothing'],
    ['a\nb', '1,234', 'two cells of one organization'],
    ['notebook_minutes', '1', ''],
  ];
  const table = formatTable({ head: ['stream', 'orgs', 'missing'], rows, right: [1], most: 2 });
  expect(table).toEqual([
    '  stream          orgs  missing',
    '  device_counts     20  nothing',
    '  a\\nb           1,234  two cells of one organization',
    '  … and 1 more (use --json for all)',
  ]);
});

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const NOW = Date.UTC(2026, 10, 24, 22, 57);

test.each([
  [400, '0.4 s'],
  [59_999, '59 s'],
  [4 * MINUTE + 35 * SECOND, '4 min 35 s'],
  [2 * HOUR, '2 h'],
  [74 * HOUR, '3 d 2 h'],
])('%i ms are %s', (ms, text) => {
  expect(showDuration(ms)).toBe(text);
});

test.each([
  ['2026-11-24T23:57:00.000Z', '23:57 UTC (in 1 h)'],
  ['2026-11-25T00:57:02.000Z', '2026-11-25 00:57 UTC (in 2 h)'],
  ['2026-11-24T22:50:00.000Z', '22:50 UTC (7 min ago)'],
  ['2026-11-24T22:57:30.000Z', '22:57 UTC (in a moment)'],
  ['2026-11-24T22:56:30.000Z', '22:56 UTC (just now)'],
  ['2027-01-22T22:57:00.000Z', '2027-01-22 22:57 UTC (in 59 d)'],
  ['2026-09-24T20:57:00.000Z', '2026-09-24 20:57 UTC (61 d 2 h ago)'],
])('the instant %s is shown as %s', (instant, text) => {
  expect(showWhen(instant, NOW)).toBe(text);
});

test('counts have separators and a noun, and days are a single day or a range', () => {
  expect([1, 1_234_567].map((number) => count(number, 'cell'))).toEqual(['1 cell', '1,234,567 cells']);
  expect(showDays({ from: '2026-11-23', to: '2026-11-23' })).toBe('2026-11-23');
  expect(showDays({ from: '2026-11-01', to: '2026-11-23' })).toBe('2026-11-01..2026-11-23');
});

test('short names of months have three letters, as SQL writes them', () => {
  const showDay = formatDays({ day: 'numeric', month: 'short', year: 'numeric' });
  expect(['2026-09-07', '2026-10-07'].map(showDay)).toEqual(['7 Sep 2026', '7 Oct 2026']);
  expect(formatDays({ month: 'long' })('2026-09-07')).toBe('September');
});
