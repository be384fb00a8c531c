import type { ServerResponse } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { AttemptReport, GetRequest } from '../../src/losant/client.ts';
import { clientFor, errorOf, sendJson, startServer } from './server.ts';

const ask: GetRequest = {
  action: 'instanceOrg.deviceCounts',
  path: 'instances/abc/orgs/def/deviceCounts',
  query: { start: '1764028800000' },
  ids: { org: 'def', days: '2025-11-25' },
  signal: new AbortController().signal,
};

/** Announces a complete body, sends half of it, then cuts the connection. */
function sendHalf(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '20' });
  response.write('{"counts":');
  setTimeout(() => response.destroy(), 10);
}

describe('a request', () => {
  it('is a GET with the token, the API version and the query as text', async () => {
    await using server = await startServer((_, response) => sendJson(response, { counts: [] }));
    const client = clientFor(server, { domain: 'example.test', userAgent: 'losant-usage-export/1.2.3' });
    await client.get(ask);
    expect(server.received).toMatchObject([
      {
        method: 'GET',
        path: '/instances/abc/orgs/def/deviceCounts',
        query: { start: '1764028800000', _actions: 'false', _links: 'false', _embedded: 'false' },
        headers: {
          authorization: 'Bearer canary-token',
          accept: 'application/json',
          'accept-version': '^1.30.0',
          losantdomain: 'example.test',
          'user-agent': 'losant-usage-export/1.2.3',
        },
      },
    ]);
  });

  it('keeps the path of the API URL, with or without a trailing slash', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    await clientFor(server, { apiUrl: `${server.url}/api/v1` }).get(ask);
    await clientFor(server, { apiUrl: `${server.url}/api/v1/` }).get(ask);
    const path = '/api/v1/instances/abc/orgs/def/deviceCounts';
    expect(server.received.map((request) => request.path)).toEqual([path, path]);
  });

  it('stays a GET without a body whatever is smuggled into it', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    const smuggled = {
      ...ask,
      method: 'DELETE',
      body: 'x',
      json: {},
      headers: { 'x-http-method-override': 'DELETE' },
    };
    const client = clientFor(server);
    await client.get(smuggled);
    expect(Object.keys(client)).toEqual(['get']);
    expect(server.received).toHaveLength(1);
    expect(server.received[0]?.method).toBe('GET');
    expect(server.received[0]?.headers).not.toHaveProperty('x-http-method-override');
    expect(server.received[0]?.headers).not.toHaveProperty('content-length');
  });

  it('never follows a redirect', async () => {
    await using target = await startServer((_, response) => sendJson(response, {}));
    await using server = await startServer((_, response) => {
      response.writeHead(302, { location: `${target.url}/login` });
      response.end();
    });
    const error = await errorOf(clientFor(server).get(ask));
    expect(error).toMatchObject({ kind: 'unreachable', status: 302 });
    expect(error.message).toContain('redirect (HTTP 302)');
    expect(server.received).toHaveLength(1);
    expect(target.received).toHaveLength(0);
  });
});

describe('is retried', () => {
  const failures: Record<string, (response: ServerResponse) => void> = {
    'HTTP 500': (response) => sendJson(response, {}, { status: 500 }),
    'HTTP 502 with a page': (response) => {
      response.writeHead(502, { 'content-type': 'text/html' });
      response.end('<html>bad gateway</html>');
    },
    'HTTP 503 without Retry-After': (response) => sendJson(response, {}, { status: 503 }),
    'HTTP 408': (response) => sendJson(response, {}, { status: 408 }),
    'a reset': (response) => response.destroy(),
    'a cut body': sendHalf,
    'a cut gzip body': (response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.end(gzipSync('{"counts":[1,2,3]}').subarray(0, 22));
    },
    'an HTML page with 200': (response) => response.end('<html>log in</html>'),
    'an empty body': (response) => response.end(),
    'a body that is not UTF-8': (response) => response.end(Buffer.from([0x22, 0xff, 0x22])),
    silence: () => undefined,
    'a body that stalls': (response) => response.write('{"a":'),
    'a gzip body that stalls': (response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.write(gzipSync('{"counts":[1,2,3]}').subarray(0, 22));
    },
  };

  it.each(Object.keys(failures))('after %s', async (name) => {
    await using server = await startServer((_, response, number) =>
      number === 1 ? failures[name]?.(response) : sendJson(response, { fine: true }),
    );
    const answer = await clientFor(server, { timeoutMs: 300 }).get(ask);
    expect(answer.body).toEqual({ fine: true });
    expect(server.received).toHaveLength(2);
  });
});

