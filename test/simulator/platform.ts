import { type SimulatorOptions, startSimulator } from '../../simulator/server.ts';
import { useDisposable } from '../opened.ts';

/** 2026-11-24 10:30 UTC, a Tuesday. */
export const NOW = Date.UTC(2026, 10, 24, 10, 30);

interface Response {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed text; null if it is not JSON. */
  readonly body: unknown;
}

export interface Counts {
  readonly counts: readonly (Readonly<Record<string, number>> & { readonly date: string })[];
}

/** A running platform with a client that uses the token with full access. */
export interface Platform extends AsyncDisposable {
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  /** Sends a GET to a path below the instance. */
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  counts(path: string): Promise<Counts['counts']>;
  send(method: string, path: string, body: unknown): Promise<Response>;
  /** Sends a GET to any path, with only these headers. */
  raw(path: string, headers?: Record<string, string>): Promise<Response>;
  /** Sends a GET to a path below /control, or a POST if there is a body. Rejects unless the status is 200. */
  control(path: string, body?: unknown): Promise<unknown>;
  orgWith(trait: string): Promise<string>;
}

/** Starts a platform with 25 organizations at NOW; some of them are unusual, unless the options turn that off. */
export async function startPlatform(options: SimulatorOptions = {}): Promise<Platform> {
  const simulator = await startSimulator({ now: () => NOW, hostile: true, ...options });
  const { url, instanceId, token } = simulator;
  const authorization = `Bearer ${token}`;
  const base = `${url}/instances/${instanceId}`;
  const get = (path: string, headers = {}) => request(`${base}${path}`, { headers: { authorization, ...headers } });
  const control = async (path: string, body?: unknown) => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const response = await request(`${url}/control/${path}`, init);
    if (response.status !== 200) throw new Error(response.text);
    return response.body;
  };
  return {
    url,
    instanceId,
    token,
    get,
    counts: async (path) => ((await get(path)).body as Counts).counts,
    send: (method, path, body) =>
      request(`${base}${path}`, { method, headers: { authorization }, body: JSON.stringify(body) }),
    raw: (path, headers = {}) => request(`${url}${path}`, { headers }),
    control,
    async orgWith(trait) {
      const { orgs } = (await control('orgs')) as { orgs: { orgId: string; traits: string[] }[] };
      const org = orgs.find(({ traits }) => traits.includes(trait));
      if (org === undefined) throw new Error(`no organization has the trait ${trait}`);
      return `/orgs/${org.orgId}`;
    },
    [Symbol.asyncDispose]: () => simulator.close(),
  };
}

export function usePlatform(options: SimulatorOptions = {}): Platform {
  return useDisposable(() => startPlatform(options));
}

async function request(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, { redirect: 'manual', ...init });
  const { status, headers } = response;
  const text = await response.text();
  const isJson = headers.get('content-type')?.includes('json') === true;
  return { status, headers, text, body: isJson ? (JSON.parse(text) as unknown) : null };
}

/** Returns `start` and `end` of whole UTC days, both inclusive. */
export function days(from: string, to = from): string {
  return `start=${Date.parse(`${from}T00:00:00.000Z`)}&end=${Date.parse(`${to}T23:59:59.999Z`)}`;
}
