import { describe, expect, test } from 'vitest';
import { parseJson } from '../../../src/usage/body.ts';
import { payloadSources } from '../../../src/usage/streams/payload-sources.ts';
import { daysOf, readFixture, unplaceable } from './bodies.ts';

const day = { from: '2025-11-25', to: '2025-11-25' };

function readOne(json: string) {
  return daysOf(payloadSources.readBodies([parseJson(json)], day))['2025-11-25'];
}

function rows(...facts: readonly (readonly [type: string, source: string, count: number])[]) {
  const types = Map.groupBy(facts, ([type]) => type);
  const sources = [...types].map(([type, each]) => [
    type,
    Object.fromEntries(each.map(([, ...pair]) => pair)),
  ]);
  const count = facts.reduce((sum, [, , each]) => sum + each, 0);
  return {
    kind: 'named',
    numbers: { payload_source_count: count, payload_sources: Object.fromEntries(sources) },
    leftOut: [],
  };
}

test('covers one day a request, because its body has no dates', () => {
  expect(payloadSources.windowDays).toBe(1);
});

test('the recorded body gives one row for each type and source', () => {
  const reading = payloadSources.readBodies([readFixture('payload-sources')], day);
  expect(daysOf(reading)).toEqual({
    '2025-11-25': rows(
      ['timer', 'timer.flow', 19_772],
      ['deviceState', 'flow.flow', 5215],
      ['deviceState', 'device.mqtt', 1_244_049],
      ['webhook', 'public.rest', 1_713_284],
    ),
  });
  expect(reading).toMatchObject({ unknownKeys: 0, outsideBuckets: 0 });
});

describe('types and sources are an open map, kept as they come', () => {
  test.each([
    ['a type of tomorrow', '{"holoPing":{"edge.v9":3}}', rows(['holoPing', 'edge.v9', 3])],
    ['the exact largest number', '{"a":{"b":9007199254740991}}', rows(['a', 'b', 9_007_199_254_740_991])],
    ['a zero', '{"a":{"b":0}}', rows(['a', 'b', 0])],
    ['case, spaces and dots', '{"Timer":{" x.Y ":1}}', rows(['Timer', ' x.Y ', 1])],
    ['empty keys', '{"":{"":1}}', rows(['', '', 1])],
    ['an underscore in a source', '{"a":{"_b":1}}', rows(['a', '_b', 1])],
    [
      'names of JavaScript itself',
      '{"toString":{"__proto__":1,"constructor":2}}',
      rows(['toString', '__proto__', 1], ['toString', 'constructor', 2]),
    ],
    ['an emoji, a whole surrogate pair', '{"a":{"\\ud83d\\ude00":1}}', rows(['a', '😀', 1])],
    ['a type without sources', '{"a":{},"b":{"c":1}}', rows(['b', 'c', 1])],
    ['a key of 200 characters', `{"a":{"${'k'.repeat(200)}":1}}`, rows(['a', 'k'.repeat(200), 1])],
  ])('%s', (_, json, reading) => {
    expect(readOne(json)).toEqual(reading);
  });

  test('keys that start with _ at the top are envelope, whatever they hold', () => {
    expect(readOne('{"_type":"x","_links":{"a":{"href":"/"}},"_future":{"b":-1},"a":{"b":1}}')).toEqual(
      rows(['a', 'b', 1]),
    );
  });
});

test.each(['{}', '{"_type":"payloadStats"}', '{"timer":{}}'])('%s leaves the day out', (json) => {
  expect(readOne(json)).toBeUndefined();
});

describe('the day is in doubt, for all its rows, when', () => {
  test.each([
    ['a count is negative', '{"a":{"b":-1}}', /^a\.b: /],
    ['a count is fractional', '{"a":{"b":1.5}}', /^a\.b: /],
    ['a count is text', '{"a":{"b":"1"}}', /^a\.b: /],
    ['a count is null', '{"a":{"b":null}}', /^a\.b: /],
    ['a count is a boolean', '{"a":{"b":true}}', /^a\.b: /],
    ['a count is above 2^53 − 1', '{"a":{"b":9007199254740992}}', /^a\.b: /],
    [
      'a count is not what a double makes of it',
      '{"a":{"b":9007199254740991.4}}',
      /^a\.b: is 9007199254740991\.4/,
    ],
    ['a count is not zero, though a double is', '{"a":{"b":1e-400}}', /^a\.b: is 1e-400/],
    [
      'the counts have a sum that cannot be stored',
      '{"a":{"b":9007199254740991,"c":1}}',
      /^body: the counts add up/,
    ],
    ['a source is there twice', '{"a":{"b":1,"b":1}}', /^a\.b: occurs twice/],
    ['a type is there twice', '{"a":{"b":1},"a":{"c":1}}', /^a: occurs twice/],
    ['one of many counts is bad', '{"timer":{"timer.flow":1},"a":{"b":1,"c":-1}}', /^a\.c: /],
    ['a count stands where sources belong', '{"a":17}', /^a: not a map of sources/],
    ['a type is a list', '{"a":[1]}', /^a: not a map of sources/],
    ['a type is null', '{"a":null}', /^a: not a map of sources/],
    ['sources are nested deeper', '{"a":{"b":{"c":1}}}', /^a\.b: /],
    ['a source holds a NUL', '{"a":{"x\\u0000y":1}}', /NUL or a lone surrogate/],
    ['a type holds a NUL', '{"x\\u0000y":{"b":1}}', /NUL or a lone surrogate/],
    ['a source holds a lone surrogate', '{"a":{"\\ud83d":1}}', /NUL or a lone surrogate/],
    ['a type holds a lone surrogate', '{"\\ude00":{"b":1}}', /NUL or a lone surrogate/],
    ['a source has 201 characters', `{"a":{"${'k'.repeat(201)}":1}}`, /has 201 characters, at most 200/],
    ['a type has 201 characters', `{"${'k'.repeat(201)}":{"b":1}}`, /has 201 characters, at most 200/],
    ['a type holds a NUL and no sources', '{"x\\u0000y":{}}', /NUL or a lone surrogate/],
    ['a type holds a NUL and no map', '{"x\\u0000y":17}', /NUL or a lone surrogate/],
    ['a type of 201 characters is no map', `{"${'k'.repeat(201)}":17}`, /at most 200/],
  ])('%s', (_, json, problem) => {
    const reading = readOne(json);
    expect(reading).toEqual({
      kind: 'quarantined',
      code: 'invalid_value',
      message: expect.stringMatching(problem) as unknown,
    });
  });

  test('a bad key is shown in a way a database can store', () => {
    const reading = readOne('{"x\\u0000y":17}');
    expect(reading?.kind === 'quarantined' && reading.message.includes('\0')).toBe(false);
  });
});

test.each([['null'], ['[]'], ['"Service Unavailable"'], ['17']])('the body %s cannot be placed', (json) => {
  expect(unplaceable(payloadSources, [JSON.parse(json)], day)).toBe('the body is not a map of payload types');
});
