import { nearestName, oneOf } from '../terminal/spelling.ts';
import { isLoopback, line } from './kinds.ts';

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
  .regex(/^(postgres(ql)?:\/\/\S+|embedded:[^\r\n]+)$/, {
    error: 'is not a database URL, without quotes (not shown)',
    abort: true,
  })
  .superRefine((text, context) => {
    const message = describeUrlProblem(text);
    if (message !== null) context.addIssue({ code: 'custom', message });
  });

/** Returns the hosts and parameters of a URL. With an unencoded / ? or # in its password, they are other text. */
function partsOf(url: string): { hosts: string; parameters: URLSearchParams } {
  const [, hosts = '', query = ''] =
    /^postgres(?:ql)?:\/\/(?:[^/?#@]*@)?([^/?#]*)[^?#]*\??([^#@]*)$/i.exec(url) ?? [];
  return { hosts, parameters: new URLSearchParams(query) };
}

/** Returns the problem of a database URL and its remedy, without the URL; null if it has none. */
function describeUrlProblem(url: string): string | null {
  const { hosts, parameters } = partsOf(url);
  if (hosts.includes(',')) return 'names several hosts; name the one that writes, or a name that follows it';
  const unknown = [...parameters.keys()].find((each) => !PARAMETERS.includes(each));
  if (unknown !== undefined) {
    const near = nearestName(unknown, PARAMETERS);
    // What is not nearly a parameter may be a part of a password.
    return near === null
      ? `has a parameter (not shown) that has no effect; known are ${oneOf(PARAMETERS)}`
      : `has the parameter ${unknown}, which has no effect; did you mean ${near}?`;
  }
  const mode = parameters.get('sslmode');
  if (mode === null || SSL_MODES.includes(mode)) return null;
  return `has an sslmode that is not known, which would mean no encryption; use ${oneOf(SSL_MODES)}`;
}

/** Returns the warning about a connection that others can read; null for every other. */
export function warnOfPlainText(url: string | null): string | null {
  if (url === null || url.startsWith('embedded:')) return null;
  const { hosts, parameters } = partsOf(url);
  const host = hosts.replace(/:\d*$/, '');
  const isSocket = host === '' || host.startsWith('%2F') || (parameters.get('host') ?? '').startsWith('/');
  // With TLS asked for, nothing connects without.
  const isEncrypted = (parameters.get('sslmode') ?? 'disable') !== 'disable';
  if (isSocket || isLoopback(host) || isEncrypted) return null;
  return (
    'DATABASE_URL: password and numbers are sent unencrypted; ' +
    'add ?sslmode=verify-full, unless nobody can listen in between'
  );
}
