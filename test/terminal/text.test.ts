import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escapeControls, escapeJson, line, renderLine, styled, widthOf } from '../../src/terminal/text.ts';

describe('text from anywhere', () => {
  test.each([
    ['clear screen and colour', 'evil\x1b[2J\x1b[31mRED', 'evil\\x1b[2J\\x1b[31mRED'],
    ['tab and line breaks', 'a\tb\nc\rd', 'a\\tb\\nc\\rd'],
    ['NUL, bell and backspace', '\0\x07\b', '\\x00\\x07\\x08'],
    ['DEL and C1', 'a\x7f\x9b31m', 'a\\x7f\\x9b31m'],
    ['bidi overrides', 'a\u202eb\u2066c\u200fd\u061ce', 'a\\u202eb\\u2066c\\u200fd\\u061ce'],
    ['separators that break lines', 'a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
    ['letters of any language and pictographs', 'Пример 例 مثال 👩‍🔧 é', 'Пример 例 مثال 👩‍🔧 é'],
  ])('%s', (_what, text, shown) => {
    expect(escapeControls(text)).toBe(shown);
  });

  test('never reaches a terminal as a control, styled or not', () => {
    const anything = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(anything, anything, (name, tag) => {
        const plain = renderLine(line`Organization ${styled('cyan', name)}: ${tag}`, { color: false });
        const colored = renderLine(line`Organization ${styled('cyan', name)}: ${tag}`, { color: true });
        expect(plain).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
        expect(stripVTControlCharacters(colored)).toBe(plain);
      }),
    );
  });

  test('as JSON is the same document without raw controls', () => {
    const document = { name: 'a\x1b\x9b\u202e\u2028b', count: 1 };
    const json = escapeJson(JSON.stringify(document));
    expect(json).toBe('{"name":"a\\u001b\\u009b\\u202e\\u2028b","count":1}');
    expect(JSON.parse(json)).toEqual(document);
  });
});

test('a line is its pieces, with colours where they are shown', () => {
  const built = line`${3} numbers of ${styled('bold', 'Acme')}: ${styled('red', 'missing')}.`;
  expect(renderLine(built, { color: false })).toBe('3 numbers of Acme: missing.');
  expect(renderLine(built, { color: true })).toBe(
    '3 numbers of \x1b[1mAcme\x1b[22m: \x1b[31mmissing\x1b[39m.',
  );
});

test.each([
  ['Acme', 4],
  ['例え', 4],
  ['é', 1],
  ['👷', 2],
  ['a\n', 3],
])('%j takes %i columns', (text, columns) => {
  expect(widthOf(text)).toBe(columns);
});
