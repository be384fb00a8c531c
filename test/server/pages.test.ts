import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { useDisposable } from '../opened.ts';
import { HEALTH, startPages, TOKEN, viewOf } from './pages.ts';

test('every response forbids foreign scripts, framing, sniffing and caching', async () => {
  await using pages = await startPages();
  for (const path of ['/', '/metrics', '/healthz', '/nowhere']) {
    const { headers } = await pages.get(path);
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/);
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-powered-by')).toBeNull();
  }
});

test('a page that fails shows no cause; the log does', async () => {
  const status = () => {
    throw new TypeError('secret detail');
  };
  await using pages = await startPages({ sources: { status } });
  const response = await pages.get('/status.json');
  expect([response.status, await response.text()]).toEqual([500, 'This page failed; see the log\n']);
  expect(pages.logged.join('')).toContain('secret detail');
});

test('still responds when the database is down, and says so', async () => {
  const database = () => Promise.resolve(viewOf(HEALTH, { isUp: false }));
  await using pages = await startPages({ sources: { database } });
  const text = await (await pages.get('/metrics')).text();
  expect(text).toContain('\nlosant_usage_database_up 0\n');
  expect(text).not.toMatch(/^losant_usage_(cells|organizations|gaps|final)/m);
  expect(await (await pages.get('/')).text()).toContain('The status could not be read: the database is not responding');
  expect(await (await pages.get('/status.json')).json()).toMatchObject({ worker: { databaseUp: false } });
});

test('a database that responds but is slow to read is up: the last snapshot stays, with its age', async () => {
  const database = () => Promise.resolve(viewOf(HEALTH, { ageMs: 600_000 }));
  await using pages = await startPages({ sources: { database } });
  const text = await (await pages.get('/metrics')).text();
  expect(text).toContain('\nlosant_usage_database_up 1\n');
  expect(text).toContain('\nlosant_usage_ledger_snapshot_age_seconds 600\n');
  expect(text).toMatch(/^losant_usage_cells\{.*standing="missing"\} 2$/m);
  expect(await (await pages.get('/')).text()).toContain('as of 10 min ago; refreshing it is slow');
  const status = (await (await pages.get('/status.json')).json()) as object;
  expect(status).toMatchObject({ at: HEALTH.at, worker: { databaseUp: true, snapshotAgeMs: 600_000 } });
});

test('requires the token with a challenge, and accepts it', async () => {
  await using pages = await startPages({ token: TOKEN });
  const response = await pages.get('/metrics');
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toContain('Basic realm="losant-usage"');
  expect((await pages.get('/metrics', { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200);
});

describe('a malicious client', () => {
  const pages = useDisposable(startPages);

  const firstLine = (text: string) => text.split('\r\n', 1)[0];
  const host = 'Host: 127.0.0.1\r\n';
  const POST = `POST / HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`;

  /** Expects the server to respond, whatever happened to it before. */
  async function expectAlive(): Promise<void> {
    const response = await pages.get('/healthz', { headers: { connection: 'close' } });
    expect([response.status, await response.text()]).toEqual([200, 'ok\n']);
  }

  test.for([
    ['a method other than GET', POST, 405],
    ['a foreign Host', 'GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n', 421],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['the absolute form', `GET http://evil.example/ HTTP/1.1\r\n${host}\r\n`, 400],
    ['a path that reads like a host', `GET //evil.example/ HTTP/1.1\r\n${host}\r\n`, 400],
    ['a header of 20 KB', `GET / HTTP/1.1\r\n${host}X-Big: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['random bytes', Buffer.from('\x00\xff\xfe\x01 noise \r\n\r\n', 'latin1'), 400],
    ['two requests in one packet', `${POST}GET /healthz HTTP/1.1\r\n${host}\r\n`, 405],
    ['HEAD of a refused path', 'HEAD / HTTP/1.1\r\nHost: evil.example\r\n\r\n', 421],
    ['HEAD of a probe', `HEAD /healthz HTTP/1.1\r\n${host}Connection: close\r\n\r\n`, 200],
  ] as const)('%s gets status %3$i', async ([, message, status]) => {
    const response = await pages.raw(message);
    expect(firstLine(response)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(response).not.toMatch(/node:internal|ok\n/);
    if (message.includes('HEAD')) expect(response).toMatch(/\r\n\r\n$/);
    await expectAlive();
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

  test('a slow request head is cut off, and so is a silent connection', async () => {
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

  test('connections beyond the limit are dropped, and later ones are served again', async () => {
    const sockets: Socket[] = [];
    for (let number = 0; number < 200; number += 1) sockets.push((await pages.open()).socket);
    const countDropped = () => sockets.filter(({ closed }) => closed).length;
    await expect.poll(countDropped).toBeGreaterThanOrEqual(136);
    for (const socket of sockets) socket.destroy();
    await expect.poll(async () => (await pages.get('/healthz').catch(() => null))?.status).toBe(200);
  });
});
