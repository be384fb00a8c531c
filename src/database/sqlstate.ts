/** What a database error means: by its SQLSTATE, or without a response by the code of the system or of OpenSSL. */

import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, DatabaseError } from '../errors.ts';
import type { Role } from './handle.ts';

/** The kinds of failure, with the start of their messages. The transaction was not committed in any of them. */
const FAILURE_KINDS = {
  unreachable: ['database_unreachable', (at: string) => `Cannot reach the database at ${at}`],
  failed: ['database_failed', (at: string) => `The database at ${at} failed`],
  rejected: ['database_rejected', (at: string) => `The database at ${at} rejected the request`],
  unencrypted: ['database_rejected', (at: string) => `No encrypted connection to the database at ${at}`],
} as const;

/** SQLSTATEs of a lost session, codes of sockets and name lookups, and messages of pg that have no code. */
const NO_CONNECTION = new RegExp(
  '^(08...$|57P01|57P02|57P03|57P05|25P03|' +
    'ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EAI_FAIL|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENETDOWN|' +
    'ECONNRESET|ECONNABORTED|EPIPE|There was an error establishing an SSL connection|' +
    'Connection terminated|Client has encountered a connection error|Client was closed and is not queryable|' +
    'Postgres connection has been discarded|Query read timeout|timeout expired|' +
    'timeout exceeded when trying to connect|PGlite is closed)',
);

/** Returns the next step for a user who lacks a privilege. */
export function toRoleHint(role: Role): string {
  return `this needs the role ${role}; if the user has it, run deploy/postgres/roles.sql again`;
}

type Hint = string | ((role: Role) => string);

/** What pg says if the server asks for a password and the URL has none. */
const NO_PASSWORD = /^SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a/;

/** What each code means, and the operator's next step. */
const MEANINGS: readonly (readonly [failure: keyof typeof FAILURE_KINDS, codes: RegExp, hint: Hint])[] = [
  ['unreachable', NO_CONNECTION, 'check that the server is running, and host and port in DATABASE_URL'],
  [
    'unreachable',
    /^53300$/,
    'the server has no free connections; see pg_stat_activity, or raise max_connections or the limit of the role or ' +
      'database',
  ],
  [
    'failed',
    /^25006$/,
    (role) =>
      "transactions are read-only here (a standby, a full disk, or a reader's role); " +
      `point DATABASE_URL at the primary, as ${role}`,
  ],
  ['failed', /^53100$/, 'free disk space on the database server'],
  ['failed', /^(58|XX)...$/, 'see the log of the database server, and whether it has disk space left'],
  ['failed', /^53200$/, 'give the database server more memory'],
  ['failed', /^53400$/, 'give the role more work_mem, or raise that limit'],
  [
    'failed',
    /^40(001|P01)$/,
    'another transaction was in the way (on a standby, its replay: see max_standby_streaming_delay); try again',
  ],
  ['failed', /^55P03$/, 'another session has held a lock for too long; see pg_locks and pg_stat_activity'],
  ['failed', /^57014$/, 'the statement took too long or was canceled; see what else the server is doing'],
  // A server that requires TLS sends this too.
  [
    'rejected',
    /^28000$/,
    'check user and password in DATABASE_URL; a server that requires TLS needs ?sslmode=verify-full',
  ],
  ['rejected', /^28...$/, 'check user and password in DATABASE_URL'],
  ['rejected', NO_PASSWORD, 'put a password into DATABASE_URL: postgres://USER:PASSWORD@HOST:5432/NAME'],
  // pg raises a failure of the SCRAM exchange without a code.
  ['rejected', /^SASL/, 'check user and password in DATABASE_URL'],
  ['rejected', /^3D000$/, 'create the database, or correct its name in DATABASE_URL'],
  ['rejected', /^42501$/, toRoleHint],
  [
    'unencrypted',
    /^The server does not support SSL connections/,
    'enable TLS on the server, or remove sslmode from DATABASE_URL if the network path is trusted',
  ],
  [
    'unencrypted',
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|CERT_SIGNATURE_FAILURE)$/,
    'set sslrootcert to the authority that signed it: DATABASE_URL=…?sslmode=verify-full&sslrootcert=/path/ca.pem',
  ],
  ['unencrypted', /^ERR_TLS_CERT_ALTNAME_INVALID$/, 'in DATABASE_URL, use a host name that the certificate covers'],
  ['unencrypted', /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/, "renew the server's certificate, or synchronize the clocks"],
  [
    'unencrypted',
    /^ERR_(SSL|TLS|OSSL)_/,
    'check that the server speaks TLS on that port, and the files of sslrootcert, sslcert and sslkey in DATABASE_URL',
  ],
];

