import type { ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/errors.ts';
import { mayHaveChanged, type OrgPatch, sendChange } from '../../src/losant/admin.ts';
import {
  errorOf,
  INSTANCE_ID,
  type ReceivedRequest,
  respondWith,
  sendJson,
  startServer,
  type TestServer,
} from './server.ts';

const TOKEN = 'canary-admin-0f3a';
const ORG_ID = '2'.repeat(24);
const PATH = `/instances/${INSTANCE_ID}/orgs/${ORG_ID}`;

/** Sends a patch or a deletion. Only tests without a response shorten the timeout. */
const change = ({ url: apiUrl }: TestServer, patch: OrgPatch | null = null, timeoutMs = 10_000) => {
  const connection = { apiUrl, instanceId: INSTANCE_ID, token: TOKEN, domain: 'usage.example.com' };
  return sendChange({ ...connection, timeoutMs, version: '0', now: Date.now }, ORG_ID, patch);
};

const respond = (status: number, body: object) => respondWith(status, body, { 'retry-after': '1' });

const WRONG = 'Validation: The body does not fit the schema; limits.device must be >= 0; name is taken';
const INVALID = {
  type: 'Validation',
  message: 'The body does not fit the schema',
  validationErrors: [{ path: 'limits.device', message: 'must be >= 0' }, 'name is taken'],
};

it('a patch is sent once, and the body of the response is ignored', async () => {
  const bodies: string[] = [];
  await using server = await startServer((request, response) => {
    request.stream.setEncoding('utf8').on('data', (text: string) => bodies.push(text));
    sendJson(response, {});
  });
  await change(server, { name: 'New', limits: { device: 5 } });
  expect(bodies).toEqual(['{"name":"New","limits":{"device":5}}']);
  const json = { 'content-type': 'application/json' };
  const headers = { authorization: `Bearer ${TOKEN}`, ...json, losantdomain: 'usage.example.com' };
  expect(server.received).toMatchObject([{ method: 'PATCH', path: PATH, headers }]);
});

type Respond = (request: ReceivedRequest, response: ServerResponse) => void;
type Case = readonly [what: string, respond: Respond, kind: string, exitCode: number, message: string];

const REJECTED: readonly Case[] = [
  ['an invalid body', respond(400, INVALID), 'rejected', 2, `HTTP 400: ${WRONG}`],
  ['an unknown token', respond(401, { message: `bad ${TOKEN}` }), 'unauthorized', 5, 'HTTP 401: bad [token]'],
  ['a missing scope', respond(403, { type: 'Forbidden' }), 'forbidden', 5, 'HTTP 403: Forbidden'],
  ['an unknown organization', respond(404, {}), 'not_found', 2, 'HTTP 404'],
  ['an old install', respond(405, {}), 'not_supported', 2, 'HTTP 405'],
  ['too many requests', respond(429, {}), 'rate_limited', 1, 'HTTP 429'],
];

const ADVICE: Readonly<Record<string, string>> = {
  rejected: "Nothing was changed; fix what Losant's response names",
  unauthorized: 'LOSANT_ADMIN_TOKEN is unknown, expired or revoked. Nothing was changed',
  forbidden: 'LOSANT_ADMIN_TOKEN lacks a scope. Nothing was changed',
  not_found: 'check that LOSANT_ADMIN_TOKEN belongs to the same instance',
  not_supported: 'nothing was changed; use the Losant web UI',
  rate_limited: 'Nothing was changed, and the request is not retried',
};

const UNCONFIRMED = 'it does not confirm the deletion';

const UNCERTAIN: readonly Case[] = [
  ['a server error', respond(500, {}), 'server_error', 1, 'HTTP 500'],
  ['a server error that asks for a pause', respond(503, {}), 'server_error', 1, 'HTTP 503'],
  ['a redirect', (_, response) => response.writeHead(307).end(), 'unreachable', 1, 'redirect (HTTP 307)'],
  ['a reset', (_, response) => response.destroy(), 'unreachable', 1, 'connection failed'],
  ['no response', () => undefined, 'timeout', 1, 'no complete response within 300 ms'],
  ['an empty object', (_, response) => sendJson(response, {}), 'bad_body', 1, UNCONFIRMED],
];

describe.each([
  { cases: REJECTED, what: 'rejected', isUncertain: false },
  { cases: UNCERTAIN, what: 'possibly made', isUncertain: true },
])('a change that is $what', ({ cases, isUncertain }) => {
  it.each(cases)('because of %s is not sent again, and its error does not contain the token', async (...row) => {
    const [, respond, kind, exitCode, message] = row;
    await using server = await startServer(respond);
    const error = await errorOf(change(server, null, kind === 'timeout' ? 300 : undefined));
    expect(server.received).toHaveLength(1);
    expect(error.kind).toBe(kind);
    expect(exitCodeOf(error)).toBe(exitCode);
    expect(error.message).toContain(`instanceOrg.delete (org ${ORG_ID}): `);
    expect(error.message).toContain(message);
    expect(mayHaveChanged(error)).toBe(isUncertain);
    expect(error.hint).toContain(ADVICE[error.kind] ?? '');
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain(TOKEN);
  });
});
