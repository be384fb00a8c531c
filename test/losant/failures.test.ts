import type { ServerResponse } from 'node:http';
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
/** The bound on a body, and a small one that grows beyond it. */
const BOUND = 32 * 1024 * 1024;
const BOMB = gzipSync(Buffer.alloc(BOUND + 1));
const WRONG = { type: 'SomeType', message: 'what is wrong' };
const refuse = (status: number) => (_: Received, response: ServerResponse) =>
  sendJson(response, WRONG, { status });
const bare = (status: number) => (_: Received, response: ServerResponse) => response.writeHead(status).end();

type Row = readonly [
  what: string,
  answer: (request: Received, response: ServerResponse) => unknown,
  expected: { kind: string; status: number | null; message: string },
];

const AT_ONCE: readonly Row[] = [
  ...(
    [
      [400, 'refused'],
      [401, 'unauthorized'],
      [403, 'forbidden'],
      [404, 'not_found'],
      [405, 'not_supported'],
      [409, 'refused'],
      [413, 'refused'],
    ] as const
  ).map(([status, kind]): Row => {
    const message = `answered HTTP ${status}: SomeType: what is wrong`;
    return [`HTTP ${status}`, refuse(status), { kind, status, message }];
  }),
  [
    'a refusal that repeats the token',
    ({ headers }, response) => sendJson(response, { message: headers.authorization }, { status: 403 }),
    { kind: 'forbidden', status: 403, message: 'answered HTTP 403: Bearer [token]' },
  ],
  [
    'a refusal with control characters',
    (_, response) =>
      sendJson(response, { type: 'Bad\0', message: 'x\u001b[2J\u009by\nz \ud800' }, { status: 400 }),
    { kind: 'refused', status: 400, message: 'HTTP 400: Bad\ufffd: x\ufffd[2J\ufffdy\ufffdz \ufffd' },
  ],
  [
    'a refusal that comes compressed',
    (_, response) =>
      response
        .writeHead(403, { 'content-encoding': 'gzip' })
        .end(gzipSync('{"type":"Forbidden","message":"no"}')),
    { kind: 'forbidden', status: 403, message: 'answered HTTP 403: Forbidden: no' },
  ],
  [
    'a refusal whose page stalls',
    (_, response) => response.writeHead(403).write('no'),
    { kind: 'forbidden', status: 403, message: 'answered HTTP 403' },
  ],
  [
    'a refusal whose page is huge',
    (_, response) => response.writeHead(403).end('x'.repeat(1_000_000)),
    { kind: 'forbidden', status: 403, message: 'answered HTTP 403' },
  ],
];

