import { nearestName, oneOf } from '../terminal/spelling.ts';
import { isLoopback, isQuoted, last, line } from './kinds.ts';

/** The parameters that have an effect. With a misspelt sslmode, which it ignores, the driver connects without TLS. */
const PARAMETERS: readonly string[] = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'uselibpqcompat',
  'host',
  'options',
  'application_name',
  'client_encoding',
];

const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];

/** The URL of a server, or `embedded:DIR`: its form and parameters. Connecting says better what else is wrong. */
export const databaseUrl = line
  .refine((text) => !isQuoted(text), last('is in quotes, which would be a part of it; remove the quotes'))
  .regex(/^(postgres(ql)?:\/\/\S+|embedded:[^\r\n]+)$/, last('is not a database URL (not shown)'))
  .superRefine((text, context) => {
    const message = describeUrlProblem(text);
    if (message !== null) context.addIssue({ code: 'custom', message });
  });

/** A URL that is readable: with an unencoded / ? or # in its password, what follows is none of these parts. */
const PARTS =
  /^postgres(?:ql)?:\/\/(?:[^/?#\s@]*@)?(?<hosts>[^/?#\s@]*)(?:\/[^?#\s@]*)?(?:\?(?<query>[^#\s@]*))?$/i;

function partsOf(url: string): { hosts: string; parameters: URLSearchParams } | null {
  const groups = PARTS.exec(url)?.groups;
  if (groups === undefined) return null;
  return { hosts: groups['hosts'] ?? '', parameters: new URLSearchParams(groups['query'] ?? '') };
}

/** Returns the problem of a database URL and its remedy, without the URL; null if it has none. */
export function describeUrlProblem(url: string): string | null {
  const parts = partsOf(url);
  if (parts === null) return null;
  if (parts.hosts.includes(',')) {
    const remedy = 'name the one that writes, or a name that follows it';
    return `names several hosts, of which the program would use none; ${remedy}`;
  }
  const unknown = [...parts.parameters.keys()].find((each) => !PARAMETERS.includes(each));
  if (unknown === 'ssl') return 'has the parameter ssl, which says not enough; use sslmode=verify-full';
  if (unknown !== undefined) {
    const near = nearestName(unknown, PARAMETERS);
    // What is not nearly a parameter may be a part of a password.
    return near === null
      ? `has a parameter (not shown) that has no effect; remove it: known are ${oneOf(PARAMETERS)}`
      : `has the parameter ${unknown}, which has no effect; did you mean ${near}?`;
  }
  const mode = parts.parameters.get('sslmode');
  if (mode === null || SSL_MODES.includes(mode)) return null;
  return `has an sslmode that is not known, which would mean no encryption; use ${oneOf(SSL_MODES)}`;
}

/** How the connection to the server of a URL is protected; `local` never leaves this machine. */
export type Encryption = 'verified' | 'unverified' | 'none' | 'local';

/** Returns what a URL asks for. With TLS asked for, nothing connects without. */
export function encryptionOf(url: string): Encryption {
  const parts = partsOf(url);
  const parameters = parts?.parameters ?? new URLSearchParams();
  const mode = parameters.get('sslmode') ?? 'disable';
  if (mode === 'no-verify') return 'unverified';
  if (mode !== 'disable') {
    return parameters.has('uselibpqcompat') && mode !== 'verify-full' ? 'unverified' : 'verified';
  }
  const host = (parts?.hosts ?? '').replace(/:\d*$/, '');
  const isSocket = host === '' || host.startsWith('%2F') || (parameters.get('host') ?? '').startsWith('/');
  return url.startsWith('embedded:') || isSocket || isLoopback(host) ? 'local' : 'none';
}

/** Returns the warning about a connection that others can read; null for every other. */
export function warnOfPlainText(url: string | null): string | null {
  if (url === null || encryptionOf(url) !== 'none') return null;
  return (
    'DATABASE_URL: password and numbers are sent unencrypted; ' +
    'add ?sslmode=verify-full, unless nobody can listen in between'
  );
}
