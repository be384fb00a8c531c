import { type SimulatorOptions, startSimulator } from '../../simulator/server.ts';
import { useOpened } from '../opened.ts';

/** 2026-11-24 10:30 UTC, a Tuesday. */
export const NOW = Date.UTC(2026, 10, 24, 10, 30);

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed text if it is JSON, otherwise null. */
  readonly body: unknown;
}

export interface Counts {
  readonly counts: readonly (Readonly<Record<string, number>> & { readonly date: string })[];
}

/** A running platform with a client that holds its full token. */
export interface Platform extends AsyncDisposable {
  readonly url: string;
  readonly instanceId: string;
  readonly token: string;
  /** Sends a GET below the instance. */
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  counts(path: string): Promise<Counts['counts']>;
  send(method: string, path: string, body: unknown): Promise<Answer>;
  /** Sends a GET of a whole path with these headers only. */
  raw(path: string, headers?: Record<string, string>): Promise<Answer>;
  /** Sends a GET below /control, or a POST when a body is given. Rejects if it is refused. */
  control(path: string, body?: unknown): Promise<unknown>;
  /** Returns the path of an organization that has the trait. */
  orgWith(trait: string): Promise<string>;
}

/** Starts 25 organizations at NOW, with everything that is odd about some, unless the options say otherwise. */
export async function startPlatform(options: SimulatorOptions = {}): Promise<Platform> {
  const simulator = await startSimulator({ now: () => NOW, hostile: true, ...options });
  const { url, instanceId, token } = simulator;
  const authorization = `Bearer ${token}`;
  const base = `${url}/instances/${instanceId}`;
  const get = (path: string, headers = {}) =>
    answerOf(`${base}${path}`, { headers: { authorization, ...headers } });
  const control = async (path: string, body?: unknown) => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const answer = await answerOf(`${url}/control/${path}`, init);
    if (answer.status !== 200) throw new Error(answer.text);
    return answer.body;
  };
  return {
    url,
    instanceId,
    token,
    get,
    counts: async (path) => ((await get(path)).body as Counts).counts,
    send: (method, path, body) =>
      answerOf(`${base}${path}`, { method, headers: { authorization }, body: JSON.stringify(body) }),
    raw: (path, headers = {}) => answerOf(`${url}${path}`, { headers }),
    control,
    async orgWith(trait) {
      const { orgs } = (await control('orgs')) as { orgs: { orgId: string; traits: string[] }[] };
      const org = orgs.find(({ traits }) => traits.includes(trait));
      if (org === undefined)
        throw new Error(
          `the instance has the instance has the instance has no organizationsss with ${trait}`,
        );
      return `/orgs/${org.orgId}`;
    },
    [Symbol.asyncDispose]: () => simulator.close(),
  };
}

export function usePlatform(options: SimulatorOptions = {}): Platform {
  return useOpened(
    () => startPlatform(options),
    (opened) => opened[Symbol.asyncDispose](),
  );
}

async function answerOf(url: string, init: RequestInit): Promise<Answer> {
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
