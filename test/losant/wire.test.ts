import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Gate } from '../../src/losant/gate.ts';
import { InexactNumber, REPEATED_KEY } from '../../src/usage/body.ts';
import { clientFor, errorOf, sendJson, startServer } from './server.ts';

const ask = {
  action: 'instanceOrg.deviceCounts',
  path: 'instances/abc/orgs/def/deviceCounts',
  query: {},
  signal: new AbortController().signal,
};

const BODY = '{"name":"Müller","counts":[1,2,3]}';

function sendEncoded(response: ServerResponse, encoding: string, body: Uint8Array): void {
  response.writeHead(200, { 'content-encoding': encoding });
  response.end(body);
}

describe('an answer', () => {
  it('contains body, text and the times of the attempt that succeeded', async () => {
    await using server = await startServer((_, response, number) =>
      number === 1
        ? sendJson(response, {}, { status: 500 })
        : sendJson(response, { counts: [] }, { headers: { date: 'Tue, 24 Nov 2026 12:00:00 GMT' } }),
    );
    const begin = Date.UTC(2026, 10, 24, 12);
    let clock = begin;
    const answer = await clientFor(server, { now: () => (clock += 1) }).get(ask);
    expect(answer).toMatchObject({
      body: { counts: [] },
      text: '{"counts":[]}',
      dateMs: Date.UTC(2026, 10, 24, 12),
    });
    expect(answer.receivedAtMs).toBeGreaterThan(answer.sentAtMs);
    expect(answer.sentAtMs).toBeGreaterThan(begin + 2);
  });

  it('has a marker where its text has a number that would be rounded, or a key twice', async () => {
    await using server = await startServer((_, response) =>
      response.end('{"a":9007199254740991.4,"b":5.0,"c":1,"c":2}'),
    );
    expect((await clientFor(server).get(ask)).body).toEqual({
      a: new InexactNumber('9007199254740991.4'),
      b: 5,
      c: REPEATED_KEY,
    });
  });

  it('is read through gzip', async () => {
    await using server = await startServer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.end(gzipSync('{"a":1}'));
    });
    expect((await clientFor(server).get(ask)).body).toEqual({ a: 1 });
  });

  it('without a Date header has no date, and without Age no age', async () => {
    await using server = await startServer((_, response) => {
      response.sendDate = false;
      sendJson(response, {});
    });
    expect(await clientFor(server).get(ask)).toMatchObject({ dateMs: null, ageSeconds: null });
  });

  it.each([
    ['240', 240],
    ['0', 0],
    ['soon', null],
    ['-5', null],
  ])('of a cache shows its age: Age %s', async (age, ageSeconds) => {
    await using server = await startServer((_, response) => sendJson(response, {}, { headers: { age } }));
    expect((await clientFor(server).get(ask)).ageSeconds).toBe(ageSeconds);
  });

  it('is read in spite of headers that no Response takes, and of a header that is there twice', async () => {
    await using server = await startServer((_, response) => {
      response.socket?.end(
        'HTTP/1.1 200 OK\r\nx-name: M\u00fcller \u20ac\r\nage: 5\r\nage: 6\r\ncontent-length: 2\r\n\r\n{}',
      );
    });
    expect(await clientFor(server).get(ask)).toMatchObject({ body: {}, ageSeconds: 5 });
  });
});

