import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { containing } from '../support/texts.ts';
import { clientFor, errorOf, REQUEST, type ReceivedRequest, respondWith, sendJson, startServer } from './server.ts';

const TOKEN = 'canary-0f3a-do-not-leak';

function inspectAll(error: unknown): string {
  const text = inspect(error, { depth: null, showHidden: true, getters: true });
  return [text, JSON.stringify(error), String(error), (error as Error).stack].join('\n');
}

function* endlessly<T>(part: T): Generator<T> {
  for (;;) yield part;
}

/** Announces a complete body, sends half of it, and closes the connection. */
function sendHalf(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': '20' }).write('{"counts":');
  setTimeout(() => response.destroy(), 10);
}

const HALF_A_GZIP = gzipSync('{"counts":[1,2,3]}').subarray(0, 22);
/** The bound on a body. */
const BOUND = 4 * 1024 * 1024;
const MEBIBYTE = Buffer.alloc(1024 * 1024);
const WRONG = { type: 'SomeType', message: 'what is wrong' };
const bare = (status: number) => (_: ReceivedRequest, response: ServerResponse) => response.writeHead(status).end();

type Respond = (request: ReceivedRequest, response: ServerResponse) => unknown;
/** A response, and the kind, status and part of the message of its error. */
type Row = readonly [what: string, respond: Respond, kind: string, status: number | null, message: string];

const gzipped = (status: number, body: Uint8Array) => (_: ReceivedRequest, response: ServerResponse) =>
  response.writeHead(status, { 'content-encoding': 'gzip' }).end(body);
const endless = (_: ReceivedRequest, response: ServerResponse) => Readable.from(endlessly(MEBIBYTE)).pipe(response);
const redirect = (_: ReceivedRequest, response: ServerResponse) =>
  response.writeHead(302, { location: '/login' }).end();

const KINDS = { 400: 'rejected', 401: 'unauthorized', 403: 'forbidden', 404: 'not_found', 405: 'not_supported' };
/** What the hint says by kind: the setting to check. */
const HINTS: Readonly<Record<string, string>> = {
  unauthorized: 'put it in LOSANT_API_TOKEN',
  not_found: 'Check LOSANT_INSTANCE_ID, the organization ID, and LOSANT_API_URL',
  rate_limited: 'Losant asked to wait for longer than a run waits; later runs continue.',
  not_supported: 'Check LOSANT_API_URL, which usually has no path. If it is correct, this Losant install is too old',
};
const limit = (status: number) => respondWith(status, WRONG, { 'retry-after': '3600' });
const repeatToken = ({ headers }: ReceivedRequest, response: ServerResponse) =>
  sendJson(response, { message: headers.authorization }, { status: 403 });
const CONTROLS = { type: 'Bad\0', message: 'x\u001b[2J\u009by\nz \ud800' };
const NO_CONTROLS = 'HTTP 400: Bad\ufffd: x\ufffd[2J\ufffdy\ufffdz \ufffd';

const TOO_LARGE = gzipSync(Buffer.alloc(BOUND + 1));
const LARGER = `the body is larger than ${BOUND} bytes`;

const AT_ONCE: readonly Row[] = [
  ...Object.entries({ ...KINDS, 413: 'rejected' }).map(([status, kind]): Row => {
    const message = `responded with HTTP ${status}: SomeType: what is wrong`;
    return [`HTTP ${status}`, respondWith(Number(status), WRONG), kind, Number(status), message];
  }),
  ['a rejection that repeats the token', repeatToken, 'forbidden', 403, 'with HTTP 403: Bearer [token]'],
  ['a rejection with control characters', respondWith(400, CONTROLS), 'rejected', 400, NO_CONTROLS],
  ['a compressed rejection', gzipped(403, gzipSync('{"message":"no"}')), 'forbidden', 403, 'HTTP 403: no'],
  ['HTTP 429 for an hour', limit(429), 'rate_limited', 429, 'HTTP 429 (wait 1 h): SomeType: what is wrong'],
  ['HTTP 503 for an hour', limit(503), 'rate_limited', 503, 'HTTP 503 (wait 1 h): SomeType: what is wrong'],
  ['a rejection that stalls', (_, res) => res.writeHead(403).write('no'), 'forbidden', 403, 'HTTP 403'],
  ['a body without end', endless, 'bad_body', 200, LARGER],
  ['a body that is too large after decompression', gzipped(200, TOO_LARGE), 'bad_body', 200, LARGER],
  ['a huge rejection', (_, res) => res.writeHead(403).end('x'.repeat(1e6)), 'forbidden', 403, 'HTTP 403'],
];

const NOT_JSON = 'the body is not JSON (content type unknown)';
const TIMEOUT = 'no complete response within 400 ms';
const pageWithToken = ({ headers }: ReceivedRequest, response: ServerResponse) =>
  response.writeHead(500).end(`<html>${headers.authorization}</html>`);

const AFTER_ALL_ATTEMPTS: readonly Row[] = [
  ...[500, 502, 503, 999].map((status): Row => {
    return [`HTTP ${status}`, bare(status), 'server_error', status, `responded with HTTP ${status}`];
  }),
  ...[204, 206, 304].map((status): Row => {
    const message = `responded with HTTP ${status} instead of 200 with a complete body`;
    return [`HTTP ${status}`, bare(status), 'bad_body', status, message];
  }),
  ['HTTP 408', respondWith(408, WRONG), 'timeout', 408, 'responded with HTTP 408'],
  ['HTTP 504', respondWith(504, WRONG), 'timeout', 504, 'responded with HTTP 504'],
  ['a redirect', redirect, 'unreachable', 302, 'responded with a redirect (HTTP 302), which is never followed'],
  ['a page that repeats the token', pageWithToken, 'server_error', 500, 'responded with HTTP 500'],
  ['a body that repeats the token', ({ headers }, response) => sendJson(response, headers), 'bad_body', 200, ''],
  ['a reset', (_, response) => response.destroy(), 'unreachable', null, 'connection failed: '],
  ['a cut body', (_, response) => sendHalf(response), 'unreachable', null, 'connection failed: '],
  ['a cut gzip body', gzipped(200, HALF_A_GZIP), 'bad_body', 200, NOT_JSON],
  ['a page', (_, response) => response.end('<html>log in</html>'), 'bad_body', 200, NOT_JSON],
  ['an empty body', (_, response) => response.end(), 'bad_body', 200, NOT_JSON],
  ['invalid UTF-8', (_, response) => response.end(Buffer.from([0x22, 0xff, 0x22])), 'bad_body', 200, NOT_JSON],
  ['no response', () => undefined, 'timeout', null, TIMEOUT],
  ['a body that stalls', (_, response) => response.write('{"a":'), 'timeout', null, TIMEOUT],
];

describe('a failure', () => {
  const bounds = { token: TOKEN, attempts: 2 };
  /** Short only for what never comes: a busy machine may take long for anything else. */
  const timeoutFor = (what: string) => (/no response|stalls/.test(what) ? 400 : 10_000);
  const about = 'instanceOrg.deviceCounts (org def, days 2025-11-25): ';

  it.each(AT_ONCE)('is reported without a retry: %s', async (...[what, respond, kind, status, message]) => {
    await using server = await startServer((request, response) => void respond(request, response));
    const client = clientFor(server, { ...bounds, timeoutMs: timeoutFor(what) });
    const error = await errorOf(client.get(REQUEST));
    expect(error).toMatchObject({ kind, status, action: REQUEST.action });
    expect(error.hint).toContain(HINTS[kind] ?? '');
    expect(error.message).toContain(about);
    expect(error.message).toContain(message);
    expect(error.body?.length ?? 0).toBeLessThanOrEqual(65_536);
    expect(server.received).toHaveLength(1);
    expect(inspectAll(error)).not.toContain(TOKEN);
  });

  it('contains no part of a token in the middle of which its body would be cut', async () => {
    await using server = await startServer(({ headers }, response) =>
      response.writeHead(403).end('x'.repeat(65_522) + (headers.authorization ?? '')),
    );
    const text = inspectAll(await errorOf(clientFor(server, { token: TOKEN }).get(REQUEST)));
    expect(text).toContain('xBearer [token]');
    expect(text).not.toContain(TOKEN.slice(0, 6));
  });

  it('quotes no more of a header than its message has room for', async () => {
    await using server = await startServer((_, response) =>
      response.writeHead(200, { 'content-type': 'x'.repeat(10_000) }).end('<p>'),
    );
    const error = await errorOf(clientFor(server, { attempts: 1 }).get(REQUEST));
    expect(error.message).toContain('the body is not JSON (content type xxx');
    expect(error.message.length).toBeLessThanOrEqual(700);
  });

  it.each(AFTER_ALL_ATTEMPTS)('is reported after all attempts, and a good attempt repairs it: %s', async (...row) => {
    const [what, respond, kind, status, message] = row;
    await using server = await startServer((request, response, number) =>
      number <= 3 ? void respond(request, response) : sendJson(response, { fine: true }),
    );
    const client = clientFor(server, { ...bounds, timeoutMs: timeoutFor(what) });
    const error = await errorOf(client.get(REQUEST));
    expect(error.kind).toBe(kind);
    if (status !== null) expect(error.status).toBe(status);
    expect(error.message).toContain(about + message);
    expect(error.message).toContain('(after 2 attempts)');
    expect(error.body?.length ?? 0).toBeLessThanOrEqual(65_536);
    expect(server.received).toHaveLength(2);
    expect(inspectAll([error, client])).not.toContain(TOKEN);
    expect((await client.get(REQUEST)).body).toEqual({ fine: true });
    expect(server.received).toHaveLength(4);
  });

  it('is a connection that cannot be made', async () => {
    const { url } = await startServer(() => undefined).then(async (server) => {
      await server[Symbol.asyncDispose]();
      return server;
    });
    const error = await errorOf(clientFor({ url }, { token: TOKEN }).get(REQUEST));
    expect(error).toMatchObject({ kind: 'unreachable', status: null, message: containing('ECONNREFUSED') });
    expect(inspectAll(error)).not.toContain(TOKEN);
  });
});

/** The options that Node has in the image. */
const NODE_OPTIONS = readFileSync('Dockerfile', 'utf8').match(/--max-[\w-]+=\d+/g) ?? [];

it.each(['[]', '{}', '1.5'])('the largest body fits into the memory of the image, even if all of it is %s', (value) => {
  const count = Math.floor(BOUND / (value.length + 1)) - 1;
  const parse = `import { parseJson } from './src/usage/body.ts'; parseJson('[' + Array(${count}).fill('${value}') + ']')`;
  const { status } = spawnSync(process.execPath, [...NODE_OPTIONS, '--input-type=module', '--eval', parse]);
  expect(NODE_OPTIONS).toHaveLength(2);
  expect(status).toBe(0);
});