const AFTER_ALL_ATTEMPTS: readonly Row[] = [
  ...([500, 502, 503, 504, 520, 999] as const).map((status): Row => {
    const message = `answered HTTP ${status}`;
    return [`HTTP ${status}`, bare(status), { kind: 'server_error', status, message }];
  }),
  ...([204, 206, 304] as const).map((status): Row => {
    const message = `answered HTTP ${status} instead of 200 with a complete body`;
    return [`HTTP ${status}`, bare(status), { kind: 'bad_body', status, message }];
  }),
  [
    'a redirect, which is never followed',
    (_, response) => response.writeHead(302, { location: '/login' }).end(),
    {
      kind: 'unreachable',
      status: 302,
      message: 'answered with a redirect (HTTP 302), which is never followed',
    },
  ],
  [
    'a body larger than the bound',
    (_, response) => response.end('x'.repeat(BOUND + 1)),
    { kind: 'bad_body', status: 200, message: `the body is larger than ${BOUND} bytes` },
  ],
  [
    'a body larger than the bound once decompressed',
    (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(BOMB),
    { kind: 'bad_body', status: 200, message: 'the body (gzip) cannot be decompressed' },
  ],
  [
    'a body that repeats the token',
    ({ headers }, response) => sendJson(response, headers),
    { kind: 'bad_body', status: 200, message: 'the body repeats the token' },
  ],
  ['HTTP 408', refuse(408), { kind: 'timeout', status: 408, message: 'answered HTTP 408' }],
  [
    'a page that repeats the token',
    ({ headers }, response) => response.writeHead(500).end(`<html>${headers.authorization}</html>`),
    { kind: 'server_error', status: 500, message: 'answered HTTP 500' },
  ],
  [
    'a reset',
    (_, response) => response.destroy(),
    { kind: 'unreachable', status: null, message: 'connection failed: ' },
  ],
  [
    'a cut body',
    (_, response) => sendHalf(response),
    { kind: 'unreachable', status: null, message: 'connection failed: ' },
  ],
  [
    'a cut gzip body',
    (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(HALF_A_GZIP),
    {
      kind: 'bad_body',
      status: 200,
      message: 'the body (gzip) cannot be decompressed: unexpected end of file',
    },
  ],
  [
    'a page with 200',
    (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>log in</html>'),
    { kind: 'bad_body', status: 200, message: 'the body is not JSON (content type text/html)' },
  ],
  [
    'an empty body',
    (_, response) => response.end(),
    { kind: 'bad_body', status: 200, message: 'the body is not JSON (content type unknown)' },
  ],
  [
    'a body that is not UTF-8',
    (_, response) => response.end(Buffer.from([0x22, 0xff, 0x22])),
    { kind: 'bad_body', status: 200, message: 'the body is not JSON' },
  ],
  [
    'silence',
    () => undefined,
    { kind: 'timeout', status: null, message: 'no complete answer within 400 ms' },
  ],
  [
    'a body that stalls',
    (_, response) => response.write('{"a":'),
    { kind: 'timeout', status: null, message: 'no complete answer within 400 ms' },
  ],
  [
    'a gzip body that stalls',
    (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).write(HALF_A_GZIP),
    { kind: 'timeout', status: null, message: 'no complete answer within 400 ms' },
  ],
];

describe('a failure', () => {
  const bounds = { token: TOKEN, attempts: 2 };
  /** Only what never comes is given up soon: a busy machine has time for all else. */
  const timeoutFor = ({ message }: Row[2]) => (/complete answer|HTTP 403$/.test(message) ? 400 : 10_000);
  const about = 'instanceOrg.deviceCounts (org def, days 2025-11-25): ';

  it.each(AT_ONCE)('is told at once after %s', async (_, answer, expected) => {
    await using server = await startServer((request, response) => void answer(request, response));
    const client = clientFor(server, { ...bounds, timeoutMs: timeoutFor(expected) });
    const error = await errorOf(client.get(ask));
    expect(error).toMatchObject({ kind: expected.kind, status: expected.status, action: ask.action });
    expect(error.message).toContain(about);
    expect(error.message).toContain(expected.message);
    expect(error.body?.length ?? 0).toBeLessThanOrEqual(65_536);
    expect(server.received).toHaveLength(1);
    expect(everythingIn(error)).not.toContain(TOKEN);
  });

  it.each(AFTER_ALL_ATTEMPTS)(
    'is told after all attempts, or mended by one: %s',
    async (_, answer, expected) => {
      await using server = await startServer((request, response, number) =>
        number <= 3 ? void answer(request, response) : sendJson(response, { fine: true }),
      );
      const client = clientFor(server, { ...bounds, timeoutMs: timeoutFor(expected) });
      const error = await errorOf(client.get(ask));
      const { kind, status } = expected;
      expect(error.kind).toBe(kind);
      if (status !== null) expect(error.status).toBe(status);
      expect(error.message).toContain(about + expected.message);
      expect(error.message).toContain('(after 2 attempts)');
      expect(server.received).toHaveLength(2);
      expect(error.body?.length ?? 0).toBeLessThanOrEqual(65_536);
      expect(everythingIn([error, client])).not.toContain(TOKEN);
      expect((await client.get(ask)).body).toEqual({ fine: true });
      expect(server.received).toHaveLength(4);
    },
  );

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
