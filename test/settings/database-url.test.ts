import { describe, expect, test } from 'vitest';
import { describeUrlProblem, encryptionOf, warnOfPlainText } from '../../src/settings/database-url.ts';

const URL = 'postgres://usage:canary@db.example.com:5432/billing';

describe('a parameter of the database URL', () => {
  test.each([
    ['?sslmod=require', 'has the parameter sslmod, which has no effect; did you mean sslmode?'],
    [
      '?sslmode=requir',
      'has an sslmode that is not known, which would mean no encryption; use disable, prefer, require, verify-ca, verify-full or no-verify',
    ],
    [
      '?canary=x',
      'has a parameter (not shown) that has no effect; known are sslmode, sslrootcert, sslcert, sslkey, uselibpqcompat, host, options, application_name or client_encoding',
    ],
  ])('%s is refused: %s', (query, problem) => {
    expect(describeUrlProblem(`${URL}${query}`)).toBe(problem);
  });

  test.each([
    '',
    '?sslmode=verify-full&sslrootcert=/ca.pem',
    '?sslmode=disable',
    '?application_name=x',
    '?host=/run/postgresql',
  ])('%s is taken', (query) => {
    expect(describeUrlProblem(`${URL}${query}`)).toBe(null);
  });

  test('several hosts are refused', () => {
    expect(describeUrlProblem('postgres://u:canary@a:5432,b:5432/x')).toMatch(/^names several hosts/);
  });
});

test.each([
  [URL, 'none'],
  [`${URL}?sslmode=disable`, 'none'],
  [`${URL}?sslmode=prefer`, 'verified'],
  [`${URL}?sslmode=verify-full`, 'verified'],
  [`${URL}?sslmode=no-verify`, 'unverified'],
  [`${URL}?uselibpqcompat=true&sslmode=require`, 'unverified'],
  ['postgres://u:p@127.0.0.1:5432/x', 'local'],
  ['postgres://u:p@[::1]/x', 'local'],
  ['postgres://localhost/x', 'local'],
  ['postgres:///x?host=/run/postgresql', 'local'],
  ['embedded:usage', 'local'],
] as const)('%s is protected: %s', (url, encryption) => {
  expect(encryptionOf(url)).toBe(encryption);
  expect(warnOfPlainText(url) === null).toBe(encryption !== 'none');
});
