import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import type { AttemptReport } from '../../src/losant/client.ts';
import { Gate } from '../../src/losant/rate.ts';
import { parseRetryAfter } from '../../src/losant/response.ts';
import { containing } from '../support/texts.ts';
import { clientFor, errorOf, INSTANCE_ID, REQUEST, sendJson, startServer } from './server.ts';

const NOW = Date.UTC(2026, 10, 24, 0, 1);
const now = () => NOW;
const dateHeader = (text: string) => ({ date: new Date(text).toUTCString() });

describe('a request', () => {
  it('is a GET without a body, with the token and the API version, whatever else is passed', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    const client = clientFor(server, { domain: 'example.test', version: '1.2.3' });
    const headers = { 'x-http-method-override': 'DELETE' };
    const extended = { ...REQUEST, method: 'DELETE', body: 'x', json: {}, headers };
    await client.get(extended);
    expect(Object.keys(client)).toEqual(['instanceId', 'getAheadMs', 'get']);
    expect(server.received).toHaveLength(1);
    expect(server.received[0]).toMatchObject({
      method: 'GET',
      path: `/instances/${INSTANCE_ID}/orgs/def/deviceCounts`,
      query: { start: '1764028800000', _actions: 'false', _links: 'false', _embedded: 'false' },
    });
    expect(server.received[0]?.headers).toMatchObject({
      authorization: 'Bearer canary-token',
      accept: 'application/json',
      'accept-encoding': 'identity',
      'accept-version': '^1.30.0',
      'cache-control': 'no-cache',
      losantdomain: 'example.test',
      'user-agent': 'losant-usage/1.2.3',
    });
  });

  it('keeps the path of the API URL, with or without a trailing slash', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    await clientFor(server, { apiUrl: `${server.url}/api/v1` }).get(REQUEST);
    await clientFor(server, { apiUrl: `${server.url}/api/v1/` }).get(REQUEST);
    const path = `/api/v1/instances/${INSTANCE_ID}/orgs/def/deviceCounts`;
    expect(server.received.map((request) => request.path)).toEqual([path, path]);
  });

  it('reuses connections, and runs no more requests at once than its gate allows', async () => {
    const sockets = new Set<unknown>();
    let running = 0;
    const counts = new Set<number>();
    await using server = await startServer((_, response) => {
      sockets.add(response.socket);
      counts.add((running += 1));
      setTimeout(() => {
        running -= 1;
        sendJson(response, {});
      }, 5);
    });
    const client = clientFor(server, { gate: new Gate({ concurrency: 3, requestsPerSecond: 10_000 }) });
    await Promise.all(Array.from({ length: 30 }, () => client.get(REQUEST)));
    expect(Math.max(...counts)).toBe(3);
    // A connection may still be busy with its last response.
    expect(sockets.size).toBeLessThanOrEqual(6);
  });
});

describe('a response', () => {
  it('contains body, text and the times of the attempt that succeeded', async () => {
    const headers = dateHeader('2026-11-24T00:01:00Z');
    await using server = await startServer((_, response, number) =>
      sendJson(response, { counts: [] }, number === 1 ? { status: 500 } : { headers }),
    );
    let clock = NOW;
    const response = await clientFor(server, { now: () => (clock += 1) }).get(REQUEST);
    expect(response).toMatchObject({ body: { counts: [] }, text: '{"counts":[]}', dateMs: NOW });
    expect(response.receivedAtMs).toBeGreaterThan(response.sentAtMs);
    expect(response.sentAtMs).toBeGreaterThan(NOW + 2);
  });

  it('is read after an interim one, and despite headers that are repeated or not Latin-1', async () => {
    await using server = await startServer((_, response) => {
      const interim = 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n';
      const head = 'HTTP/1.1 200 OK\r\nx-name: M\u00fcller \u20ac\r\nage: 5\r\nage: 6\r\ncontent-length: 2';
      response.socket?.end(`${interim}${head}\r\n\r\n{}`);
    });
    expect(await clientFor(server).get(REQUEST)).toMatchObject({ body: {}, dateMs: null });
    const request = { ...REQUEST, notBeforeMs: Number.MAX_SAFE_INTEGER };
    await expect(clientFor(server).get(request)).rejects.toThrow('before the days had ended: 5 s old (Age header)');
  });

  it.each<[string, Uint8Array]>([
    ['gzip', gzipSync('{"name":"Müller"}')],
    ['deflate', deflateSync('{"name":"Müller"}')],
    ['identity', Buffer.from('{"name":"Müller"}')],
  ])('is read if the server sends it as %s without being asked to', async (encoding, body) => {
    await using server = await startServer((_, response) =>
      response.writeHead(200, { 'content-encoding': encoding }).end(body),
    );
    expect((await clientFor(server).get(REQUEST)).body).toEqual({ name: 'Müller' });
  });
});

