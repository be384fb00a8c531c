/**
 * The meaning of a database error, by SQLSTATE (the same from pg and PGlite) or, where no server answered, by the code
 * of the system or of OpenSSL.
 */
import { DatabaseError } from '../errors.ts';
import type { Role } from './handle.ts';

/** The kinds of trouble, with how their messages begin. Nothing of the transaction was kept. */
const TROUBLES = {
  unreachable: { kind: 'database_unreachable', begins: (at: string) => `Cannot reach the database at ${at}` },
  failed: { kind: 'database_failed', begins: (at: string) => `The database at ${at} failed` },
  refused: { kind: 'database_refused', begins: (at: string) => `The database at ${at} refused` },
  unencrypted: {
    kind: 'database_refused',
    begins: (at: string) => `No encrypted connection to the database at ${at}`,
  },
} as const;

/** SQLSTATEs of a server that ends the session, codes of sockets and name lookups, messages of pg without a code. */
const NO_CONNECTION = new RegExp(
  '^(08...$|57P01|57P02|57P03|57P05|25P03|' +
    'ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ECONNRESET|ECONNABORTED|EPIPE|ENETDOWN|' +
    'Connection terminated|Client has encountered a connection error|Client was closed and is not queryable|' +
    'Postgres connection has been discarded|Query read timeout|timeout expired|' +
    'timeout exceeded when trying to connect|PGlite is closed)',
);

/** Returns the next step of a user who lacks a right: the role that may, whose rights roles.sql grants anew. */
export function hintRole(role: Role): string {
  return `this takes the role ${role}; if the user has it, run deploy/postgres/roles.sql again`;
}

type Hint = string | ((role: Role) => string);

/** The meaning of each code, and the operator's next step. */
const MEANINGS: readonly (readonly [trouble: keyof typeof TROUBLES, codes: RegExp, hint: Hint])[] = [
  [
    'unreachable',
    NO_CONNECTION,
    'check that the server runs and that host and port in DATABASE_URL are right',
  ],
  ['unreachable', /^53300$/, 'the server has no free connection: see who has them, or raise max_connections'],
  [
    'failed',
    /^25006$/,
    (role) =>
      'transactions only read here: the server is a standby, its disk is full, or the user may only read; ' +
      `point DATABASE_URL at the primary, as ${role}`,
  ],
  ['failed', /^53100$/, 'free disk space on the database server'],
  ['failed', /^53200$/, 'give the database server more memory'],
  ['failed', /^55P03$/, 'another session has held a lock for a long time: see pg_locks and pg_stat_activity'],
  ['failed', /^57014$/, 'the statement took too long or was cancelled: see what else the server is doing'],
  // A server that takes no unencrypted connections sends this too.
  [
    'refused',
    /^28000$/,
    'check user and password in DATABASE_URL; a server that only takes TLS wants ?sslmode=verify-full',
  ],
  // pg raises a missing or malformed password in the SCRAM exchange without a code.
  ['refused', /^(28...$|SASL)/, 'check user and password in DATABASE_URL'],
  ['refused', /^3D000$/, 'create the database, or correct its name in DATABASE_URL'],
  ['refused', /^42501$/, hintRole],
  [
    'unencrypted',
    /^The server does not support SSL connections/,
    'switch TLS on at the server, or leave sslmode out of DATABASE_URL if nobody can listen in between',
  ],
  [
    'unencrypted',
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|CERT_SIGNATURE_FAILURE)$/,
    'name the file of the authority that signed it: DATABASE_URL=…?sslmode=verify-full&sslrootcert=/path/ca.pem',
  ],
  [
    'unencrypted',
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    'use the host name that the certificate names in DATABASE_URL',
  ],
  ['unencrypted', /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/, "renew the server's certificate, or set the clocks"],
  [
    'unencrypted',
    /^ERR_(SSL|TLS|OSSL)_/,
    'check that the server speaks TLS there, and the files of sslrootcert, sslcert and sslkey in DATABASE_URL',
  ],
];

/** Returns whether the database refuses the values themselves, so that sending the same batch again cannot help. */
export function isRefusedForData(error: unknown): boolean {
  return /^(22|23|54)/.test(sqlstate(error) ?? '');
}

/** Returns whether it is a conflict or a deadlock, after which the same transaction may be run again. */
export function isRetryable(error: unknown): boolean {
  return /^(40001|40P01)$/.test(sqlstate(error) ?? '');
}

/** Returns whether a table or function that the statement names does not exist. */
export function isUndefined(error: unknown): boolean {
  return /^(42P01|42883)$/.test(sqlstate(error) ?? '');
}

/** The code with which functions of the schema refuse to close a period, with a message and a hint for people. */
const CLOSING_REFUSED = 'LU001';

/** Returns the words with which the database refused to close a month; null for any other error. */
export function readClosingRefusal(error: unknown): { message: string; hint: string } | null {
  if (sqlstate(error) !== CLOSING_REFUSED || !(error instanceof Error)) return null;
  return { message: error.message, hint: 'hint' in error ? String(error.hint) : '' };
}

/**
 * Returns whether the connection is gone or could not be made; it is unknown whether the last statement took effect.
 */
export function isConnectionLost(error: unknown): boolean {
  return NO_CONNECTION.test(codeOf(error));
}

/** Returns whether it concerns connection, rights or a server in trouble. */
export function isOperational(error: unknown): boolean {
  return error instanceof DatabaseError || meaningOf(error) !== undefined;
}

function meaningOf(error: unknown): (typeof MEANINGS)[number] | undefined {
  return MEANINGS.find(([, codes]) => codes.test(codeOf(error)));
}

interface Work {
  /** The database, without its password. */
  readonly where: string;
  /** The role that the work takes. */
  readonly role: Role;
  /** How the work goes on afterwards. */
  readonly goOn?: string;
}

/** Returns an operational error as one that the operator can act on, and null for any other. */
export function describeDatabaseError(error: unknown, { where, role, goOn }: Work): DatabaseError | null {
  if (error instanceof DatabaseError) return error;
  const meaning = meaningOf(error);
  if (meaning === undefined || !(error instanceof Error)) return null;
  const code = codeOf(error);
  const [trouble, , hintOf] = meaning;
  const hint = typeof hintOf === 'string' ? hintOf : hintOf(role);
  const { kind, begins } = TROUBLES[trouble];
  // An error of several addresses has no message.
  const reason = error.message === '' ? code : error.message;
  const next = goOn ?? (kind === 'database_failed' ? 'the next run does the rest' : null);
  return new DatabaseError(kind, `${begins(where)}: ${reason}`, {
    hint: next === null || kind === 'database_refused' ? hint : `${hint}; ${next}`,
    // Drivers attach the client to their errors, and with it the password.
    cause: Object.assign(new Error(reason), { code }),
  });
}

/** Returns the SQLSTATE, else the system's code, else the message, which is all that some errors of pg have. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  // Codes of the socket's file mean something else elsewhere.
  if ('syscall' in error && error.syscall === 'connect') return 'ECONNREFUSED';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** Returns the SQLSTATE of a server's error; system codes such as `EPIPE` look alike. */
function sqlstate(error: unknown): string | null {
  return error instanceof Error && 'severity' in error ? codeOf(error) : null;
}
