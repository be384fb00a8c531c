import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { expect, it } from 'vitest';
import { startProcess } from '../support/program.ts';
import { CERTIFICATE_FILE } from '../support/tls-proxy.ts';
import { sendJson, startServer } from './server.ts';

const CODE = `
  import { createLosantClient } from '${new URL('../../src/losant/client.ts', import.meta.url).href}';
  import { Gate, Rate } from '${new URL('../../src/losant/rate.ts', import.meta.url).href}';
  const { signal } = new AbortController();
  const outputs = [];
  for (const apiUrl of process.env.API_URLS.split(' ')) {
    const client = createLosantClient({
      apiUrl,
      token: 'canary-token',
      version: '0',
      gate: new Gate({ concurrency: 2, rate: new Rate(100) }),
      timeoutMs: 10_000,
      attempts: 1,
      random: Math.random,
      now: Date.now,
    });
    const request = { action: 'instance.get', path: 'instances/abc', query: {}, signal };
    outputs.push(await client.get(request).then(({ text }) => text, (error) => error.message));
  }
  process.stdout.write(JSON.stringify(outputs));
`;

/** Sends requests from a process with these variables. Returns each body or message of an error. */
async function requestFrom(apiUrls: readonly string[], env: Readonly<Record<string, string>>): Promise<string[]> {
  const args = ['--input-type=module', '-e', CODE];
  const variables = { API_URLS: apiUrls.join(' '), ...env };
  const { code, stdout, stderr } = await startProcess(process.execPath, args, variables).ended;
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as string[];
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

/** Starts a proxy, an API and one with a private certificate, and requests both. */
async function requestBoth(toEnv: (proxy: Proxy) => Readonly<Record<string, string>>) {
  await using api = await startServer((_request, response) => sendJson(response, { fine: true }));
  await using proxy = await startProxy();
  const key = readFileSync(CERTIFICATE_FILE.replace('certificate.pem', 'key.pem'));
  const options = { key, cert: readFileSync(CERTIFICATE_FILE) };
  const secureApi = createTlsServer(options, (_, response) => sendJson(response, { fine: true }));
  const { port } = new URL(await listen(secureApi));
  try {
    const outputs = await requestFrom([api.url, `https://localhost:${port}`], toEnv(proxy));
    expect(api.received).toHaveLength(1);
    return { outputs, tunnels: proxy.tunnels, host: new URL(api.url).host };
  } finally {
    await close(secureApi);
  }
}

const FINE = '{"fine":true}';

it('NODE_USE_ENV_PROXY enables a proxy except for NO_PROXY; NODE_EXTRA_CA_CERTS adds a certificate', async () => {
  const { outputs, tunnels, host } = await requestBoth(({ url }) => ({
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    NO_PROXY: 'localhost',
    NODE_EXTRA_CA_CERTS: CERTIFICATE_FILE,
  }));
  expect(outputs).toEqual([FINE, FINE]);
  expect(tunnels).toEqual([host]);
});

it('without NODE_USE_ENV_PROXY no proxy is used, and without NODE_EXTRA_CA_CERTS a private certificate is rejected', async () => {
  const { outputs, tunnels } = await requestBoth(({ url }) => ({ HTTP_PROXY: url, HTTPS_PROXY: url }));
  const rejection = /^instance.get: connection failed: .*self-signed certificate/;
  expect(outputs).toEqual([FINE, expect.stringMatching(rejection)]);
  expect(tunnels).toEqual([]);
});
