/** Settings that are nearly right, and what a database URL says about encryption. */
import { describe, expect, test } from 'vitest';
import { readConfig, warnOfMisspelt } from '../../src/settings/config.ts';
import { describeUrlProblem, encryptionOf, warnOfPlainText } from '../../src/settings/database-url.ts';

const URL = 'postgres://usage:canary@db.example.com:5432/billing';

describe('a parameter of the database URL', () => {
  test.each([
    ['?sslmod=require', 'has the parameter sslmod, which has no effect; did you mean sslmode?'],
    ['?ssl=true', 'has the parameter ssl, which says not enough; use sslmode=verify-full'],
    [
      '?sslmode=requir',
      'has an sslmode that is not known, which would mean no encryption; use disable, prefer, require, verify-ca, verify-full or no-verify',
    ],
    [
      '?sslmode=allow',
      'has an sslmode that is not known, which would mean no encryption; use disable, prefer, require, verify-ca, verify-full or no-verify',
    ],
    [
      '?canary=x',
      'has a parameter (not shown) that has no effect; remove it: known are sslmode, sslrootcert, sslcert, sslkey, uselibpqcompat, host, options, application_name or client_encoding',
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

  test('is a setting like others: named with every other problem, never the URL', () => {
    const env = { DATABASE_URL: `${URL}?sslmod=require`, LOG_LEVEL: 'loud' };
    const read = () => readConfig({ env, configFile: null, needs: ['database'] });
    expect(read).toThrow(/2 settings are wrong:\n- DATABASE_URL has the parameter sslmod.*\n- LOG_LEVEL/);
    expect(read).not.toThrow(/canary/);
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

test('a variable one slip away from a setting is named, and others are left alone', () => {
  const others = {
    PATH: '/bin',
    HOME: '/',
    HTTP_PROXY: 'x',
    PORT: '1',
    PGSSLMODE: 'x',
    STREAMS: 'device_counts',
    DATABASE_URL: URL,
  };
  expect(warnOfMisspelt(others)).toEqual([]);
  expect(
    warnOfMisspelt({
      ...others,
      DATABSE_URL: '',
      HEARTBEAT_ULR: '',
      HORIZON_DAY: '3',
      LOG_LEVLE: 'x',
      SHEDULE: 'x',
    }),
  ).toEqual([
    'DATABSE_URL is not a setting and has no effect; did you mean DATABASE_URL?',
    'HEARTBEAT_ULR is not a setting and has no effect; did you mean HEARTBEAT_URL?',
    'HORIZON_DAY is not a setting and has no effect; did you mean HORIZON_DAYS?',
    'LOG_LEVLE is not a setting and has no effect; did you mean LOG_LEVEL?',
    'SHEDULE is not a setting and has no effect; did you mean SCHEDULE?',
  ]);
});

test('each setting that holds is told with where it comes from, a secret only with where it is', () => {
  const text = `horizonDays: 60\ninstances:\n  - { id: 575ec8687ae143cd83dc4a97, tokenFile: /t }`;
  const { origins } = readConfig({
    env: { DATABASE_URL_FILE: '/u', LOG_LEVEL: 'debug', HTTP_TOKEN: 'canary-canary-canary-canary' },
    configFile: '/etc/usage.yaml',
    needs: ['losant', 'database'],
    readFile: (path) => ({ text: path === '/u' ? URL : path === '/t' ? 'canary' : text, mode: 0o640 }),
  });
  expect(JSON.stringify(origins)).not.toContain('canary');
  expect(origins).toEqual(
    expect.arrayContaining([
      { name: 'DATABASE_URL', value: 'in /u', from: 'environment' },
      { name: 'LOG_LEVEL', value: 'debug', from: 'environment' },
      { name: 'HTTP_TOKEN', value: 'set', from: 'environment' },
      { name: 'HEARTBEAT_URL', value: 'not set', from: 'default' },
      { name: 'HORIZON_DAYS', value: '60', from: '/etc/usage.yaml: horizonDays' },
      { name: 'SCHEDULE', value: '15 * * * *', from: 'default' },
    ]),
  );
});
