/**
 * The meaning of a database error, decided by SQLSTATE (the same from pg and PGlite) or, for a
 * connection that never came or was lost, by the system's error code.
 */
import { DatabaseError } from '../errors.ts';

/** The codes of sockets and name lookups that mean that there is no connection to the server. */
const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name lookup failed',
  ETIMEDOUT: 'timed out',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'network unreachable',
  ECONNRESET: 'connection reset',
  ECONNABORTED: 'connection aborted',
  EPIPE: 'connection closed',
  ENETDOWN: 'network down',
};

/**
 * The messages that pg and kysely raise without a code when the connection is gone or did not come in
 * time.
 */
const CONNECTION_MESSAGES: readonly string[] = [
  'Connection terminated',
  'Client has encountered a connection error',
  'Client was closed and is not queryable',
  'Postgres connection has been discarded',
  'Query read timeout',
  'timeout expired',
  'timeout exceeded when trying to connect',
  'PGlite is closed',
];

/** The states sent by a server that ends the session or has no room for one. */
const SESSION_ENDED: readonly string[] = ['57P01', '57P02', '57P03', '57P05', '25P03'];
const TOO_MANY_CONNECTIONS = '53300';

/** The operator's next step for a server in trouble. Nothing of the transaction was kept. */
const TROUBLES: Readonly<Record<string, string>> = {
  '25006':
    'transactions only read here: the server is a standby, its disk is full, or the user may only read; ' +
    'point DATABASE_URL at the primary, with the user that writes',
  '53100': 'free disk space on the database server',
  '53200': 'give the database server more memory',
  '55P03': 'another session has held a lock for a long time: see pg_locks and pg_stat_activity',
  '57014': 'the statement took too long or was cancelled: see what else the server is doing',
};

/**
 * Returns whether the database refuses the values themselves, so that sending the same
 * batch again cannot help.
 */
export function isRefusedForData(error: unknown): boolean {
  return ['22', '23', '54'].includes(sqlstate(error)?.slice(0, 2) ?? '');
}

/**
 * Returns whether it is a serialization failure or a deadlock, after which the same transaction
 * may be run again.
 */
export function isRetryable(error: unknown): boolean {
  return ['40001', '40P01'].includes(sqlstate(error) ?? '');
}

export function isUniqueViolation(error: unknown): boolean {
  return sqlstate(error) === '23505';
}

/** The code with which functions of the schema refuse to close a period, with a message and a hint for people. */
const CLOSING_REFUSED = 'LU001';

/** Returns the words with which the database refused to close a month; null for any other error. */
export function readClosingRefusal(error: unknown): { message: string; hint: string } | null {
  if (sqlstate(error) !== CLOSING_REFUSED || !(error instanceof Error)) return null;
  return { message: error.message, hint: 'hint' in error ? String(error.hint) : '' };
}

/** Returns whether a table or function that the statement names does not exist. */
export function isUndefined(error: unknown): boolean {
  return ['42P01', '42883'].includes(sqlstate(error) ?? '');
}

/**
 * Returns whether the connection is gone or could not be made; it is unknown whether the
 * last statement took effect.
 */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlstate(error);
  if (state !== null) return state.startsWith('08') || SESSION_ENDED.includes(state);
  return networkReason(error) !== null;
}

/**
 * Returns the error as one that the operator can act on, or null if it does not
 * concern connection, rights or a server in trouble. `where` names the database without its password. The
 * original is not kept, because drivers attach the client, and with it the password. `goOn` says how the work
 * goes on once the trouble is over.
 */
export function describeDatabaseError(
  error: unknown,
  where: string,
  goOn: string | null = null,
): DatabaseError | null {
  if (error instanceof DatabaseError) return error;
  const state = sqlstate(error);
  if (isConnectionLost(error) || state === TOO_MANY_CONNECTIONS) {
    const reason = state === null ? networkReason(error) : messageOf(error);
    return new DatabaseError('database_unreachable', `Cannot reach the database at ${where}: ${reason}`, {
      hint: ['check that the server runs and that host and port in DATABASE_URL are right', goOn]
        .filter((each) => each !== null)
        .join('; '),
      cause: bare(error),
    });
  }
  const tls = state === null ? describeTlsTrouble(error) : null;
  if (tls !== null) {
    const message = `No encrypted connection to the database at ${where}: ${tls.problem}`;
    const kind = tls.isSettings ? 'database_refused' : 'database_unreachable';
    return new DatabaseError(kind, message, { hint: tls.hint, cause: bare(error) });
  }
  const trouble = state === null ? undefined : TROUBLES[state];
  if (trouble !== undefined) {
    const message = `The database at ${where} failed: ${messageOf(error)}`;
    const hint = state === '25006' ? trouble : `${trouble}; ${goOn ?? 'the next run does the rest'}`;
    return new DatabaseError('database_failed', message, { hint, cause: bare(error) });
  }
  const hint = refusalHint(error, state);
  if (hint === null) return null;
  const message = `The database at ${where} refused: ${messageOf(error)}`;
  return new DatabaseError('database_refused', message, { hint, cause: bare(error) });
}

