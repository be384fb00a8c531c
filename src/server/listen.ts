import { hash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { SCRIPT_SOURCE } from '../console/page.ts';
import { STYLE_SOURCE } from '../console/style.ts';
import { AppError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { isLoopback } from '../settings/kinds.ts';

/** The address at which the server listens, and the token that it asks of readers; null if it is not set. */
export interface Access {
  readonly host: string;
  readonly token: string | null;
}

export interface ListenOptions extends Access {
  /** The port; 0 takes a free one. */
  readonly port: number;
  readonly logger: Logger;
}

export interface Listening {
  readonly port: number;
  /** Accepts no more connections and drops the open ones. */
  close(): Promise<void>;
}

const LIMITS = {
  // A head comes in one packet or two; a slower client only occupies a connection.
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8 * 1024,
};
/** The longest time in which nothing moves on a connection, in either direction. */
const SILENCE_MS = 15_000;
/** The most connections: a monitor and some readers need few, and more would only cost memory. */
const CONNECTIONS_MAX = 64;

const HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': [
    `default-src 'none'; style-src ${STYLE_SOURCE}; script-src ${SCRIPT_SOURCE}; img-src 'self'`,
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/**
 * Serves the app behind the guard. Throws AppError `port_in_use` if the port is taken or the address is not up, and
 * `settings` if it cannot be used. Slow, oversized and malformed requests end in an error answer or a closed
 * connection.
 */
export async function listen(app: Hono, options: ListenOptions): Promise<Listening> {
  const { logger } = options;
  const answer = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    errorHandler: () => new Response('This request failed\n', { status: 500 }),
  });
  const server = createServer(LIMITS, (request, response) => {
    if (!admit(options, request, response)) return;
    answer(request, response).catch((error: unknown) => {
      logger.error({ err: error }, 'response failed');
      response.destroy();
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.timeout = SILENCE_MS;
  await begin(server, options);
  server.on('error', (error) => logger.error({ err: error }, 'http server failed'));
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Returns whether a request is to be answered; it has been refused otherwise. */
function admit(access: Access, request: IncomingMessage, response: ServerResponse): boolean {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const refusal = refuse(access, request);
  if (refusal === null) return true;
  // Closing the connection also avoids reading a body that follows.
  const plain = { 'content-type': 'text/plain; charset=utf-8', connection: 'close' };
  response.writeHead(refusal.status, { ...refusal.headers, ...plain });
  response.end(request.method === 'HEAD' ? undefined : refusal.text);
  return false;
}

const NOT_UP =
  'start again once this machine has that address, or correct HTTP_HOST; 0.0.0.0 means every address';

/** The reasons not to listen that may pass by themselves, each with what to do. */
const TRANSIENT: Readonly<Record<string, string>> = {
  EADDRINUSE: 'choose another HTTP_PORT (0 turns the server off), or stop the process that uses it',
  EADDRNOTAVAIL: NOT_UP,
  ENOTFOUND: NOT_UP,
  EAI_AGAIN: NOT_UP,
};

async function begin(server: Server, { host, port }: ListenOptions): Promise<void> {
  server.listen(port, host.replace(/^\[|\]$/g, ''));
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    // A port may become free, and an address or name come up, by itself.
    const kind = Object.hasOwn(TRANSIENT, code) ? 'port_in_use' : 'settings';
    const hint = TRANSIENT[code] ?? 'choose another HTTP_HOST or HTTP_PORT (0 turns the server off)';
    const message = `Cannot listen on HTTP_HOST ${host}, HTTP_PORT ${port}: ${code}`;
    throw new AppError(kind, message, { hint, cause: error });
  }
}

export interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Probes of orchestrators, which reveal nothing but up or down. */
const PROBES: readonly string[] = ['/healthz', '/readyz'];

export type RequestHead = Pick<IncomingMessage, 'method' | 'url' | 'headers'>;

/** Returns the reason why a request is not answered, or null, from its head alone. */
export function refuse(access: Access, head: RequestHead): Refusal | null {
  const { url = '', method = '', headers } = head;
  // A URL takes a backslash for a slash, and what follows two of them for a host.
  if (!url.startsWith('/') || /^\/[/\\]/.test(url)) return refusal(400, 'The request path is not valid');
  if (!isAllowedHost(access, headers.host ?? '')) return refusal(421, 'Host not served here');
  if (method !== 'GET' && method !== 'HEAD') {
    return refusal(405, 'Only GET and HEAD are supported', { allow: 'GET, HEAD' });
  }
  const isKnown = isAuthorized(access, headers.authorization);
  return isKnown || PROBES.includes(url.split('?', 1)[0] ?? '') ? null : requireToken(access);
}

/**
 * Returns whether a request may call the server by this name. On loopback, where no token may be needed, only its own
 * names are served, against pages of other sites that let theirs point here. Elsewhere, whoever has no token gets
 * nothing but the probes under any name.
 */
function isAllowedHost({ host }: Access, given: string): boolean {
  const [, name] = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(given) ?? [];
  // A host that no URL can contain, such as a port of 99999, would fail as one in the app.
  if (name === undefined || !URL.canParse(`http://${given}`)) return false;
  return isLoopback(name) || !isLoopback(host);
}

/** Admits requests with the token; without a token set, those from this machine. */
function isAuthorized({ host, token }: Access, authorization: string | undefined): boolean {
  if (token === null) return isLoopback(host);
  const presented = readCredentials(authorization ?? '');
  // Hashes have one length and are compared in constant time, so that the duration reveals nothing.
  return (
    presented !== null &&
    timingSafeEqual(hash('sha256', presented, 'buffer'), hash('sha256', token, 'buffer'))
  );
}

/** Returns the token of `Bearer`, or the password of `Basic` with any user name. */
function readCredentials(authorization: string): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (bearer !== undefined) return bearer;
  const basic = /^Basic +([\w+/=-]+) *$/i.exec(authorization)?.[1];
  if (basic === undefined) return null;
  const pair = Buffer.from(basic, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon === -1 ? null : pair.slice(colon + 1);
}

function requireToken({ token }: Access): Refusal {
  const text = 'HTTP_TOKEN is not set, so only the health probes are served to other machines';
  if (token === null) return refusal(403, text);
  return refusal(401, 'Missing or invalid token', {
    'www-authenticate': 'Basic realm="losant-usage", charset="UTF-8", Bearer realm="losant-usage"',
  });
}

function refusal(status: number, text: string, headers: Record<string, string> = {}): Refusal {
  return { status, text: `${text}\n`, headers };
}
