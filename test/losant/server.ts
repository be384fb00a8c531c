import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { LosantError } from '../../src/errors.ts';
import { createLosantClient, type GetRequest, type LosantClientOptions } from '../../src/losant/client.ts';
import { Gate } from '../../src/losant/rate.ts';
import { listenOnLoopback } from '../support/ports.ts';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
  /** The body. */
  readonly stream: IncomingMessage;
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly received: ReceivedRequest[];
}

/** Responds to the request with this number, counted from 1. */
type Handler = (request: ReceivedRequest, response: ServerResponse, number: number) => void;

/** Starts a real HTTP server on loopback that records its requests. */
export async function startServer(handler: Handler): Promise<TestServer> {
  const received: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const { method = '', headers } = request;
    const query = Object.fromEntries(url.searchParams);
    const entry = { method, headers, path: url.pathname, query, stream: request };
    received.push(entry);
    handler(entry, response, received.length);
  });
  return {
    url: `http://127.0.0.1:${await listenOnLoopback(server)}`,
    received,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function sendJson(
  response: ServerResponse,
  body: unknown,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** Returns a handler that always responds with this. */
export const respondWith =
  (status: number, body: object, headers: Record<string, string> = {}) =>
  (_: ReceivedRequest, response: ServerResponse): void =>
    sendJson(response, body, { status, headers });

export const INSTANCE_ID = '5c0000000000000000000001';

export const REQUEST: GetRequest = {
  action: 'instanceOrg.deviceCounts',
  path: '/orgs/def/deviceCounts',
  query: { start: '1764028800000' },
  ids: { org: 'def', days: '2025-11-25' },
  signal: new AbortController().signal,
};

/** Creates a client that waits no longer than necessary. */
export function clientFor(server: Pick<TestServer, 'url'>, options: Partial<LosantClientOptions> = {}) {
  return createLosantClient({
    apiUrl: server.url,
    instanceId: INSTANCE_ID,
    token: 'canary-token',
    version: '0',
    gate: new Gate({ concurrency: 4, requestsPerSecond: 1000 }),
    timeoutMs: 2_000,
    attempts: 3,
    now: Date.now,
    backoffMs: 0,
    ...options,
  });
}

/** Returns the error that the promise rejects with, which must be a `LosantError`. */
export async function errorOf(promise: Promise<unknown>): Promise<LosantError> {
  const error: unknown = await promise.catch((reason: unknown) => reason);
  if (error instanceof LosantError) return error;
  throw new Error('not a LosantError', { cause: error });
}
