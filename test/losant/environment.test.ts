import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startProcess } from '../support/program.ts';
import { CERTIFICATE_FILE } from '../support/tls-proxy.ts';
import { sendJson, startServer } from './server.ts';

const CODE = `
  import { createLosantClient } from '${new URL('../../src/losant/client.ts', import.meta.url).href}';
  import { Gate } from '${new URL('../../src/losant/rate.ts', import.meta.url).href}';
  import { Rate } from '${new URL('../../src/losant/rate.ts', import.meta.url).href}';
  const client = createLosantClient({
    apiUrl: process.env.API_URL,
    token: 'canary-token',
    version: '0',
    gate: new Gate({ concurrency: 2, rate: new Rate(100) }),
    timeoutMs: 10_000,
    attempts: 1,
    random: Math.random,
    now: Date.now,
  });
  const signal = new AbortController().signal;
  const request = { action: 'instance.get', path: 'instances/abc', query: {}, signal };
  const output = await client.get(request).then(({ text }) => text, (error) => error.message);
  process.stdout.write(output);
`;

/** Sends a request from a process with these variables. Returns the body or the message of the error. */
async function requestFrom(env: Readonly<Record<string, string>>): Promise<string> {
  const { code, stdout, stderr } = await startProcess(process.execPath, ['--input-type=module', '-e', CODE], env).ended;
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

interface Proxy extends AsyncDisposable {
  readonly url: string;
  /** The hosts to which it has connected. */
  readonly tunnels: string[];
}

async function startProxy(): Promise<Proxy> {
  const tunnels: string[] = [];
  const server = createServer();
  server.on('connect', (request, socket) => {
    tunnels.push(request.url ?? '');
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const target = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    for (const end of [target, socket]) end.on('error', () => end.destroy());
  });
  return { url: await listen(server), tunnels, [Symbol.asyncDispose]: () => close(server) };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

describe('a proxy', () => {
  it.each<[string, number, Record<string, string>]>([
    ['is used if NODE_USE_ENV_PROXY is set', 1, { NODE_USE_ENV_PROXY: '1' }],
    ['is not used for hosts in NO_PROXY', 0, { NODE_USE_ENV_PROXY: '1', NO_PROXY: '127.0.0.1' }],
    ['is not used without NODE_USE_ENV_PROXY', 0, {}],
  ])('%s', async (_, tunnels, env) => {
    await using server = await startServer((_request, response) => sendJson(response, { fine: true }));
    await using proxy = await startProxy();
    const output = await requestFrom({ API_URL: server.url, HTTP_PROXY: proxy.url, ...env });
    expect(output).toBe('{"fine":true}');
    expect(proxy.tunnels).toEqual(Array(tunnels).fill(new URL(server.url).host));
    expect(server.received).toHaveLength(1);
  });
});

describe('a server with a private certificate', () => {
  async function requestTls(env: Readonly<Record<string, string>>): Promise<string> {
    const key = readFileSync(CERTIFICATE_FILE.replace('certificate.pem', 'key.pem'));
    const options = { key, cert: readFileSync(CERTIFICATE_FILE) };
    const server = createTlsServer(options, (_, response) => sendJson(response, { fine: true }));
    const { port } = new URL(await listen(server));
    try {
      return await requestFrom({ API_URL: `https://localhost:${port}`, ...env });
    } finally {
      await close(server);
    }
  }

  it('is rejected unless NODE_EXTRA_CA_CERTS contains it', async () => {
    expect(await requestTls({})).toMatch(/^instance.get: connection failed: .*self-signed certificate/);
    expect(await requestTls({ NODE_EXTRA_CA_CERTS: CERTIFICATE_FILE })).toBe('{"fine":true}');
  });
});