describe('gives up', () => {
  it.each([
    [400, 'refused'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [405, 'not_supported'],
    [413, 'refused'],
  ])('at once on HTTP %i, with what the API says', async (status, kind) => {
    await using server = await startServer((_, response) =>
      sendJson(response, { type: 'SomeType', message: 'what is wrong' }, { status }),
    );
    const error = await errorOf(clientFor(server).get(ask));
    expect(error).toMatchObject({ kind, status, action: 'instanceOrg.deviceCounts' });
    expect(error.message).toBe(
      `instanceOrg.deviceCounts (org def, days 2025-11-25): answered HTTP ${status}: SomeType: what is wrong`,
    );
    expect(error.body).toBe('{"type":"SomeType","message":"what is wrong"}');
    expect(server.received).toHaveLength(1);
  });

  it.each([
    ['server_error', 500, (response: ServerResponse) => sendJson(response, {}, { status: 500 })],
    ['unreachable', null, (response: ServerResponse) => response.destroy()],
    ['unreachable', null, sendHalf],
    ['timeout', null, () => undefined],
    ['bad_body', 200, (response: ServerResponse) => response.end('<html>')],
    ['bad_body', 204, (response: ServerResponse) => response.writeHead(204).end()],
    ['bad_body', 206, (response: ServerResponse) => response.writeHead(206).end('{"counts":')],
    ['bad_body', 304, (response: ServerResponse) => response.writeHead(304).end()],
    ['server_error', 520, (response: ServerResponse) => response.writeHead(520).end()],
    ['server_error', 999, (response: ServerResponse) => response.writeHead(999).end()],
  ] as const)('with %s after all attempts', async (kind, status, answer) => {
    await using server = await startServer((_, response) => void answer(response));
    const error = await errorOf(clientFor(server, { attempts: 2, timeoutMs: 200 }).get(ask));
    expect(error).toMatchObject({ kind, status });
    expect(error.message).toContain('(after 2 attempts)');
    expect(server.received).toHaveLength(2);
  });

  it('in time on a body that stalls, though fetch forgets its signal with the garbage', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    await using server = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"counts":');
    });
    const collecting = setInterval(collectGarbage, 20);
    try {
      const error = await errorOf(clientFor(server, { attempts: 1, timeoutMs: 500 }).get(ask));
      expect(error.kind).toBe('timeout');
    } finally {
      clearInterval(collecting);
    }
  });

  it('on a body larger than the bound once decompressed, without asking again', async () => {
    await using server = await startServer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.end(gzipSync(JSON.stringify('x'.repeat(5_000_000))));
    });
    const error = await errorOf(clientFor(server, { maxBodyBytes: 1_000_000 }).get(ask));
    expect(error).toMatchObject({ kind: 'bad_body', status: 200 });
    expect(error.message).toContain('larger than 1000000 bytes');
    expect(server.received).toHaveLength(1);
  });

  it('on a body larger than the bound, of which it keeps the beginning', async () => {
    await using server = await startServer((_, response) => response.end('x'.repeat(1_000_001)));
    const error = await errorOf(clientFor(server, { maxBodyBytes: 1_000_000 }).get(ask));
    expect(error).toMatchObject({ kind: 'bad_body', status: 200, body: 'x'.repeat(65_536) });
    expect(server.received).toHaveLength(1);
  });

  it('by the status even if the error page stalls or is huge', async () => {
    await using server = await startServer((_, response, number) => {
      response.writeHead(403);
      if (number === 1) response.write('no');
      else response.end('x'.repeat(1_000_000));
    });
    const client = clientFor(server, { timeoutMs: 200 });
    expect(await errorOf(client.get(ask))).toMatchObject({ kind: 'forbidden', status: 403 });
    expect((await errorOf(client.get(ask))).body).toHaveLength(65_536);
  });

  it.each([
    [204, 'No Content'],
    [206, 'Partial Content'],
    [304, 'Not Modified'],
  ])('on HTTP %i as what it is, which is no redirect', async (status, name) => {
    await using server = await startServer((_, response) => response.writeHead(status).end());
    const error = await errorOf(clientFor(server, { attempts: 1 }).get(ask));
    expect(error.message).toContain(`answered HTTP ${status} (${name}) instead of 200`);
  });

  it('with a message that no control character of the answer gets into', async () => {
    await using server = await startServer((_, response) =>
      sendJson(response, { type: 'Bad\0', message: 'x\u001b[2J\u009by\nz \ud800' }, { status: 400 }),
    );
    const error = await errorOf(clientFor(server).get(ask));
    expect(error.message).toBe(
      'instanceOrg.deviceCounts (org def, days 2025-11-25): answered HTTP 400: Bad\ufffd: x\ufffd[2J\ufffdy\ufffdz \ufffd',
    );
  });
});

it('asks as often as the question says instead of the client, by the same rules', async () => {
  await using server = await startServer((_, response, number) =>
    number % 2 === 1 ? response.end('<html>log in</html>') : sendJson(response, { fine: true }),
  );
  const client = clientFor(server, { attempts: 5 });
  expect(await errorOf(client.get({ ...ask, attempts: 1 }))).toMatchObject({ kind: 'bad_body' });
  expect(server.received).toHaveLength(1);
  expect((await client.get({ ...ask, attempts: 1 })).body).toEqual({ fine: true });
  expect((await client.get({ ...ask, attempts: 2 })).body).toEqual({ fine: true });
  expect(server.received).toHaveLength(4);
});

it('reports each attempt once', async () => {
  await using server = await startServer((_, response, number) => {
    if (number === 1) return sendJson(response, {}, { status: 502 });
    if (number === 2) return void response.destroy();
    if (number === 3) return sendJson(response, {});
    return sendJson(response, {}, { status: 404 });
  });
  const reports: AttemptReport[] = [];
  const client = clientFor(server, { onAttempt: (report) => reports.push(report) });
  await client.get(ask);
  await errorOf(client.get(ask));
  expect(reports.map(({ status, outcome, retryReason }) => [status, outcome, retryReason])).toEqual([
    [502, 'server_error', 'server_error'],
    [null, 'unreachable', 'unreachable'],
    [200, 'ok', null],
    [404, 'not_found', null],
  ]);
  for (const { durationMs, gateWaitMs, action } of reports) {
    expect(action).toBe('instanceOrg.deviceCounts');
    expect(durationMs).toBeGreaterThanOrEqual(0);
    expect(gateWaitMs).toBeGreaterThanOrEqual(0);
  }
});