describe('the time of a response', () => {
  const dated = { ...REQUEST, notBeforeMs: Date.UTC(2026, 10, 24) };
  const soon = dateHeader('2026-11-24T00:01:00Z');

  it.each([
    ['five minutes ago', dateHeader('2026-11-23T23:56:00Z')],
    ['five minutes ahead', dateHeader('2026-11-24T00:06:00Z')],
    ['cached after the end of the day', { ...soon, age: '60' }],
    ['with an invalid age', { ...soon, age: 'soon' }],
  ])('is accepted: %s', async (_, headers) => {
    await using server = await startServer((_request, response) => sendJson(response, {}, { headers }));
    await clientFor(server, { now }).get(dated);
    expect(server.received).toHaveLength(1);
  });

  it.each([
    [dateHeader('2026-11-23T23:55:00Z'), 'the response is dated 6 min ago (Date header)'],
    [dateHeader('2026-11-20T12:01:00Z'), 'the response is dated 3 d 12 h ago (Date header)'],
    [dateHeader('2026-11-24T00:07:00Z'), 'the response is dated 6 min in the future (Date header)'],
    [{ ...soon, age: '3600' }, 'a cache served a response that is 1 h old (Age header)'],
    [{ ...soon, age: '61' }, 'a cache served a response from before the days had ended: 61 s old (Age header)'],
  ])('is wrong, and the request is retried and then fails: %j', async (headers, message) => {
    await using server = await startServer((_request, response, number) =>
      sendJson(response, { number }, { headers: number <= 3 ? headers : soon }),
    );
    const client = clientFor(server, { now, attempts: 2 });
    const error = await errorOf(client.get(dated));
    expect(error).toMatchObject({ kind: 'wrong_date', hint: containing('no-cache') });
    expect(error.message).toContain(`${message} (after 2 attempts)`);
    expect((await client.get(dated)).body).toEqual({ number: 4 });
  });
});

describe('the wait that Losant asks for', () => {
  it.each([
    [undefined, null],
    ['soon', null],
    ['-5', null],
    ['wait 5', null],
    ['0', 0],
    ['12.5', 12_500],
    [' 120 ', 120_000],
    ['Tue, 24 Nov 2026 12:00:30 GMT', 30_000],
    ['Tue, 24 Nov 2026 11:59:00 GMT', 0],
  ])('is by the clock of the API: Retry-After %j means %s ms', (header, ms) => {
    const headers = new Headers({ date: 'Tue, 24 Nov 2026 12:00:00 GMT' });
    if (header !== undefined) headers.set('retry-after', header);
    expect(parseRetryAfter(headers)).toBe(ms);
  });
});

