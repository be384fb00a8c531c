import type { ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { clientFor, type Received, sendJson, startServer } from './server.ts';

const TOKEN = 'canary-0f3a-do-not-leak';

const ask = {
  action: 'instance.get',
  path: 'instances/abc',
  query: {},
  signal: new AbortController().signal,
};

function everythingIn(error: unknown): string {
  const shown = inspect(error, { depth: null, showHidden: true, getters: true });
  const { stack, cause } = error as Error;
  return [shown, JSON.stringify(error), String(error), stack, inspect(cause, { depth: null })].join('\n');
}

const failures: Record<string, (request: Received, response: ServerResponse) => void> = {
  'HTTP 401': (_, response) => sendJson(response, { type: 'Unauthorized', message: 'no' }, { status: 401 }),
  'HTTP 403 whose message quotes the token': ({ headers }, response) =>
    sendJson(response, { type: 'Forbidden', message: `bad ${headers.authorization}` }, { status: 403 }),
  'HTTP 500 whose page quotes the token': ({ headers }, response) => {
    response.statusCode = 500;
    response.end(`<html>${headers.authorization}</html>`);
  },
  'a page that quotes the token': ({ headers }, response) =>
    response.end(`<html>${headers.authorization}</html>`),
  'a reset': (_, response) => response.destroy(),
  silence: () => undefined,
  'a redirect': (_, response) => {
    response.writeHead(307, { location: '/elsewhere' });
    response.end();
  },
};

describe('an error never contains the token', () => {
  it.each(Object.keys(failures))('after %s', async (name) => {
    await using server = await startServer((request, response) => failures[name]?.(request, response));
    const client = clientFor(server, { token: TOKEN, attempts: 2, timeoutMs: 200 });
    const error = await client.get(ask).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(everythingIn(error)).not.toContain(TOKEN);
    expect(everythingIn(client)).not.toContain(TOKEN);
  });

  it('when nothing listens', async () => {
    const server = await startServer(() => undefined);
    await server[Symbol.asyncDispose]();
    const error = await clientFor(server, { token: TOKEN })
      .get(ask)
      .catch((reason: unknown) => reason);
    expect(everythingIn(error)).not.toContain(TOKEN);
    expect(everythingIn(error)).toContain('ECONNREFUSED');
  });

  it('when the token cannot be sent as a header', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    const token = `${TOKEN}\nx`;
    const thrown = await Promise.resolve()
      .then(() => clientFor(server, { token }).get(ask))
      .catch((reason: unknown) => reason);
    expect(thrown).toBeInstanceOf(Error);
    expect(everythingIn(thrown)).not.toContain(TOKEN);
  });
});
