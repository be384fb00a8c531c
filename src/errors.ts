/**
 * The errors that this program throws on purpose; any other error is a bug. Each has a `kind` to branch on, a message
 * that names the thing and the value, and a `hint`. None contains a secret.
 */

export interface ErrorDetails {
  /** The operator's next step. */
  readonly hint: string;
  readonly cause?: unknown;
}

export class AppError extends Error {
  readonly kind: string;
  readonly hint: string;

  constructor(kind: string, message: string, { hint, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.kind = kind;
    this.hint = hint;
  }
}

abstract class KindError<Kind extends string> extends AppError {
  declare readonly kind: Kind;

  constructor(kind: Kind, message: string, details: ErrorDetails) {
    super(kind, message, details);
  }
}

/** Invalid settings or an invalid command line; nothing was started. */
export class SettingsError extends AppError {
  constructor(message: string, details: ErrorDetails) {
    super('settings', message, details);
  }
}

export type DatabaseErrorKind =
  /** No connection: wrong host or port, server down, connection lost. */
  | 'database_unreachable'
  /** The server rejected the program: password, privileges, unknown database, encryption. */
  | 'database_rejected'
  /** The server failed at a statement: disk full, statement timeout, lock timeout. */
  | 'database_failed'
  /** The schema is missing or older than the program, or the server is older than Postgres 15. */
  | 'database_too_old'
  /** The schema is newer than the program. */
  | 'database_too_new'
  /** The database belongs to something else, for example another API URL. */
  | 'database_mismatch';

export class DatabaseError extends KindError<DatabaseErrorKind> {}

/** Another process has the lease of the instance, or the embedded folder. */
export class BusyError extends KindError<'lease_busy' | 'lease_lost' | 'folder_locked'> {}

/** What follows from a failed request to Losant. */
interface FailureRule {
  /** Whether another attempt in the same run may succeed; if so, one follows. */
  readonly isRetried: boolean;
  /** When the cells are due again. Failures that usually pass by themselves are retried at the next wake-up. */
  readonly retryWhen: 'at_next_wake_up' | 'after_backoff';
  /** Whether Losant has decided the request. If not, another attempt may end differently. */
  readonly isDefinitive: boolean;
}

/**
 * The failures of requests by kind. Where `isRetried`, the last attempt has failed as well. For `rate_limited` the
 * client waits instead, up to a bound that does not depend on the number of attempts.
 */
export const FAILURES = {
  /** 401: the token is unknown, expired or revoked. */
  unauthorized: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 403: the token lacks the scope. */
  forbidden: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 404: unknown, deleted, or not visible to this token. */
  not_found: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 405: the install is too old for the endpoint. */
  not_supported: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 400, 413 or another 4xx: sending the same request again cannot help. */
  rejected: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 429, or 503 with Retry-After, beyond the bound on waiting. */
  rate_limited: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: false },
  /** 5xx. */
  server_error: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** No connection, a reset, or a body that ended early. */
  unreachable: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** No complete response within the timeout. */
  timeout: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** A response that is not from now by its Date or Age, such as a cached one. */
  wrong_date: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** A 200 whose body is not JSON or too large, or 204, 206 or 304 instead of 200. */
  bad_body: { isRetried: true, retryWhen: 'after_backoff', isDefinitive: false },
} as const satisfies Readonly<Record<string, FailureRule>>;

export type LosantErrorKind = keyof typeof FAILURES;

/** Returns whether Losant rejected the token or a scope. */
export function isRejection(code: string): boolean {
  return code === 'unauthorized' || code === 'forbidden';
}

export function isFailure(code: string): code is LosantErrorKind {
  return Object.hasOwn(FAILURES, code);
}

interface LosantErrorDetails extends ErrorDetails {
  /** For example `instanceOrg.deviceCounts`: also the name of its scope. */
  readonly action: string;
  /** The HTTP status of the last attempt; null without a response. */
  readonly status: number | null;
  /** The beginning of the body of the last attempt; null without a response. */
  readonly body: string | null;
}

/** A request to Losant did not end in a usable JSON body. */
export class LosantError extends KindError<LosantErrorKind> {
  readonly action: LosantErrorDetails['action'];
  readonly status: LosantErrorDetails['status'];
  readonly body: LosantErrorDetails['body'];

  constructor(kind: LosantErrorKind, message: string, details: LosantErrorDetails) {
    super(kind, message, details);
    this.action = details.action;
    this.status = details.status;
    this.body = details.body;
  }
}

/** The process was asked to stop. Nothing is wrong; the next run continues. */
export class InterruptedError extends AppError {
  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(signal === 'SIGINT' ? 'interrupted' : 'terminated', `Interrupted by ${signal}`, {
      hint: 'nothing was left half done; run the same command again, or wait for the next run',
    });
  }
}

export function describeError(error: unknown): { code: string; message: string; hint: string } {
  if (error instanceof AppError) return { code: error.kind, message: error.message, hint: error.hint };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'unexpected', message, hint: 'this is a bug; please report it with the log' };
}

/** The exit codes of the process; scripts depend on them. */
export const EXIT = {
  /** Everything due is loaded; there are no gaps. */
  ok: 0,
  /** Unexpected failure, or the database cannot be reached. */
  failure: 1,
  /** Invalid usage or settings: starting again cannot help. */
  usage: 2,
  /** Finished, but something due is not loaded, or there are gaps. */
  incomplete: 3,
  /** Another process has the lease or the embedded folder. */
  busy: 4,
  /** Losant rejected the token or a scope. */
  rejected: 5,
  interrupted: 130,
  terminated: 143,
} as const;

const EXIT_CODES: Readonly<Record<string, number>> = {
  settings: EXIT.usage,
  database_rejected: EXIT.usage,
  database_too_old: EXIT.usage,
  database_too_new: EXIT.usage,
  database_mismatch: EXIT.usage,
  lease_busy: EXIT.busy,
  lease_lost: EXIT.busy,
  folder_locked: EXIT.busy,
  unauthorized: EXIT.rejected,
  forbidden: EXIT.rejected,
  interrupted: EXIT.interrupted,
  terminated: EXIT.terminated,
};

export function exitCodeOf(error: unknown): number {
  if (error instanceof LosantError && isMisuse(error)) return EXIT.usage;
  return error instanceof AppError ? (EXIT_CODES[error.kind] ?? EXIT.failure) : EXIT.failure;
}

/** Returns whether the instance is unknown, or Losant rejected a change. */
function isMisuse({ action, kind }: LosantError): boolean {
  if (action === 'instance.get') return kind === 'not_found';
  const isChange = action === 'instanceOrg.patch' || action === 'instanceOrg.delete';
  return isChange && ['rejected', 'not_found', 'not_supported'].includes(kind);
}

/** From worst to best, for a command that has several of them. */
const SEVERITY = [130, 143, EXIT.failure, EXIT.usage, EXIT.rejected, EXIT.busy, EXIT.incomplete];

export function worstExitCode(codes: readonly number[]): number {
  return SEVERITY.find((code) => codes.includes(code)) ?? EXIT.ok;
}

/** Returns the code of an error of the system, a driver or a server, such as `ENOENT`; null if it has none. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