describe('a pause that Losant asks for', () => {
  const createGate = () => new Gate({ concurrency: 4, requestsPerSecond: 1000 });

  /** Returns a gate whose pauses are recorded and take no time. */
  function createSwiftGate() {
    const gate = createGate();
    const pauses: number[] = [];
    vi.spyOn(gate, 'pauseFor').mockImplementation((ms) => void pauses.push(ms));
    return { gate, pauses };
  }

  const tooMany = (response: ServerResponse, seconds: string) =>
    sendJson(response, {}, { status: 429, headers: { 'retry-after': seconds } });

  it('holds every request of the token for as long as Losant asks, and costs no attempt', async () => {
    await using server = await startServer((_, response, number) =>
      number > 1 ? sendJson(response, {}) : tooMany(response, '1'),
    );
    const gate = createGate();
    const pause = vi.spyOn(gate, 'pauseFor');
    const client = clientFor(server, { attempts: 1, gate });
    const first = client.get(REQUEST);
    while (gate.pauseLeftMs === 0) await sleep(5);
    const others = [client.get(REQUEST), client.get(REQUEST)];
    await sleep(50);
    expect(server.received).toHaveLength(1);
    await Promise.all([first, ...others]);
    expect(server.received).toHaveLength(4);
    expect(pause.mock.calls).toEqual([[1_000]]);
  });

  const date = 'Tue, 24 Nov 2020 12:00:00 GMT';

  it.each([
    ['a 503 with a date', 503, { date, 'retry-after': 'Tue, 24 Nov 2020 12:00:07 GMT' }, 7_000],
    ['a 429 that asks for no wait', 429, { 'retry-after': '0' }, 1_000],
    ['a 429 that does not say how long', 429, {}, 10_000],
  ])('can also be %s', async (_, status, headers, ms) => {
    await using server = await startServer((__, response, number) =>
      number > 1 ? sendJson(response, {}) : sendJson(response, {}, { status, headers }),
    );
    const { gate, pauses } = createSwiftGate();
    await clientFor(server, { attempts: 1, gate }).get(REQUEST);
    expect(pauses).toEqual([ms]);
  });

  it('ends after 15 minutes per request, whatever happens in between', async () => {
    await using server = await startServer((_, response, number) =>
      number === 3 ? sendJson(response, {}, { status: 500 }) : tooMany(response, '300'),
    );
    const { gate, pauses } = createSwiftGate();
    const error = await errorOf(clientFor(server, { gate }).get(REQUEST));
    expect(error).toMatchObject({ kind: 'rate_limited', status: 429 });
    expect(error.message).toContain('(after 5 attempts)');
    expect(pauses).toEqual([300_000, 300_000, 300_000, 300_000]);
  });

  it('of more than 15 minutes fails all requests of the token without sending them', async () => {
    await using server = await startServer((_, response) => tooMany(response, '3600'));
    const client = clientFor(server);
    expect(await errorOf(client.get(REQUEST))).toMatchObject({ kind: 'rate_limited', status: 429 });
    const unsent = await errorOf(client.get(REQUEST));
    expect(unsent).toMatchObject({ kind: 'rate_limited', status: null });
    expect(unsent.message).toMatch(/asked to send nothing with this token for another (1 h|59 min 59 s)$/);
    expect(server.received).toHaveLength(1);
  });
});

describe('an abort', () => {
  it('ends every request, running or waiting, immediately with its reason', async () => {
    await using server = await startServer(() => undefined);
    const stop = new AbortController();
    const reports: AttemptReport[] = [];
    const client = clientFor(server, { timeoutMs: 60_000, onAttempt: (report) => reports.push(report) });
    const requests = Array.from({ length: 10 }, () => client.get({ ...REQUEST, signal: stop.signal }));
    const settled = Promise.allSettled(requests);
    while (server.received.length < 4) await sleep(5);
    stop.abort(new Error('stopped'));
    const stopped = { status: 'rejected', reason: { message: 'stopped' } };
    expect(await settled).toMatchObject(Array(10).fill(stopped));
    expect(reports).toHaveLength(4);
    expect(reports[0]).toMatchObject({ status: null, retryReason: null });
    await expect(client.get({ ...REQUEST, signal: stop.signal })).rejects.toThrow('stopped');
    expect(server.received).toHaveLength(4);
  });

  it('ends the wait before a retry', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}, { status: 500 }));
    const signal = AbortSignal.timeout(200);
    await expect(clientFor(server, { backoffMs: 60_000 }).get({ ...REQUEST, signal })).rejects.toThrow('timeout');
    expect(server.received).toHaveLength(1);
  });
});

it('reports each attempt once', async () => {
  await using server = await startServer((_, response, number) => {
    if (number === 2) return void response.destroy();
    return sendJson(response, {}, { status: { 1: 502, 4: 404 }[number] ?? 200 });
  });
  const reports: AttemptReport[] = [];
  const client = clientFor(server, { onAttempt: (report) => reports.push(report) });
  await client.get(REQUEST);
  await errorOf(client.get(REQUEST));
  const times = { durationMs: expect.any(Number) as number, gateWaitMs: expect.any(Number) as number };
  expect(reports).toEqual([
    { action: REQUEST.action, status: 502, retryReason: 'server_error', ...times },
    { action: REQUEST.action, status: null, retryReason: 'unreachable', ...times },
    { action: REQUEST.action, status: 200, retryReason: null, ...times },
    { action: REQUEST.action, status: 404, retryReason: null, ...times },
  ]);
});
