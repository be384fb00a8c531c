import type { ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/errors.ts';
import { createAdminClient, mayHaveHappened } from '../../src/losant/admin.ts';
import { errorOf, type Received, sendJson, startServer, type TestServer } from './server.ts';

const TOKEN = 'canary-admin-0f3a';
const PLACE = { instanceId: '1'.repeat(24), orgId: '2'.repeat(24) };
const PATH = `/instances/${PLACE.instanceId}/orgs/${PLACE.orgId}`;

/**
 * Returns a client. Only tests that expect silence shorten the timeout; any answer has enough time on
 * a busy machine.
 */
const clientOf = ({ url }: TestServer, timeoutMs = 10_000) =>
  createAdminClient({
    apiUrl: url,
    token: TOKEN,
    domain: 'usage.example.com',
    timeoutMs,
    userAgent: 'losant-usage-export/0',
    now: Date.now,
  });

const refuse = (status: number, body: object) => (_: Received, response: ServerResponse) =>
  sendJson(response, body, { status, headers: { 'retry-after': '1' } });

const INVALID = {
  type: 'Validation',
  message: 'The body does not fit the schema',
  validationErrors: [{ path: 'limits.device', message: 'must be >= 0' }, 'name is taken'],
};

describe('a change is sent once, as it is asked for', () => {
  it('a patch with its body, whatever of the organization is answered', async () => {
    const bodies: string[] = [];
    await using server = await startServer((request, response) => {
      request.stream.setEncoding('utf8').on('data', (text: string) => bodies.push(text));
      sendJson(response, {});
    });
    await clientOf(server).patchOrg(PLACE, { name: 'New', limits: { device: 5 } });
    expect(bodies).toEqual(['{"name":"New","limits":{"device":5}}']);
    expect(server.received).toHaveLength(1);
    expect(server.received[0]).toMatchObject({
      method: 'PATCH',
      path: PATH,
      headers: {
        authorization: `Bearer ${TOKEN}`,
        'content-type': 'application/json',
        losantdomain: 'usage.example.com',
      },
    });
  });

  it('a deletion', async () => {
    await using server = await startServer((_, response) => sendJson(response, { success: true }));
    await clientOf(server).deleteOrg(PLACE);
    expect(server.received.map(({ method, path }) => `${method} ${path}`)).toEqual([`DELETE ${PATH}`]);
  });
});

type Case = readonly [
  what: string,
  answer: (request: Received, response: ServerResponse) => void,
  expected: { kind: string; exitCode: number; message: string; isUncertain: boolean },
];

const CASES: readonly Case[] = [
  [
    'a body that Losant finds wrong',
    refuse(400, INVALID),
    {
      kind: 'refused',
      exitCode: 2,
      message:
        'HTTP 400: Validation: The body does not fit the schema; limits.device must be >= 0; name is taken',
      isUncertain: false,
    },
  ],
  [
    'an unknown token',
    refuse(401, { message: `bad ${TOKEN}` }),
    { kind: 'unauthorized', exitCode: 5, message: 'HTTP 401: bad [token]', isUncertain: false },
  ],
  [
    'a missing scope',
    refuse(403, { type: 'Forbidden' }),
    { kind: 'forbidden', exitCode: 5, message: 'HTTP 403: Forbidden', isUncertain: false },
  ],
  [
    'an organization that is gone',
    refuse(404, { type: 'NotFound' }),
    { kind: 'not_found', exitCode: 2, message: 'HTTP 404: NotFound', isUncertain: false },
  ],
  [
    'an old install',
    refuse(405, { type: 'MethodNotAllowed' }),
    { kind: 'not_supported', exitCode: 2, message: 'HTTP 405: MethodNotAllowed', isUncertain: false },
  ],
  [
    'too many requests',
    refuse(429, {}),
    { kind: 'rate_limited', exitCode: 1, message: 'HTTP 429', isUncertain: false },
  ],
  [
    'an error of the server',
    refuse(500, {}),
    { kind: 'server_error', exitCode: 1, message: 'HTTP 500', isUncertain: true },
  ],
  [
    'a redirect',
    (_, response) => response.writeHead(307, { location: '/elsewhere' }).end(),
    {
      kind: 'unreachable',
      exitCode: 1,
      message: 'redirect (HTTP 307), which is never followed',
      isUncertain: true,
    },
  ],
  [
    'a reset',
    (_, response) => response.destroy(),
    { kind: 'unreachable', exitCode: 1, message: 'connection failed', isUncertain: true },
  ],
  [
    'silence',
    () => undefined,
    { kind: 'timeout', exitCode: 1, message: 'no complete answer within 1000 ms', isUncertain: true },
  ],
  [
    'a body that repeats the token',
    ({ headers }, response) => sendJson(response, { ...headers, success: true }),
    { kind: 'bad_body', exitCode: 1, message: 'the body repeats the token', isUncertain: true },
  ],
  [
    'a body without end',
    (_, response) => response.end('x'.repeat(2 ** 21)),
    { kind: 'bad_body', exitCode: 1, message: 'larger than 1048576 bytes', isUncertain: true },
  ],
  [
    'an answer that says nothing',
    (_, response) => sendJson(response, {}),
    { kind: 'bad_body', exitCode: 1, message: 'does not say that it was deleted', isUncertain: true },
  ],
];

describe('a change that is refused or whose answer is lost', () => {
  it.each(CASES)('after %s is not sent again and is shown without the token', async (_, answer, expected) => {
    await using server = await startServer(answer);
    const error = await errorOf(
      clientOf(server, expected.kind === 'timeout' ? 1_000 : undefined).deleteOrg(PLACE),
    );
    expect(server.received).toHaveLength(1);
    expect(error.kind).toBe(expected.kind);
    expect(exitCodeOf(error)).toBe(expected.exitCode);
    expect(error.message).toContain(`instanceOrg.delete (org ${PLACE.orgId}): `);
    expect(error.message).toContain(expected.message);
    expect(mayHaveHappened(error)).toBe(expected.isUncertain);
    expect(error.hint).toContain(expected.isUncertain ? 'The change may have been made' : '');
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain(TOKEN);
  });
});
