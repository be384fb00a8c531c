import { describe, expect, it } from 'vitest';
import { describeStatus, kindOfStatus } from '../../src/losant/attempt.ts';

describe('kindOfStatus', () => {
  it.each([
    [204, null, 'bad_body'],
    [206, null, 'bad_body'],
    [302, null, 'unreachable'],
    [304, null, 'bad_body'],
    [307, null, 'unreachable'],
    [400, null, 'refused'],
    [401, null, 'unauthorized'],
    [403, null, 'forbidden'],
    [404, null, 'not_found'],
    [405, null, 'not_supported'],
    [408, null, 'timeout'],
    [409, null, 'refused'],
    [413, null, 'refused'],
    [429, null, 'rate_limited'],
    [429, 1_000, 'rate_limited'],
    [500, 1_000, 'server_error'],
    [502, null, 'server_error'],
    [503, null, 'server_error'],
    [503, 1_000, 'rate_limited'],
    [504, null, 'server_error'],
  ] as const)('%i with Retry-After %s is %s', (status, retryAfterMs, kind) => {
    expect(kindOfStatus(status, retryAfterMs)).toBe(kind);
  });
});

describe('describeStatus', () => {
  it.each([
    [204, 'answered HTTP 204 (No Content) instead of 200 with a complete body'],
    [206, 'answered HTTP 206 (Partial Content) instead of 200 with a complete body'],
    [299, 'answered HTTP 299 instead of 200 with a complete body'],
    [301, 'answered with a redirect (HTTP 301), which is never followed'],
    [304, 'answered HTTP 304 (Not Modified) instead of 200 with a complete body'],
    [307, 'answered with a redirect (HTTP 307), which is never followed'],
    [404, 'answered HTTP 404'],
    [502, 'answered HTTP 502'],
  ])('names %i as what it is', (status, text) => {
    expect(describeStatus(status)).toBe(text);
  });
});
