import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ask, clientFor, errorOf, type Received, sendJson, startServer } from './server.ts';

const TOKEN = 'canary-0f3a-do-not-leak';

function everythingIn(error: unknown): string {
  const shown = inspect(error, { depth: null, showHidden: true, getters: true });
  return [shown, JSON.stringify(error), String(error), (error as Error).stack].join('\n');
}

/** Announces a complete body, sends half of it, then cuts the connection. */
function sendHalf(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': '20' }).write('{"counts":');
  setTimeout(() => response.destroy(), 10);
}

const HALF_A_GZIP = gzipSync('{"counts":[1,2,3]}').subarray(0, 22);
/** The bound on a body. */
const BOUND = 32 * 1024 * 1024;
const WRONG = { type: 'SomeType', message: 'what is wrong' };
const bare = (status: number) => (_: Received, response: ServerResponse) => response.writeHead(status).end();

/** An answer, and what is told of it: kind, status, and part of the message. */
type Row = readonly [
  what: string,
  answer: (request: Received, response: ServerResponse) => unknown,
  kind: string,
  status: number | null,
  message: string,
];

const gzipped = (status: number, body: Uint8Array) => (_: Received, response: ServerResponse) =>
  response.writeHead(status, { 'content-encoding': 'gzip' }).end(body);
const endless = (_: Received, response: ServerResponse) =>
  new Readable({
    read(size) {
      this.push(Buffer.alloc(size));
    },
  }).pipe(response);
const redirect = (_: Received, response: ServerResponse) =>
  response.writeHead(302, { location: '/login' }).end();
const refuseWith = (status: number, body: object) => (_: Received, response: ServerResponse) =>
  sendJson(response, body, { status });

const REFUSALS = {
  400: 'refused',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'not_supported',
  413: 'refused',
};
const repeatToken = ({ headers }: Received, response: ServerResponse) =>
  sendJson(response, { message: headers.authorization }, { status: 403 });
const CONTROLS = { type: 'Bad\0', message: 'x\u001b[2J\u009by\nz \ud800' };
const NO_CONTROLS = 'HTTP 400: Bad\ufffd: x\ufffd[2J\ufffdy\ufffdz \ufffd';

const AT_ONCE: readonly Row[] = [
  ...Object.entries(REFUSALS).map(([status, kind]): Row => {
    const message = `answered HTTP ${status}: SomeType: what is wrong`;
    return [`HTTP ${status}`, refuseWith(Number(status), WRONG), kind, Number(status), message];
  }),
  ['a refusal that repeats the token', repeatToken, 'forbidden', 403, 'answered HTTP 403: Bearer [token]'],
  ['a refusal with control characters', refuseWith(400, CONTROLS), 'refused', 400, NO_CONTROLS],
  ['a compressed refusal', gzipped(403, gzipSync('{"message":"no"}')), 'forbidden', 403, 'HTTP 403: no'],
  ['a refusal that stalls', (_, res) => res.writeHead(403).write('no'), 'forbidden', 403, 'HTTP 403'],
  ['a huge refusal', (_, res) => res.writeHead(403).end('x'.repeat(1e6)), 'forbidden', 403, 'HTTP 403'],
];

const NOT_JSON = 'the body is not JSON (content type unknown)';
const UNZIPPED = 'the body (gzip) cannot be decompressed: ';
const SILENT = 'no complete response within 400 ms';
const TOO_LARGE = gzipSync(Buffer.alloc(BOUND + 1));
const pageWithToken = ({ headers }: Received, response: ServerResponse) =>
  response.writeHead(500).end(`<html>${headers.authorization}</html>`);

const AFTER_ALL_ATTEMPTS: readonly Row[] = [
  ...[500, 502, 503, 999].map(
    (status): Row => [`HTTP ${status}`, bare(status), 'server_error', status, `answered HTTP ${status}`],
  ),
  ...[204, 206, 304].map((status): Row => {
    const message = `answered HTTP ${status} instead of 200 with a complete body`;
    return [`HTTP ${status}`, bare(status), 'bad_body', status, message];
  }),
  ['HTTP 408', refuseWith(408, WRONG), 'timeout', 408, 'answered HTTP 408'],
  [
    'a redirect',
    redirect,
    'unreachable',
    302,
    'answered with a redirect (HTTP 302), which is never followed',
  ],
  ['a page that repeats the token', pageWithToken, 'server_error', 500, 'answered HTTP 500'],
  [
    'a body that repeats the token',
    ({ headers }, response) => sendJson(response, headers),
    'bad_body',
    200,
    '',
  ],
  ['a reset', (_, response) => response.destroy(), 'unreachable', null, 'connection failed: '],
  ['a cut body', (_, response) => sendHalf(response), 'unreachable', null, 'connection failed: '],
  ['a cut gzip body', gzipped(200, HALF_A_GZIP), 'bad_body', 200, `${UNZIPPED}unexpected end of file`],
  ['a body without end', endless, 'bad_body', 200, `the body is larger than ${BOUND} bytes`],
  ['a body too large once decompressed', gzipped(200, TOO_LARGE), 'bad_body', 200, UNZIPPED],
  ['a page', (_, response) => response.end('<html>log in</html>'), 'bad_body', 200, NOT_JSON],
  ['an empty body', (_, response) => response.end(), 'bad_body', 200, NOT_JSON],
  ['no UTF-8', (_, response) => response.end(Buffer.from([0x22, 0xff, 0x22])), 'bad_body', 200, NOT_JSON],
  ['silence', () => undefined, 'timeout', null, SILENT],
  ['a body that stalls', (_, response) => response.write('{"a":'), 'timeout', null, SILENT],
];

describe('a failure', () => {
  const bounds = { token: TOKEN, attempts: 2 };
  /** Only what never comes is given up soon: a busy machine has time for all else. */
  const timeoutFor = (what: string) => (/silence|stalls/.test(what) ? 400 : 10_000);
  const about = 'instanceOrg.deviceCounts (org def, days 2025-11-25): ';

  it.each(AT_ONCE)('is told at once after %s', async (...[what, answer, kind, status, message]) => {
    await using server = await startServer((request, response) => void answer(request, response));
    const client = clientFor(server, { ...bounds, timeoutMs: timeoutFor(what) });
    const error = await errorOf(client.get(ask));
    expect(error).toMatchObject({ kind, status, action: ask.action });
    expect(error.message).toContain(about);
    expect(error.message).toContain(message);
    expect(error.body?.length ?? 0).toBeLessThanOrEqual(65_536);
    expect(server.received).toHaveLength(1);
    expect(everythingIn(error)).not.toContain(TOKEN);
  });

  it.each(AFTER_ALL_ATTEMPTS)('is told after all attempts, or mended by one: %s', async (...row) => {
    const [what, answer, kind, status, message] = row;
    await using server = await startServer((request, response, number) =>
      number <= 3 ? void answer(request, response) : sendJson(response, { fine: true }),
    );
    const client = clientFor(server, { ...bounds, timeoutMs: timeoutFor(what) });
    const error = await errorOf(client.get(ask));
    expect(error.kind).toBe(kind);
    if (status !== null) expect(error.status).toBe(status);
    expect(error.message).toContain(about + message);
    expect(error.message).toContain('(after 2 attempts)');
    expect(error.body?.length ?? 0).toBeLessThanOrEqual(65_536);
    expect(server.received).toHaveLength(2);
    expect(everythingIn([error, client])).not.toContain(TOKEN);
    expect((await client.get(ask)).body).toEqual({ fine: true });
    expect(server.received).toHaveLength(4);
  });

  it.each([
    ['when nothing listens', TOKEN, 'ECONNREFUSED'],
    ['when the token cannot be sent as a header', `${TOKEN}\nx`, ''],
  ])('never contains the token, also %s', async (_, token, message) => {
    const server = await startServer(() => undefined);
    await server[Symbol.asyncDispose]();
    const asked = Promise.resolve().then(() => clientFor(server, { token }).get(ask));
    const error = await asked.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(everythingIn(error)).not.toContain(TOKEN);
    expect(everythingIn(error)).toContain(message);
  });
});
