import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { listenOnLoopback } from '../support/ports.ts';
import { startProcess } from '../support/program.ts';
import { CERTIFICATE_FILE } from '../support/tls-proxy.ts';
import { sendJson, startServer } from './server.ts';

const CODE = `
  import { createLosantClient } from '${new URL('../../src/losant/client.ts', import.meta.url).href}';
  import { Gate } from '${new URL('../../src/losant/rate.ts', import.meta.url).href}';
  const { signal } = new AbortController();
  const gate = new Gate({ concurrency: 2, requestsPerSecond: 100 });
  const options = { instanceId: 'abc', token: 'canary-token', version: '0', gate, timeoutMs: 10_000, attempts: 1 };
  const outputs = [];
  for (const apiUrl of process.env.API_URLS.split(' ')) {
    const client = createLosantClient({ ...options, apiUrl, now: Date.now });
    const request = { action: 'instance.get', path: '', signal };
    outputs.push(await client.get(request).then(({ text }) => text, (error) => error.message));
  }
  process.stdout.write(JSON.stringify(outputs));
`;

/** Sends requests from a process with these variables. Returns each body or message of an error. */
async function requestFrom(env: Readonly<Record<string, string>>): Promise<string[]> {
  const { code, stdout, stderr } = await startProcess(process.execPath, ['--input-type=module', '-e', CODE], env).ended;
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}

/** Starts a proxy that records the hosts to which it connects. */
async function startProxy() {
  const tunnels: string[] = [];
  const server = createServer().on('connect', (request, socket) => {
    tunnels.push(request.url ?? '');
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const target = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    for (const end of [target, socket]) end.on('error', () => end.destroy());
  });
  const url = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  onTestFinished(() => void server.close());
  return { url, tunnels };
}

it('NODE_USE_ENV_PROXY enables a proxy except for NO_PROXY, NODE_EXTRA_CA_CERTS adds a certificate; neither is used otherwise', async () => {
  await using api = await startServer((_request, response) => sendJson(response, { fine: true }));
  const key = readFileSync(CERTIFICATE_FILE.replace('certificate.pem', 'key.pem'));
  const options = { key, cert: readFileSync(CERTIFICATE_FILE) };
  const secureApi = createTlsServer(options, (_, response) => sendJson(response, { fine: true }));
  onTestFinished(() => void secureApi.close());
  const urls = { API_URLS: `${api.url} https://localhost:${await listenOnLoopback(secureApi)}` };
  const [proxy, unused] = [await startProxy(), await startProxy()];
  const through = ({ url }: { readonly url: string }) => ({ ...urls, HTTP_PROXY: url, HTTPS_PROXY: url });
  const trust = { NODE_USE_ENV_PROXY: '1', NO_PROXY: 'localhost', NODE_EXTRA_CA_CERTS: CERTIFICATE_FILE };
  const outputs = await requestFrom({ ...through(proxy), ...trust });
  const defaults = await requestFrom(through(unused));
  const fine = '{"fine":true}';
  expect(outputs).toEqual([fine, fine]);
  expect(proxy.tunnels).toEqual([new URL(api.url).host]);
  const rejection = /^instance.get: connection failed: .*self-signed certificate/;
  expect(defaults).toEqual([fine, expect.stringMatching(rejection)]);
  expect(unused.tunnels).toEqual([]);
});