describe('an answer that comes compressed', () => {
  it('was not asked for', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    await clientFor(server).get(ask);
    expect(server.received[0]?.headers['accept-encoding']).toBe('identity');
  });

  it.each<[string, Uint8Array]>([
    ['gzip', gzipSync(BODY)],
    ['x-gzip', gzipSync(BODY)],
    ['GZip', gzipSync(BODY)],
    ['deflate', deflateSync(BODY)],
    ['br', brotliCompressSync(BODY)],
    ['deflate, gzip', gzipSync(deflateSync(BODY))],
    ['identity', Buffer.from(BODY)],
    ['zstd-of-tomorrow', Buffer.from(BODY)],
  ])('with %s is read, and its bytes are those of the body', async (encoding, body) => {
    await using server = await startServer((_, response) => sendEncoded(response, encoding, body));
    const answer = await clientFor(server).get(ask);
    expect(answer).toMatchObject({ text: BODY, body: JSON.parse(BODY) });
    const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
    expect(sha256(answer.text)).toBe(sha256(BODY));
  });

  it('is read whatever its size', async () => {
    const body = JSON.stringify(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 1_000_003));
    await using server = await startServer((_, response) => sendEncoded(response, 'gzip', gzipSync(body)));
    expect((await clientFor(server).get(ask)).text).toBe(body);
  });

  it('says so when it is damaged', async () => {
    await using server = await startServer((_, response) =>
      sendEncoded(response, 'gzip', Buffer.from('no gzip at all')),
    );
    const error = await errorOf(clientFor(server).get(ask));
    expect(error).toMatchObject({ kind: 'bad_body', status: 200 });
    expect(error.message).toContain('cannot be decompressed: incorrect header check');
  });

  it('and refuses shows what the API says', async () => {
    await using server = await startServer((_, response) => {
      response.writeHead(403, { 'content-encoding': 'gzip' });
      response.end(gzipSync('{"type":"Forbidden","message":"no scope"}'));
    });
    expect((await errorOf(clientFor(server).get(ask))).message).toContain('Forbidden: no scope');
  });
});

describe('connections', () => {
  it('are kept, and no more of them than requests under way', async () => {
    const sockets = new Set<unknown>();
    await using server = await startServer((_, response) => {
      sockets.add(response.socket);
      setTimeout(() => sendJson(response, {}), 5);
    });
    const gate = new Gate({ concurrency: 3, requestsPerSecond: 10_000 });
    const client = clientFor(server, { gate });
    await Promise.all(Array.from({ length: 30 }, () => client.get(ask)));
    for (let count = 0; count < 10; count += 1) await client.get(ask);
    expect(sockets.size).toBe(3);
  });

  it('that the server closes after an answer cost no request', async () => {
    await using server = await startServer((_, response) => {
      const { socket } = response;
      sendJson(response, {});
      response.once('finish', () => socket?.destroy());
    });
    const client = clientFor(server);
    for (let count = 0; count < 10; count += 1) await client.get(ask);
    expect(server.received.length).toBeGreaterThanOrEqual(10);
  });
});

it('an interim answer is passed over', async () => {
  await using server = await startServer((_, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    sendJson(response, { fine: true });
  });
  expect((await clientFor(server).get(ask)).body).toEqual({ fine: true });
});

it('many answers that never come end each in its own time, and none before', async () => {
  await using server = await startServer(() => undefined);
  const gate = new Gate({ concurrency: 50, requestsPerSecond: 10_000 });
  const client = clientFor(server, { gate, attempts: 1, timeoutMs: 300 });
  const ends: number[] = [];
  const begunAt = performance.now();
  const asked = Array.from({ length: 40 }, async (_, index) => {
    await sleep(index < 20 ? 0 : 150);
    expect(await errorOf(client.get(ask))).toMatchObject({ kind: 'timeout' });
    ends.push(performance.now() - begunAt);
  });
  await Promise.all(asked);
  expect(Math.min(...ends.slice(0, 20))).toBeGreaterThanOrEqual(295);
  expect(Math.min(...ends.slice(20))).toBeGreaterThanOrEqual(445);
});

it('an abort ends every request under way, and leaves nothing behind', async () => {
  await using server = await startServer(() => undefined);
  const stop = new AbortController();
  const client = clientFor(server, { timeoutMs: 60_000 });
  const asked = Array.from({ length: 10 }, () => client.get({ ...ask, signal: stop.signal }));
  const settled = Promise.allSettled(asked);
  while (server.received.length < 4) await sleep(5);
  stop.abort(new Error('stopped'));
  for (const result of await settled) {
    expect(result).toMatchObject({ status: 'rejected', reason: { message: 'stopped' } });
  }
});
