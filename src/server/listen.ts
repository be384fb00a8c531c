import { hash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { SCRIPT_SOURCE } from '../console/page.ts';
import { STYLE_SOURCE } from '../console/style.ts';
import { AppError, codeOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Config } from '../settings/config.ts';
import { isLoopback } from '../settings/kinds.ts';

/** The address that the server listens on, and the token that it requires; null if none is set. */
export type AccessPolicy = Readonly<Pick<Config['http'], 'host' | 'token'>>;

/** Port 0 picks a free one. */
type ListenOptions = Readonly<Config['http']> & { readonly logger: Logger };

export type Listening = Awaited<ReturnType<typeof listen>>;

const LIMITS = {
  // A request head fits one or two packets; a slower client only occupies a connection.
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8 * 1024,
};
/** The longest time without a byte on a connection, in either direction, unless the app works on a response. */
const IDLE_TIMEOUT_MS = 15_000;
/** A monitor and some readers need few connections, and more would only cost memory. */
const MAX_CONNECTIONS = 64;

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
 * `settings` if it cannot be used. Slow, oversized and malformed requests get an error response or are cut off.
 */
export async function listen(app: Hono, options: ListenOptions) {
  const { logger } = options;
  const respond = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    errorHandler: () => new Response('This request failed\n', { status: 500 }),
  });
  const server = createServer(LIMITS, (request, response) => {
    if (!admit(options, request, response)) return;
    // Whoever waits for the first byte is not idle: the app limits how long that takes.
    response.on('timeout', () => {
      if (response.headersSent) request.socket.destroy();
    });
    respond(request, response).catch((error: unknown) => {
      logger.error({ err: error }, 'response failed');
      response.destroy();
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = IDLE_TIMEOUT_MS;
  await startListening(server, options);
  server.on('error', (error) => logger.error({ err: error }, 'http server failed'));
  return {
    port: (server.address() as AddressInfo).port,
    /** Stops accepting connections and drops the open ones. */
    close: async () => {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Returns whether the app may handle a request; any other has been rejected. */
function admit(policy: AccessPolicy, request: IncomingMessage, response: ServerResponse): boolean {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const rejection = findRejection(policy, request);
  if (rejection === null) return true;
  // Closing the connection also avoids reading a body that follows.
  const plain = { 'content-type': 'text/plain; charset=utf-8', connection: 'close' };
  response.writeHead(rejection.status, { ...rejection.headers, ...plain });
  response.end(request.method === 'HEAD' ? undefined : rejection.text);
  return false;
}

const ADDRESS_HINT =
  'start again once this machine has that address, or correct HTTP_HOST; 0.0.0.0 means every address';

/** The errors that may resolve without a change of settings, each with its hint. */
const TRANSIENT: Readonly<Record<string, string>> = {
  EADDRINUSE: 'choose another HTTP_PORT (0 turns the server off), or stop the process that uses it',
  EADDRNOTAVAIL: ADDRESS_HINT,
  ENOTFOUND: ADDRESS_HINT,
  EAI_AGAIN: ADDRESS_HINT,
};

async function startListening(server: Server, { host, port }: ListenOptions): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = codeOf(error) ?? 'unknown error';
    const kind = Object.hasOwn(TRANSIENT, code) ? 'port_in_use' : 'settings';
    const hint = TRANSIENT[code] ?? 'choose another HTTP_HOST or HTTP_PORT (0 turns the server off)';
    const message = `Cannot listen on HTTP_HOST ${host}, HTTP_PORT ${port}: ${code}`;
    throw new AppError(kind, message, { hint, cause: error });
  }
}

type HttpRejection = ReturnType<typeof toRejection>;

/** The probes of orchestrators, which reveal only whether the process is up and ready. */
const PROBES: readonly string[] = ['/healthz', '/readyz'];

type RequestHead = Pick<IncomingMessage, 'method' | 'url' | 'headers'>;

/** Decides from the head of a request why it is rejected; null if it is not. */
export function findRejection(policy: AccessPolicy, head: RequestHead): HttpRejection | null {
  const { url = '', method = '', headers } = head;
  // URL parsers read a backslash as a slash, and what follows two slashes as a host.
  if (!url.startsWith('/') || /^\/[/\\]/.test(url)) return toRejection(400, 'The request path is not valid');
  if (!isAllowedHost(policy, headers.host ?? ''))
    return toRejection(421, 'Host not served; use 127.0.0.1 or localhost');
  if (method !== 'GET' && method !== 'HEAD') {
    return toRejection(405, 'Only GET and HEAD are supported', { allow: 'GET, HEAD' });
  }
  const isAdmitted = isAuthorized(policy, headers.authorization);
  return isAdmitted || PROBES.includes(url.split('?', 1)[0] ?? '') ? null : toTokenRejection(policy);
}

/**
 * Returns whether the Host header is allowed. A server on loopback may need no token, so it accepts only loopback
 * names: a page of another site could otherwise read from it, by pointing its own name here. Elsewhere any name will
 * do, because without a token only the probes are served.
 */
function isAllowedHost({ host }: AccessPolicy, hostHeader: string): boolean {
  const [, name] = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(hostHeader) ?? [];
  // The app would fail on a host that no URL can contain, such as one with port 99999.
  if (name === undefined || !URL.canParse(`http://${hostHeader}`)) return false;
  return isLoopback(name) || !isLoopback(host);
}

/** Returns whether a request has the token, or comes from this machine if none is set. */
function isAuthorized({ host, token }: AccessPolicy, authorization: string | undefined): boolean {
  if (token === null) return isLoopback(host);
  const credential = parseCredential(authorization ?? '');
  // Hashes have equal lengths, which the comparison in constant time needs.
  return credential !== null && timingSafeEqual(hash('sha256', credential, 'buffer'), hash('sha256', token, 'buffer'));
}

/** Returns the token of `Bearer`, or the password of `Basic` with any user name. */
function parseCredential(authorization: string): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (bearer !== undefined) return bearer;
  const basic = /^Basic +([\w+/=-]+) *$/i.exec(authorization)?.[1];
  if (basic === undefined) return null;
  const pair = Buffer.from(basic, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon === -1 ? null : pair.slice(colon + 1);
}

function toTokenRejection({ token }: AccessPolicy): HttpRejection {
  const text = 'HTTP_TOKEN is not set, so only the health probes are served to other machines';
  if (token === null) return toRejection(403, text);
  return toRejection(401, 'Missing or invalid token', {
    'www-authenticate': 'Basic realm="losant-usage", charset="UTF-8", Bearer realm="losant-usage"',
  });
}

function toRejection(status: number, text: string, headers: Readonly<Record<string, string>> = {}) {
  return { status, text: `${text}\n`, headers };
}
