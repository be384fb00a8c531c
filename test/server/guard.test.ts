import { expect, test } from 'vitest';
import { type AccessPolicy, findRefusal } from '../../src/server/listen.ts';
import { TOKEN } from './pages.ts';

const open: AccessPolicy = { host: '127.0.0.1', token: null };
const locked: AccessPolicy = { ...open, token: TOKEN };
const wide: AccessPolicy = { ...open, host: '0.0.0.0' };
const wideLocked: AccessPolicy = { ...locked, host: '0.0.0.0' };

/** The status of a GET; 200 if it is let in. */
function statusOf(access: AccessPolicy, path: string, headers: Record<string, string> = {}): number {
  const all = { host: '127.0.0.1:9464', ...headers };
  return findRefusal(access, { method: 'GET', url: path, headers: all })?.status ?? 200;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });

test.for([
  ['on this machine without a token, everything', open, '/metrics', {}, 200],
  ['with a token, only who has it', locked, '/metrics', {}, 401],
  ['with a token, the probes too', locked, '/readyz', {}, 200],
  ['by bearer', locked, '/', bearer(TOKEN), 200],
  ['by basic with any user', locked, '/', basic(`anyone:${TOKEN}`), 200],
  ['by basic with an empty user', locked, '/', basic(`:${TOKEN}`), 200],
  ['not by a longer token', locked, '/', bearer(`${TOKEN}x`), 401],
  ['not by a shorter one', locked, '/', bearer(TOKEN.slice(1)), 401],
  ['not by an empty one', locked, '/', { authorization: 'Bearer ' }, 401],
  ['not by the token as user', locked, '/', basic(`${TOKEN}:`), 401],
  ['not by basic without a colon', locked, '/', basic(TOKEN), 401],
  ['not by another scheme', locked, '/', { authorization: `Digest ${TOKEN}` }, 401],
  ['not by the bare token', locked, '/', { authorization: TOKEN }, 401],
  ['not by a query', locked, `/metrics?token=${TOKEN}`, {}, 401],
  ['a probe keeps its query', locked, '/healthz?verbose', {}, 200],
  ['not what only begins like a probe', locked, '/healthz/../metrics', {}, 401],
  ['beyond this machine without a token, the probes', wide, '/healthz', {}, 200],
  ['beyond this machine without a token, nothing else', wide, '/metrics', {}, 403],
  ['and no token opens it', wide, '/metrics', bearer(TOKEN), 403],
  ['beyond this machine with a token, everything', wideLocked, '/metrics', bearer(TOKEN), 200],
] as const)('serves %s', ([, access, path, headers, status]) => {
  expect(statusOf(access, path, headers)).toBe(status);
});

// Beyond loopback nothing but probes is answered without the token, so that any name may be used.
test.for([
  ['localhost', 200, 200],
  ['LOCALHOST:1234', 200, 200],
  ['[::1]:9464', 200, 200],
  ['127.8.8.8', 200, 200],
  ['10.1.2.3:9464', 421, 200],
  ['losant-usage:9464', 421, 200],
  ['evil.example', 421, 200],
  ['127.0.0.1.evil.example', 421, 200],
  ['localhost.', 421, 200],
  ['localhost:99999999', 421, 421],
  ['x:99999', 421, 421],
  ['[:::::]', 421, 421],
  ['10.1.2.3@evil.example', 421, 421],
  ['', 421, 421],
] as const)('called by the name %s: on loopback %i, beyond it %i', ([name, onLoopback, beyond]) => {
  expect(statusOf(open, '/healthz', { host: name })).toBe(onLoopback);
  expect(statusOf(locked, '/', { host: name, ...bearer(TOKEN) })).toBe(onLoopback);
  expect(statusOf(wideLocked, '/', { host: name, ...bearer(TOKEN) })).toBe(beyond);
});
