import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InexactNumber, parseJson, REPEATED_KEY } from '../../src/usage/body.ts';

describe('a number that a double would turn into another integer', () => {
  test.each([
    '9007199254740991.4',
    '9007199254740993',
    '5.00000000000000000001',
    '1e-400',
    '0.0000000000000000000000000000001e-400',
    '1e400',
    '123456789012345678901234567890',
  ])('%s is marked with its text', (number) => {
    expect(parseJson(`{"a":[${number}],"b":1}`)).toEqual({ a: [new InexactNumber(number)], b: 1 });
    expect(parseJson(number)).toEqual(new InexactNumber(number));
  });

  test('is marked with the beginning of its text if that is very long, and parsing stays fast', () => {
    expect((parseJson(`1.${'0'.repeat(1_000_000)}1`) as InexactNumber).text).toHaveLength(61);
  });
});

test('an exact integer and any fraction are unchanged', () => {
  const text = '[5.0, 1e2, 1.50e1, 500e-2, -0, 0e999999999999, 0e-999999999999, 0.1, 123.4567890123456791]';
  expect(parseJson(text)).toEqual([5, 100, 15, 5, -0, 0, 0, 0.1, 123.456_789_012_345_68]);
  const large = '[9007199254740991, 9007199254740992, 9007199254740991.000]';
  expect(parseJson(large)).toEqual([2 ** 53 - 1, 2 ** 53, 2 ** 53 - 1]);
});

describe('a repeated key', () => {
  test.each<[string, unknown]>([
    ['{"a":1,"a":1}', { a: REPEATED_KEY }],
    ['{"a":1,"b":2,"a":3,"a":4}', { a: REPEATED_KEY, b: 2 }],
    ['{"a":1,"\\u0061":2}', { a: REPEATED_KEY }],
    ['{ "x" : [ { "a" : {} , "a" : [] } ] }', { x: [{ a: REPEATED_KEY }] }],
    ['{"a":{"b":1},"a":{"c":1}}', { a: REPEATED_KEY }],
    ['{"__proto__":1,"__proto__":2}', { ['__proto__']: REPEATED_KEY }],
    ['{"1":1,"1":2}', { 1: REPEATED_KEY }],
  ])('is marked: %s', (text, value) => {
    expect(parseJson(text)).toEqual(value);
  });

  test('is not found in strings that look like keys', () => {
    const value = { a: '"a":1,"a":2', b: 'x\\', c: ':', '"': 1, '\\"': 2, '': { '': 3 } };
    expect(parseJson(JSON.stringify(value))).toEqual(value);
  });
});

test.each(['', '{', '{"a":}', '[1,]', '01', '.5', '1.', 'NaN', '"\u0001"', '{"a":1}x'])(
  'invalid JSON is rejected: %j',
  (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  },
);

test('very deep nesting is rejected and does not exhaust the stack', () => {
  expect(() => parseJson(`${'['.repeat(50_000)}1.0${']'.repeat(50_000)}`)).toThrow('nested more than 200 deep');
});

/** JSON.stringify writes an unsafe integer by the shortest digits that identify the double, not by its value. */
function zeroForUnsafe(_key: string, value: unknown): unknown {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? 0 : value;
}

test('any other JSON is parsed as by JSON.parse, in either way', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 2, '\t'), (value, space) => {
      const text = JSON.stringify(value, zeroForUnsafe, space);
      expect(parseJson(text)).toEqual(JSON.parse(text));
      // A number with a fraction makes the parser take the slow way.
      const slow = `{"slow":1.0,"value":${text}}`;
      expect(parseJson(slow)).toEqual(JSON.parse(slow));
    }),
  );
});

test('any decimal number is a fraction, exact or marked', () => {
  const digits = fc.stringMatching(/^(0|[1-9]\d{0,20})$/);
  const fraction = fc.stringMatching(/^\d{0,25}$/);
  fc.assert(
    fc.property(digits, fraction, fc.integer({ min: -30, max: 30 }), (whole, part, exponent) => {
      const text = `${whole}${part === '' ? '' : `.${part}`}e${exponent}`;
      const double = Number(text);
      const value = parseJson(text);
      // Schemas reject larger numbers, exact or marked.
      if (double > Number.MAX_SAFE_INTEGER) return;
      const shift = part.length - exponent;
      const scaled = BigInt(whole + part) * 10n ** BigInt(Math.max(0, -shift));
      const one = 10n ** BigInt(Math.max(0, shift));
      const isExact = !Number.isInteger(double) || BigInt(double) * one === scaled;
      expect(value).toEqual(isExact ? double : new InexactNumber(text));
    }),
  );
});

test('numbers and keys inside strings change nothing, and parsing stays fast', () => {
  const text = JSON.stringify({ a: ', 1.5, ":', b: `:${'1'.repeat(1_000_000)}x`, c: '\\": 1e400,' });
  expect(parseJson(text)).toEqual(JSON.parse(text));
});
