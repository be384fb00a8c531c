import ky from 'ky';
import { acceptedEncodings } from './decode.ts';
import type { BodyBounds, Reply } from './exchange.ts';
import { createTransport } from './transport.ts';

export interface HttpOptions {
  /** E.g. `https://api.losant.com`; may have a path. */
  readonly apiUrl: string;
  readonly token: string;
  readonly domain?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly timeoutMs: number;
  readonly bounds: BodyBounds;
  /** Most connections. */
  readonly connections: number;
}

/** Sends one GET at a time over and over, each once: retries are decided above. */
export interface Http {
  /** `path` with its query, below the API URL. Rejects only with the reason of the signal. */
  get(path: string, signal: AbortSignal): Promise<Reply>;
}

/**
 * Every request goes through ky, which is given a fetch of our own: it reads the
 * whole body within one bound on time and one on size, and hands back only what
 * is needed of it. ky never sees the token.
 */
export function createHttp(options: HttpOptions): Http {
  const { apiUrl, timeoutMs, bounds, connections } = options;
  const { origin, protocol } = new URL(apiUrl);
  const base = apiUrl.replace(/\/+$/, '');
  const transport = createTransport({
    origin,
    headers: headersFor(options, protocol),
    timeoutMs,
    bounds,
    connections,
  });
  const send = ky.create({ retry: 0, timeout: false, throwHttpErrors: false });
  return {
    async get(path, signal) {
      let reply: Reply | null = null;
      const fetch = async (input: unknown) => {
        const { method, url } = input as Request;
        if (method !== 'GET') throw new Error(`${method} is never sent`);
        reply = await transport.send({ method, path: url.slice(origin.length) }, signal);
        // ky hands on what it does not take for a Response.
        return reply as unknown as Response;
      };
      try {
        await send(`${base}/${path}`, { fetch });
      } catch (cause) {
        signal.throwIfAborted();
        return { status: null, headers: {}, body: EMPTY, end: 'broken', cause };
      }
      return reply as unknown as Reply;
    },
  };
}

const EMPTY = Buffer.alloc(0);

/** Keeps bodies small: hypermedia that this program does not follow is left out. */
export const QUERY_FOR_ALL = '_actions=false&_links=false&_embedded=false';

/** Sent with every request to an API of this protocol. */
export function headersFor(
  { token, domain, userAgent }: Pick<HttpOptions, 'token' | 'domain' | 'userAgent'>,
  protocol: string,
): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    accept: 'application/json',
    'accept-encoding': acceptedEncodings(protocol),
    // Sent by the official clients of the API version whose schemas this program follows.
    'accept-version': '^1.30.0',
    'user-agent': userAgent ?? 'losant-usage-export',
    ...(domain === undefined ? {} : { losantdomain: domain }),
  };
}
