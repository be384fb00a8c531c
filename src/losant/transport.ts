import type { Dispatcher } from 'undici';
import Pool from 'undici/lib/dispatcher/pool.js';
import { AbortWatch } from './abort-watch.ts';
import { Deadlines } from './deadlines.ts';
import { type BodyBounds, Exchange, type Reply } from './exchange.ts';

export interface TransportOptions {
  /** `https://api.losant.com`: scheme, host and port. */
  readonly origin: string;
  /** Sent with each request. */
  readonly headers: Readonly<Record<string, string>>;
  /** Bound on each exchange, from the wait for a connection to the end of the body. */
  readonly timeoutMs: number;
  readonly bounds: BodyBounds;
  /** Most connections: as many as requests may be under way. */
  readonly connections: number;
}

export interface SentRequest {
  readonly method: 'GET' | 'PATCH' | 'DELETE';
  /** With its query, from the slash on. */
  readonly path: string;
  /** JSON text; left out for a request without a body. */
  readonly body?: string;
}

/**
 * Sends requests to one origin and reads their answers to the end. Whatever the
 * method: so only http.ts, which sends nothing but GET, and admin.ts may import it.
 */
export interface Transport {
  /** Resolves whatever happens on the wire; rejects only with the reason of the signal. */
  send(request: SentRequest, signal: AbortSignal): Promise<Reply>;
}

export function createTransport(options: TransportOptions): Transport {
  const { origin, headers, timeoutMs, bounds, connections } = options;
  // A connection is free again only a moment after its answer: without the bound there would be twice as many.
  const dispatcher =
    findProxyDispatcher() ??
    new Pool(origin, { pipelining: 1, connections, keepAliveMaxTimeout: IDLE_MAX_MS });
  const deadlines = new Deadlines(timeoutMs);
  const aborts = new AbortWatch();
  const pairs = Object.entries(headers).flat();
  return {
    send({ method, path, body = null }, signal) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      const exchange = new Exchange(bounds, (ended) => {
        deadlines.delete(ended);
        aborts.delete(signal, ended);
      });
      deadlines.add(exchange);
      aborts.add(signal, exchange);
      dispatcher.dispatch({ origin, path, method, body, headers: pairs, ...NO_TIMERS }, exchange);
      return exchange.reply;
    },
  };
}

/** However long the server would keep an idle connection: each run has its own, and is not to leave them behind. */
const IDLE_MAX_MS = 4_000;

/** The bound on the whole exchange is enough. */
const NO_TIMERS = { headersTimeout: 0, bodyTimeout: 0 };

/**
 * Node's own dispatcher for HTTP_PROXY, HTTPS_PROXY and NO_PROXY, which it sets up
 * for NODE_USE_ENV_PROXY or --use-env-proxy; null where neither is given.
 */
function findProxyDispatcher(): Dispatcher | null {
  const dispatcher = (globalThis as Record<symbol, unknown>)[Symbol.for('undici.globalDispatcher.1')];
  const isForProxies = dispatcher?.constructor.name === 'EnvHttpProxyAgent';
  return isForProxies ? (dispatcher as Dispatcher) : null;
}
