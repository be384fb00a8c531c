import { expect, test } from 'vitest';
import { type AccessPolicy, findRejection } from '../../src/server/listen.ts';
import { TOKEN } from './pages.ts';

const open: AccessPolicy = { host: '127.0.0.1', token: null };
const locked: AccessPolicy = { ...open, token: TOKEN };
const wide: AccessPolicy = { ...open, host: '0.0.0.0' };
const wideLocked: AccessPolicy = { ...locked, host: '0.0.0.0' };

/** Returns the status of a GET request; 200 if it is not refused. */
function statusOf(policy: AccessPolicy, path: string, headers: Record<string, string> = {}): number {
  const all = { host: '127.0.0.1:9464', ...headers };
  return findRejection(policy, { method: 'GET', url: path, headers: all })?.status ?? 200;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });

test.for([
  ['without a token on loopback, everything', open, '/metrics', {}, 200],
  ['with a token, nothing to a request without it', locked, '/metrics', {}, 401],
  ['with a token, the probes without it', locked, '/readyz', {}, 200],
  ['the token as bearer', locked, '/', bearer(TOKEN), 200],
  ['the token as a password with any user', locked, '/', basic(`anyone:${TOKEN}`), 200],
  ['no longer token', locked, '/', bearer(`${TOKEN}x`), 401],
  ['no shorter token', locked, '/', bearer(TOKEN.slice(1)), 401],
  ['no empty token', locked, '/', { authorization: 'Bearer ' }, 401],
  ['no token as the user', locked, '/', basic(`${TOKEN}:`), 401],
  ['no credentials without a colon', locked, '/', basic(TOKEN), 401],
  ['no other scheme', locked, '/', { authorization: `Digest ${TOKEN}` }, 401],
  ['no token without a scheme', locked, '/', { authorization: TOKEN }, 401],
  ['no token in the query', locked, `/metrics?token=${TOKEN}`, {}, 401],
  ['a probe with a query', locked, '/healthz?verbose', {}, 200],
  ['no path that only begins like a probe', locked, '/healthz/../metrics', {}, 401],
  ['without a token on the network, the probes', wide, '/healthz', {}, 200],
  ['without a token on the network, nothing else', wide, '/metrics', {}, 403],
  ['without a token on the network, no request with one', wide, '/metrics', bearer(TOKEN), 403],
  ['with a token on the network, everything', wideLocked, '/metrics', bearer(TOKEN), 200],
] as const)('serves %s', ([, policy, path, headers, status]) => {
  expect(statusOf(policy, path, headers)).toBe(status);
});

// On the network only probes are served without the token, so any name will do.
test.for([
  ['localhost', 200, 200],
  ['LOCALHOST:1234', 200, 200],
  ['[::1]:9464', 200, 200],
  ['127.8.8.8', 200, 200],
  ['10.1.2.3:9464', 421, 200],
  ['losant-usage:9464', 421, 200],
  ['127.0.0.1.evil.example', 421, 200],
  ['localhost.', 421, 200],
  ['localhost:99999999', 421, 421],
  ['[:::::]', 421, 421],
  ['10.1.2.3@evil.example', 421, 421],
  ['', 421, 421],
] as const)('the Host %s gets %i on loopback and %i on the network', ([name, onLoopback, onNetwork]) => {
  expect(statusOf(open, '/healthz', { host: name })).toBe(onLoopback);
  expect(statusOf(locked, '/', { host: name, ...bearer(TOKEN) })).toBe(onLoopback);
  expect(statusOf(wideLocked, '/', { host: name, ...bearer(TOKEN) })).toBe(onNetwork);
});
