import ky, { type KyInstance } from 'ky';

export interface ApiOptions {
  /** For example `https://api.losant.com`; may have a path. */
  readonly apiUrl: string;
  readonly instanceId: string;
  readonly token: string;
  /** The domain of a white-label install, sent as the `losantdomain` header. */
  readonly domain?: string | null | undefined;
  readonly version: string;
  /** Limits each attempt, from waiting for a connection to the end of the body. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/**
 * Creates what sends requests below `/instances`. It uses Node's own fetch, so NODE_USE_ENV_PROXY and
 * NODE_EXTRA_CA_CERTS apply. A redirect is not followed, and ends as an error like any other status.
 *
 * It can send any method, so only client.ts, which sends nothing but GET, and admin.ts may import it.
 */
export function createApi({ apiUrl, token, domain, version, timeoutMs }: ApiOptions): KyInstance {
  return ky.create({
    prefix: `${apiUrl.replace(/\/+$/, '')}/instances`,
    headers: {
      accept: 'application/json',
      // A day of an organization has less than 2 kB: decompressing would cost more than it saves.
      'accept-encoding': 'identity',
      authorization: `Bearer ${token}`,
      // A cached response may be from before the end of its day.
      'cache-control': 'no-cache',
      // The official clients of API version 1.30.0, whose schemas this program follows, send this.
      'accept-version': '^1.30.0',
      'user-agent': `losant-usage/${version}`,
      ...(domain == null ? {} : { losantdomain: domain }),
    },
    redirect: 'manual',
    timeout: timeoutMs,
    retry: 0,
  });
}
