/**
 * Questions that no export asks: they find out how an API behaves where its
 * documentation is silent. Reads only, like everything here.
 */
import type { UsageAction } from '../usage/streams/stream.ts';
import type { LosantClient } from './client.ts';

export interface ProbeQuestion {
  readonly instanceId: string;
  /** Null: the counter of the whole instance. */
  readonly orgId: string | null;
  readonly action: UsageAction;
  readonly query: Readonly<Record<string, string>>;
  /** ms since 1970, both as they are sent: not necessarily whole days. */
  readonly startMs: number;
  readonly endMs: number;
  readonly signal: AbortSignal;
}

/** The body as it comes. Throws a `LosantError`. */
export async function askUsage(client: LosantClient, question: ProbeQuestion): Promise<unknown> {
  const { instanceId, orgId, action, query, startMs, endMs, signal } = question;
  const instance = `instances/${encodeURIComponent(instanceId)}`;
  const { body } = await client.get({
    action: `${orgId === null ? 'instance' : 'instanceOrg'}.${action}`,
    path: `${instance}${orgId === null ? '' : `/orgs/${encodeURIComponent(orgId)}`}/${action}`,
    query: { ...query, start: String(startMs), end: String(endMs) },
    signal,
  });
  return body;
}

export interface HeaderQuestion {
  readonly apiUrl: string;
  readonly token: string;
  readonly domain: string | null;
  readonly instanceId: string;
  readonly signal: AbortSignal;
}

/** Name and value of the headers that come with an answer; never one that sets a cookie. */
export async function askHeaders(question: HeaderQuestion): Promise<(readonly [string, string])[]> {
  const { apiUrl, token, domain, instanceId, signal } = question;
  const response = await fetch(`${apiUrl}/instances/${encodeURIComponent(instanceId)}`, {
    headers: {
      authorization: `Bearer ${token}`,
      accept: 'application/json',
      ...(domain === null ? {} : { losantdomain: domain }),
    },
    redirect: 'manual',
    signal,
  });
  await response.body?.cancel();
  return [...response.headers].filter(([name]) => name !== 'set-cookie');
}
