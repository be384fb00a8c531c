import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { isLoopback } from '../settings/kinds.ts';

/** The address at which the server listens, and the credentials it asks of readers. */
export interface Access {
  readonly host: string;
  /** The name of this machine, by which it may be addressed beyond loopback. */
  readonly hostname: string;
  /** The SHA-256 of HTTP_TOKEN; null if it is not set. */
  readonly tokenHash: Buffer | null;
}

export interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Probes of orchestrators, which reveal nothing but up or down. */
const PROBES: readonly string[] = ['/healthz', '/readyz'];

export type RequestHead = Pick<IncomingMessage, 'method' | 'url' | 'headers' | 'rawHeaders'>;

/** `refuse` returns the reason why a request is not answered, or null, from its head alone. */
export function refuse(access: Access, head: RequestHead): Refusal | null {
  const { url = '', method = '', headers } = head;
  if (!url.startsWith('/') || url.startsWith('//')) return refusal(400, 'The request needs a plain path');
  const isKnown = isAuthorized(access, headers.authorization);
  const hosts = head.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
  if (hosts.length !== 1) return refusal(400, 'The request needs one Host header');
  if (!isAllowedHost(access, headers.host ?? '', isKnown)) return refusal(421, 'Not served under this name');
  if (method !== 'GET' && method !== 'HEAD') {
    return refusal(405, 'Only GET and HEAD are answered', { allow: 'GET, HEAD' });
  }
  const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
  if (hasBody) return refusal(413, 'A request here has no body');
  return isKnown || PROBES.includes(url.split('?', 1)[0] ?? '') ? null : requireToken(access);
}

export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/**
 * `isAllowedHost` returns whether the host name of a request is allowed, as a guard against pages of other
 * sites that let their own name point here. On loopback only its names are served; elsewhere also addresses,
 * names without a dot, and this machine's own. A request with the token may use any name.
 */
function isAllowedHost({ host, hostname }: Access, given: string, isKnown: boolean): boolean {
  const parsed = /^(?<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.exec(given);
  const name = parsed?.groups?.['name']?.toLowerCase();
  // A host that no URL can contain, such as a port of 99999, would fail as one in the app.
  if (name === undefined || !URL.canParse(`http://${given}`)) return false;
  if (isLoopback(name)) return true;
  if (isLoopback(host)) return false;
  const isAddress = isIP(name.replace(/^\[|\]$/g, '')) !== 0;
  const isOwn = name === hostname.toLowerCase() || name === host.toLowerCase();
  return isAddress || isOwn || !name.includes('.') || isKnown;
}

/** `isAuthorized` admits requests with the token; without a token set, those from this machine. */
function isAuthorized({ host, tokenHash }: Access, authorization: string | undefined): boolean {
  if (tokenHash === null) return isLoopback(host);
  const presented = readCredentials(authorization ?? '');
  // Hashes have one length and are compared in constant time, so that the duration reveals nothing.
  return presented !== null && timingSafeEqual(hashToken(presented), tokenHash);
}

/** `readCredentials` returns the token of `Bearer`, or the password of `Basic` with any user name. */
function readCredentials(authorization: string): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (bearer !== undefined) return bearer;
  const basic = /^Basic +([\w+/=-]+) *$/i.exec(authorization)?.[1];
  if (basic === undefined) return null;
  const pair = Buffer.from(basic, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon === -1 ? null : pair.slice(colon + 1);
}

function requireToken({ tokenHash }: Access): Refusal {
  if (tokenHash === null) {
    return refusal(
      403,
      'HTTP_HOST is not a loopback address: without HTTP_TOKEN only the probes are answered',
    );
  }
  return refusal(401, 'The token is missing or wrong', {
    'www-authenticate': 'Basic realm="losant-usage", charset="UTF-8", Bearer realm="losant-usage"',
  });
}

function refusal(status: number, text: string, headers: Record<string, string> = {}): Refusal {
  return { status, text: `${text}\n`, headers };
}
