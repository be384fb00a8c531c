import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { LosantError, SettingsError } from '../../src/errors.ts';
import { createLogger, type Logger } from '../../src/logger.ts';

/** Returns the output of `log`, and its JSON lines without their times. */
function logged(log: (logger: Logger) => void, { level = 'info', pretty = false } = {}) {
  let text = '';
  const destination = { write: (line: string) => void (text += line) };
  log(createLogger({ level, pretty, destination }));
  const parse = (line: string) => ({ ...(JSON.parse(line) as Record<string, unknown>), time: undefined });
  const lines = () => text.trimEnd().split('\n').map(parse);
  return { text, lines };
}

describe('a line', () => {
  test('is JSON with level, ISO time in UTC, fields and message, and without the host', () => {
    const { text } = logged((logger) => logger.info({ run_id: 'r1', orgs: 3 }, 'run finished'));
    expect(text).toMatch(
      /^\{"level":"info","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","run_id":"r1","orgs":3,"msg":"run finished"\}\n$/,
    );
  });

  test('shows values that JSON cannot represent', () => {
    const fields = { bytes: 12n, at: new Date(0), never: new Date(Number.NaN), map: new Map([[1, 2]]) };
    const { lines } = logged((logger) => logger.info(fields, 'values'));
    const values = { bytes: '12', at: '1970-01-01T00:00:00.000Z', never: null, map: '[Map]' };
    expect(lines()).toEqual([{ level: 'info', ...values, msg: 'values' }]);
  });

  test('is colored text on a terminal, with the time in UTC', () => {
    const { text } = logged((logger) => logger.info({ orgs: 3 }, 'run finished'), { pretty: true });
    expect(stripVTControlCharacters(text)).toMatch(/^\[\d\d:\d\d:\d\dZ\] INFO: run finished\n {4}orgs: 3\n$/);
  });
});

describe('an error', () => {
  test('of this program shows its kind, hint and causes', () => {
    const cause = Object.assign(new Error('read failed'), { code: 'ECONNRESET', request: { token: 'CANARY' } });
    const error = new LosantError('unreachable', 'Losant cannot be reached', {
      hint: 'check the network',
      action: 'instance.get',
      status: null,
      body: 'CANARY',
      cause: new Error('fetch failed', { cause }),
    });
    const { text, lines } = logged((logger) => logger.error({ err: error }, 'run failed'));
    const readError = { name: 'Error', message: 'read failed', code: 'ECONNRESET' };
    const err = {
      name: 'LosantError',
      message: 'Losant cannot be reached',
      kind: 'unreachable',
      hint: 'check the network',
      cause: { name: 'Error', message: 'fetch failed', cause: readError },
    };
    expect(lines()).toEqual([{ level: 'error', msg: 'run failed', err }]);
    expect(text).not.toContain('CANARY');
  });

  test('that is a bug shows its stack', () => {
    const { lines } = logged((logger) => logger.fatal(new TypeError('x is not a function')));
    const stack = expect.arrayContaining([expect.stringMatching(/^at .*logger\.test\.ts/)]) as unknown;
    expect(lines()).toMatchObject([{ level: 'fatal', msg: 'x is not a function', err: { name: 'TypeError', stack } }]);
  });
});

const secret = 'CANARY-0123456789';

const ways = {
  field: (logger: Logger) => logger.info({ token: secret, databaseUrl: secret, heartbeatUrl: secret }, 'x'),
  nested: (logger: Logger) => logger.info({ a: { b: [{ Authorization: secret }] } }, 'x'),
  carrier: (logger: Logger) =>
    logger.info({ cause: Object.assign(new Error('x'), { options: { sent: [secret] } }) }, 'x'),
  environment: (logger: Logger) => logger.info({ LOSANT_API_TOKEN: secret, DATABASE_URL: secret }, 'x'),
  request: (logger: Logger) => logger.info({ request: bearerRequest(secret) }, 'x'),
  headers: (logger: Logger) => logger.info({ headers: bearerRequest(secret).headers }, 'x'),
  header: (logger: Logger) => logger.info(`sent authorization: Bearer ${secret}`),
  url: (logger: Logger) => logger.info(`lost postgres://u:${secret}@db/usage`),
  quoted: (logger: Logger) => logger.info(`lost postgres://u:"${secret}@db/usage`),
  at: (logger: Logger) => logger.info({ url: `postgres://u:a@${secret}@db/usage` }, 'x'),
  wrongUrl: (logger: Logger) => logger.error(wrongUrl(`postgres://u:${secret}@[`), 'x'),
};

test.each(Object.entries(ways))('no secret is printed in %s', (_, log) => {
  const { text, lines } = logged(log);
  expect(lines()).toHaveLength(1);
  expect(text + logged(log, { pretty: true }).text).not.toContain(secret);
});

describe('no control character reaches a terminal', () => {
  const evil = 'evil\x1b[2J\x9b31m\u202eRED';
  const logEvil = (logger: Logger) => {
    logger.warn({ name: evil, err: new SettingsError(evil, { hint: evil }) }, `about ${evil}`);
  };

  test('but the colors of a line for people', () => {
    const { text } = logged(logEvil, { pretty: true });
    const visibleText = stripVTControlCharacters(text).replaceAll('\n', '');
    expect(visibleText).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(visibleText.match(/evil\\+x1b\[2J/g)).toHaveLength(4);
  });

  test('from a JSON line, which has them escaped with the same meaning', () => {
    const { text, lines } = logged(logEvil);
    expect(text.trimEnd()).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(lines()).toMatchObject([{ name: evil, msg: `about ${evil}` }]);
  });
});

function bearerRequest(token: string): Request {
  return new Request('http://127.0.0.1/', { headers: { authorization: `Bearer ${token}` } });
}

function wrongUrl(url: string): unknown {
  try {
    return new URL(url);
  } catch (error) {
    return error;
  }
}
