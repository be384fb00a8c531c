import { expect, test } from 'vitest';
import { parseJson } from '../../../src/usage/body.ts';
import { payloadSources } from '../../../src/usage/streams/payload-sources.ts';
import { daysIn, readFixture } from './bodies.ts';

const dayIn = (json: string) => {
  const days = daysIn(payloadSources, [parseJson(json)]);
  return typeof days === 'string' ? days : days['2025-11-25'];
};
const K200 = 'k'.repeat(200);

test('the recorded body gives a count for each type and source', () => {
  expect(daysIn(payloadSources, [readFixture('payload-sources')])).toEqual({
    '2025-11-25': [
      2_982_320,
      {
        timer: { 'timer.flow': 19_772 },
        deviceState: { 'flow.flow': 5215, 'device.mqtt': 1_244_049 },
        webhook: { 'public.rest': 1_713_284 },
      },
    ],
  });
});

test.each([
  ['the exact largest number', '{"a":{"b":9007199254740991}}', 9_007_199_254_740_991],
  ['a zero', '{"a":{"b":0}}', 0],
  ['case, spaces and dots', '{"Timer":{" x.Y ":1}}', 1],
  ['empty keys', '{"":{"":1}}', 1],
  ['an underscore in a source', '{"a":{"_b":1}}', 1],
  ['names of JavaScript itself', '{"toString":{"__proto__":1,"constructor":2}}', 3],
  ['an emoji, a whole surrogate pair', '{"a":{"\\ud83d\\ude00":1}}', 1],
  ['a key of 200 characters', `{"a":{"${K200}":1}}`, 1],
])('types and sources are an open map, kept as they come: %s', (_, json, sum) => {
  expect(dayIn(json)).toEqual([sum, JSON.parse(json)]);
});

test('keys that start with _ at the top are envelope, whatever they hold, and a type without sources is none', () => {
  const json = '{"_type":"x","_links":{"a":{"href":"/"}},"_future":{"b":-1},"none":{},"a":{"b":1}}';
  expect(dayIn(json)).toEqual([1, { a: { b: 1 } }]);
});

test.each(['{}', '{"_type":"payloadStats"}', '{"timer":{}}'])('%s leaves the day out', (json) => {
  expect(dayIn(json)).toBeUndefined();
});

test.each([
  ['a count is negative', '{"timer":{"timer.flow":1},"a":{"b":1,"c":-1}}', /^a\.c: is negative/],
  ['a count is text', '{"a":{"b":"1"}}', /^a\.b: /],
  [
    'a count is not what a double makes of it',
    '{"a":{"b":9007199254740991.4}}',
    /^a\.b: is 9007199254740991\.4/,
  ],
  [
    'counts have a sum that cannot be stored',
    '{"a":{"b":9007199254740991,"c":1}}',
    /^body: the counts add up/,
  ],
  ['a source is there twice', '{"a":{"b":1,"b":1}}', /^a\.b: occurs twice/],
  ['a type is there twice', '{"a":{"b":1},"a":{"c":1}}', /^a: occurs twice/],
  ['a count stands where sources belong', '{"a":17}', /^a: not a map of sources/],
  ['a type is a list', '{"a":[1]}', /^a: not a map of sources/],
  ['a type is null', '{"a":null}', /^a: not a map of sources/],
  ['sources are nested deeper', '{"a":{"b":{"c":1}}}', /^a\.b: /],
  ['a source holds a NUL', '{"a":{"x\\u0000y":1}}', /NUL or a lone surrogate/],
  ['a type holds a lone surrogate', '{"\\ude00":{"b":1}}', /NUL or a lone surrogate/],
  ['a type holds a NUL and no sources', '{"x\\u0000y":{}}', /NUL or a lone surrogate/],
  ['a type holds a NUL and no map', '{"x\\u0000y":17}', /^[^\0]*NUL or a lone surrogate[^\0]*$/],
  ['a source has 201 characters', `{"a":{"${K200}k":1}}`, /has 201 characters, at most 200/],
  ['a type of 201 characters is no map', `{"${K200}k":17}`, /at most 200/],
])('the day is in doubt, with all its rows, when %s', (_, json, problem) => {
  const [code, ...message] = String(dayIn(json)).split(': ');
  expect(code).toBe('invalid_value');
  expect(message.join(': ')).toMatch(problem);
});

test.each(['null', '[]', '"Service Unavailable"', '17'])('the body %s cannot be placed', (json) => {
  expect(dayIn(json)).toBe('the body is not a map of payload types');
});