const hasSqlstate = (sqlstates: RegExp) => (error: unknown) => sqlstates.test(getSqlstate(error) ?? '');

/**
 * Returns whether the database rejects the values, so that sending the same batch again cannot help. Only a bug can
 * violate another constraint than a unique one: what Losant sends is validated before it is written.
 */
export const isRejectedForData = hasSqlstate(/^(22|23505|54)/);
/** Returns whether it is a conflict or a deadlock, after which the same transaction can be retried. */
const isConflict = hasSqlstate(/^(40001|40P01)$/);
export const isLockTimeout = hasSqlstate(/^55P03$/);
export const isStatementTimeout = hasSqlstate(/^57014$/);
/** Returns whether a privilege is missing. */
export const isDenied = hasSqlstate(/^42501$/);
/** Returns whether a table or function does not exist. */
export const isUndefined = hasSqlstate(/^(42P01|42883)$/);

/** Returns whether the connection is lost or was never made; whether the last statement took effect is unknown. */
export function isConnectionLost(error: unknown): boolean {
  return NO_CONNECTION.test(getErrorCode(error));
}

/** Returns whether the error is about connection, privileges or a failing server. */
export function isOperationalError(error: unknown): boolean {
  return error instanceof DatabaseError || findMeaning(error) !== undefined;
}

/** Any other reason to begin no session or to end it, such as a database that accepts no connections at the moment. */
const FATAL: (typeof MEANINGS)[number] = ['failed', /^/, 'see the log of the server, and options in DATABASE_URL'];

function findMeaning(error: unknown): (typeof MEANINGS)[number] | undefined {
  const isFatal = error instanceof Error && 'severity' in error && error.severity === 'FATAL';
  return MEANINGS.find(([, codes]) => codes.test(getErrorCode(error))) ?? (isFatal ? FATAL : undefined);
}

/**
 * Returns an operational error as one that the operator can act on; null for any other. `where` names the database
 * without its password, `nextStep` is how the work continues.
 */
export function describeDatabaseError(
  error: unknown,
  { where, role, nextStep }: { where: string; role: Role; nextStep?: string },
): DatabaseError | null {
  if (error instanceof DatabaseError) return error;
  const meaning = findMeaning(error);
  if (meaning === undefined || !(error instanceof Error)) return null;
  const code = getErrorCode(error);
  const [failure, , hintSource] = meaning;
  const hint = typeof hintSource === 'string' ? hintSource : hintSource(role);
  const [kind, toPrefix] = FAILURE_KINDS[failure];
  // The error of a host with several addresses has no message.
  const reason = NO_PASSWORD.test(error.message) ? 'it asks for a password' : error.message || code;
  return new DatabaseError(kind, `${toPrefix(where)}: ${reason}`, {
    hint: nextStep === undefined || kind === 'database_rejected' ? hint : `${hint}; ${nextStep}`,
    // Drivers attach the client, and with it the password, to their errors.
    cause: Object.assign(new Error(reason), { code }),
  });
}

/** Returns the SQLSTATE, or the system's code, or the message, because some errors of pg have nothing else. */
function getErrorCode(error: unknown): string {
  if (!(error instanceof Error)) return '';
  // Codes of opening a socket file, such as ENOENT, mean other things elsewhere.
  if ('syscall' in error && error.syscall === 'connect') return 'ECONNREFUSED';
  return codeOf(error) ?? error.message;
}

/** Returns the SQLSTATE of a server's error; null for system codes such as `EPIPE`, which look alike. */
function getSqlstate(error: unknown): string | null {
  return error instanceof Error && 'severity' in error ? getErrorCode(error) : null;
}

/** The waits between attempts: half a minute in all. */
const RETRY_AFTER_MS = [100, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

interface RetryOptions {
  /** Whether the same work may succeed later; by default after a conflict or a deadlock, which stored nothing. */
  readonly canRetry?: (error: unknown) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Calls `work`, which can be repeated as a whole, until it succeeds or fails for good. */
export async function retryTransaction<T>(
  work: () => Promise<T>,
  { canRetry = isConflict, signal }: RetryOptions = {},
): Promise<T> {
  for (const waitMs of RETRY_AFTER_MS) {
    try {
      return await work();
    } catch (error) {
      if (!canRetry(error)) throw error;
      await sleep(waitMs, undefined, { signal });
    }
  }
  return await work();
}
