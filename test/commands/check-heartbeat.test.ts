/** Whether the monitor of HEARTBEAT_URL answers: asked without telling it anything. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkHeartbeat } from '../../src/cli/check.ts';

let server: Server;
let status = 200;
const asked: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterAll(() => server.close());

const urlOf = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/ping/canary`;

test('a monitor that answers is asked by the address that changes no state', async () => {
  expect(await checkHeartbeat(urlOf())).toEqual({ message: 'the monitor answers' });
  expect(asked).toEqual(['GET /ping/canary/log']);
});

test('one that answers with an error is something to look at, as another convention may be its own', async () => {
  status = 404;
  expect(await checkHeartbeat(urlOf())).toMatchObject({
    message: 'the monitor answers HTTP 404',
    hint: expect.stringContaining('/log'),
  });
});

test('one that does not answer is a failure, and its address is not shown', async () => {
  const refused = checkHeartbeat('http://127.0.0.1:1/ping/canary');
  await expect(refused).rejects.toMatchObject({
    kind: 'invalid',
    message: 'the monitor of HEARTBEAT_URL does not answer: no connection',
  });
});
