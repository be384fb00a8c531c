import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { createLogger } from '../../src/logger.ts';
import { createHeartbeat } from '../../src/worker/heartbeat.ts';
import { startServer, type TestServer } from '../losant/server.ts';

/** Tells the monitor of one wake-up that went well; what was logged of it. */
async function pingOnce({ url }: TestServer): Promise<string[]> {
  const logged: string[] = [];
  const write = (line: string) => void logged.push(line);
  const logger = createLogger({ level: 'info', pretty: false, destination: { write } });
  await createHeartbeat({ url: `${url}/ping/very-secret`, logger })
    .begin()
    .end(true);
  return logged;
}

test('a ping that fails is sent once more', async () => {
  await using monitor = await startServer((_, response, number) =>
    response.writeHead(number === 1 ? 503 : 200).end(),
  );
  expect(await pingOnce(monitor)).toEqual([]);
  expect(monitor.received.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'GET /ping/very-secret',
    'GET /ping/very-secret',
  ]);
});

test.each<[string, (response: ServerResponse) => void, string]>([
  ['an unknown address', (response) => response.writeHead(404).end('/ping/very-secret'), 'HTTP 404'],
  [
    'a redirect, which is not followed',
    (response) => response.writeHead(302, { location: '/' }).end(),
    'HTTP 302',
  ],
  ['a reset', (response) => response.destroy(), 'no connection'],
])('what fails twice is logged without its address: %s', async (_, answer, reason) => {
  await using monitor = await startServer((_request, response) => answer(response));
  const logged = await pingOnce(monitor);
  expect(logged.map((line): unknown => JSON.parse(line))).toMatchObject([
    { msg: 'heartbeat not delivered', ping: 'success', reason },
  ]);
  expect(logged.join('')).not.toContain('very-secret');
  expect(monitor.received).toHaveLength(2);
});
