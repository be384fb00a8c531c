import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Pages, startPages } from './pages.ts';

let pages: Pages;

beforeAll(async () => {
  pages = await startPages();
});
afterAll(async () => {
  await pages[Symbol.asyncDispose]();
});

const firstLine = (text: string) => text.split('\r\n', 1)[0];
const host = 'Host: 127.0.0.1\r\n';

/** Whatever was done to it before, the server goes on answering. */
async function expectAlive(): Promise<void> {
  const response = await pages.get('/healthz', { headers: { connection: 'close' } });
  expect([response.status, await response.text()]).toEqual([200, 'ok\n']);
}

test.for([
  ['a method that changes things', `POST / HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`, 405],
  ['a foreign Host', 'GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n', 421],
  ['a Host with a user in it', 'GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n', 421],
  ['a Host with a port that is none', 'GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n', 421],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['the absolute form', `GET http://evil.example/ HTTP/1.1\r\n${host}\r\n`, 400],
  ['a path that reads like a host', `GET //evil.example/ HTTP/1.1\r\n${host}\r\n`, 400],
  ['a header of 20 KB', `GET / HTTP/1.1\r\n${host}X-Big: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ['noise', Buffer.from('\x00\xff\xfe\x01 noise \r\n\r\n', 'latin1'), 400],
] as const)('%s is refused', async ([, message, status]) => {
  const answer = await pages.raw(message);
  expect(firstLine(answer)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(answer).not.toContain('node:internal');
  await expectAlive();
});

test('what follows a refused request in the same packet is not answered', async () => {
  const answer = await pages.raw(
    `POST / HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\nGET /healthz HTTP/1.1\r\n${host}\r\n`,
  );
  expect(firstLine(answer)).toBe('HTTP/1.1 405 Method Not Allowed');
  expect(answer).not.toContain('ok\n');
});

test('clients that go away in the middle leave nothing behind', async () => {
  for (const message of ['GET / HT', `GET / HTTP/1.1\r\n${host}`, `GET /metrics HTTP/1.1\r\n${host}\r\n`]) {
    const { socket, closed } = await pages.open();
    socket.write(message);
    socket.resetAndDestroy();
    await closed;
  }
  await expectAlive();
  expect(pages.logged.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

test('HEAD is answered without a body, refused or not', async () => {
  const good = await pages.raw(`HEAD /healthz HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
  expect([firstLine(good), good.endsWith('\r\n\r\n')]).toEqual(['HTTP/1.1 200 OK', true]);
  const refused = await pages.raw('HEAD / HTTP/1.1\r\nHost: evil.example\r\n\r\n');
  expect([firstLine(refused), refused.endsWith('\r\n\r\n')]).toEqual([
    'HTTP/1.1 421 Misdirected Request',
    true,
  ]);
});

describe('clients that take their time', () => {
  test('a head sent a byte at a time is cut off, and so is a connection that says nothing', async () => {
    const slow = await pages.open();
    const silent = await pages.open();
    slow.socket.write('GET / HTTP/1.1\r\n');
    const drip = setInterval(() => slow.socket.write('X: y\r\n'), 200);
    await slow.closed;
    clearInterval(drip);
    expect(firstLine(slow.text())).toBe('HTTP/1.1 408 Request Timeout');
    await silent.closed;
    await expectAlive();
  });

  test('more connections than are served at once are dropped, and the next one is served again', async () => {
    const sockets: Socket[] = [];
    for (let number = 0; number < 200; number += 1) sockets.push((await pages.open()).socket);
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = setInterval(() => {
      if (sockets.filter((socket) => socket.closed).length >= 136) resolve();
    }, 20);
    await promise;
    clearInterval(check);
    for (const socket of sockets) socket.destroy();
    await expect.poll(async () => (await pages.get('/healthz').catch(() => null))?.status).toBe(200);
  });
});