function refusalHint(error: unknown, state: string | null): string | null {
  // A server that takes no unencrypted connections sends this too.
  if (state === '28000') {
    return 'check user and password in DATABASE_URL; a server that only takes TLS wants ?sslmode=verify-full';
  }
  // pg raises a missing or malformed password in the SCRAM exchange without a code.
  const isLogin = state?.startsWith('28') || (state === null && messageOf(error).startsWith('SASL'));
  if (isLogin) return 'check user and password in DATABASE_URL';
  if (state === '3D000') return 'create the database, or correct its name in DATABASE_URL';
  if (state === '42501') return 'grant the missing right to the user in DATABASE_URL';
  return null;
}

function networkReason(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const reason = NETWORK_REASONS[code];
  if (reason !== undefined) return `${reason} (${code})`;
  // The file of a Unix socket is missing or not accessible; the same codes mean other things elsewhere.
  const isSocket = 'syscall' in error && error.syscall === 'connect';
  if (isSocket || CONNECTION_MESSAGES.some((start) => error.message.startsWith(start))) return error.message;
  return null;
}

/** Returns the SQLSTATE of a server's error; system codes such as `EPIPE` look alike. */
function sqlstate(error: unknown): string | null {
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function bare(error: unknown): Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return Object.assign(new Error(messageOf(error)), { code });
}

interface TlsTrouble {
  readonly problem: string;
  readonly hint: string;
  /** Whether only other settings help; an expired certificate is the server's problem. */
  readonly isSettings: boolean;
}

const NO_TLS_MESSAGE = 'The server does not support SSL connections';

const UNKNOWN_ISSUER =
  'name the file of the authority that signed it: DATABASE_URL=…?sslmode=verify-full&sslrootcert=/path/ca.pem';

const UNKNOWN_AUTHORITY = untrusted('its certificate was signed by an authority that is not known here');

/** The codes of OpenSSL's certificate checks, as Node gives them. */
const CERTIFICATE: Readonly<Record<string, TlsTrouble>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted('its certificate is self-signed'),
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  CERT_SIGNATURE_FAILURE: untrusted('its certificate was not signed by the authority given'),
  ERR_TLS_CERT_ALTNAME_INVALID: {
    problem: 'its certificate is for another host name',
    hint: 'use the host name that the certificate names in DATABASE_URL',
    isSettings: true,
  },
  CERT_HAS_EXPIRED: ofServer('its certificate has expired'),
  CERT_NOT_YET_VALID: ofServer('its certificate is not valid yet'),
};

function untrusted(problem: string): TlsTrouble {
  return { problem, hint: UNKNOWN_ISSUER, isSettings: true };
}

function ofServer(problem: string): TlsTrouble {
  return { problem, hint: "renew the server's certificate, and compare the clocks", isSettings: false };
}

/** Returns the problem of the encryption; null for any other error. */
function describeTlsTrouble(error: unknown): TlsTrouble | null {
  if (!(error instanceof Error)) return null;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = CERTIFICATE[code];
  if (known) return known;
  // The driver raises this without a code.
  if (error.message === NO_TLS_MESSAGE) {
    return {
      problem: 'it offers no TLS, which sslmode asks for',
      hint: 'switch TLS on at the server, or leave sslmode out of DATABASE_URL if nobody can listen in between',
      isSettings: true,
    };
  }
  if (/^ERR_(SSL|TLS|OSSL)_/.test(code)) {
    return {
      problem: `TLS could not be agreed on (${code})`,
      hint: 'check that the server speaks TLS there, and the files of sslrootcert, sslcert and sslkey in DATABASE_URL',
      isSettings: true,
    };
  }
  return null;
}
