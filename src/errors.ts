/**
 * The errors that this program raises on purpose. Each has a `kind` to branch on, a message that names
 * the thing and the value, and a `hint` with the operator's next step. None ever contains a secret.
 * Any other error that is thrown is a defect.
 */

export interface ErrorDetails {
  readonly hint: string;
  readonly cause?: unknown;
}

export class AppError extends Error {
  readonly kind: string;
  /** The operator's next step. */
  readonly hint: string;

  constructor(kind: string, message: string, { hint, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.kind = kind;
    this.hint = hint;
  }
}

/** An error of one of a few kinds. */
abstract class KindError<Kind extends string> extends AppError {
  declare readonly kind: Kind;

  constructor(kind: Kind, message: string, details: ErrorDetails) {
    super(kind, message, details);
  }
}

/** Wrong settings or a wrong command line; nothing was started. */
export class SettingsError extends AppError {
  constructor(message: string, details: ErrorDetails) {
    super('settings', message, details);
  }
}

export type DatabaseErrorKind =
  /** No connection: wrong host or port, server down, connection lost for good. */
  | 'database_unreachable'
  /** The server refused: password, rights, unknown database, encryption. */
  | 'database_refused'
  /** The server could not do it now: disk full, a statement that took too long, a lock that is held. */
  | 'database_failed'
  /** The schema is older than the program, or missing; or the server is below Postgres 15. */
  | 'database_too_old'
  /** The schema is newer than the program. */
  | 'database_too_new'
  /** The database already belongs to something else, e.g. another API URL. */
  | 'database_mismatch';

export class DatabaseError extends KindError<DatabaseErrorKind> {}

/** Another process holds the instance's lease or the embedded folder, which only one may have. */
export class BusyError extends KindError<'lease_busy' | 'lease_lost' | 'folder_locked'> {}

/** The consequences of a failed request to Losant. */
interface FailureRule {
  /** Whether another attempt in the same run may succeed; if so, it is made. */
  readonly isRetried: boolean;
  /** When the cells are due again. Failures that usually pass by themselves are retried at the next wake-up. */
  readonly retryWhen: 'at_next_wake_up' | 'after_backoff';
  /** Whether Losant has decided the request. If not, another attempt may end differently. */
  readonly isDefinitive: boolean;
}

/**
 * The one table of failures, by kind. All but `rate_limited` end their attempt: a wait that the API asks for
 * spends none.
 */
export const FAILURES = {
  /** 401: the token is unknown, expired or revoked. */
  unauthorized: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 403: the token lacks the scope. */
  forbidden: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 404: unknown, deleted, or not visible to this token. */
  not_found: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 405: an install too old for the endpoint. */
  not_supported: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 400, 413 or another final 4xx: asking again the same way cannot help. */
  refused: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: true },
  /** 429, or 503 with Retry-After, until the bound on waiting was reached. */
  rate_limited: { isRetried: false, retryWhen: 'after_backoff', isDefinitive: false },
  /** 5xx, after all attempts. */
  server_error: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** No connection, a reset, or a body that ended early, after all attempts. */
  unreachable: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** No complete answer within the time bound, after all attempts. */
  timeout: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** An answer made at another time by its own Date or Age, as a cache's is, after all attempts. */
  wrong_date: { isRetried: true, retryWhen: 'at_next_wake_up', isDefinitive: false },
  /** A 200 whose body is not JSON or larger than the bound, or 204, 206 or 304 in its place, after all attempts. */
  bad_body: { isRetried: true, retryWhen: 'after_backoff', isDefinitive: false },
} as const satisfies Readonly<Record<string, FailureRule>>;

export type LosantErrorKind = keyof typeof FAILURES;

/** Returns whether a code is one of the table of failures. */
export function isFailure(code: string): code is LosantErrorKind {
  return Object.hasOwn(FAILURES, code);
}

interface LosantErrorDetails extends ErrorDetails {
  /** The action asked for, e.g. `instanceOrg.deviceCounts`: also the name of its scope. */
  readonly action: string;
  /** HTTP status of the last answer, or null if there was none. */
  readonly status: number | null;
  /** The last answer's body as received, capped; null if there was none. */
  readonly body: string | null;
}

/** A request to Losant that did not end in a JSON body. */
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

/** The process was asked to end. Nothing is wrong; the next run goes on. */
export class InterruptedError extends AppError {
  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(signal === 'SIGINT' ? 'interrupted' : 'terminated', `Interrupted by ${signal}`, {
      hint: 'nothing was left half done; run the same command again, or wait for the next run',
    });
  }
}

/** Returns an error in the form that people and `--json` see. */
export function describeError(error: unknown): { code: string; message: string; hint: string } {
  if (error instanceof AppError) return { code: error.kind, message: error.message, hint: error.hint };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'unexpected', message, hint: 'this is a bug; please report it with the log' };
}

/** Returns only the frames: the first lines of a stack may repeat the error's properties. */
export function getStackFrames({ stack = '' }: Error): string[] {
  return stack.split('\n').filter((each) => /^ {4}at /.test(each));
}

/** The exit codes of the process, a contract with whoever starts it. */
export const EXIT = {
  /** Nothing due is missing. */
  ok: 0,
  /** Unexpected failure, or the database cannot be reached. */
  failure: 1,
  /** Wrong usage or settings: starting again cannot help. */
  usage: 2,
  /** Finished, but something due is missing. */
  incomplete: 3,
  /** Another process holds the lease or the embedded folder. */
  busy: 4,
  /** Losant refused the token or a scope. */
  refused: 5,
  interrupted: 130,
  terminated: 143,
} as const;

const EXIT_CODES: Readonly<Record<string, number>> = {
  settings: EXIT.usage,
  database_refused: EXIT.usage,
  database_too_old: EXIT.usage,
  database_too_new: EXIT.usage,
  database_mismatch: EXIT.usage,
  lease_busy: EXIT.busy,
  lease_lost: EXIT.busy,
  folder_locked: EXIT.busy,
  unauthorized: EXIT.refused,
  forbidden: EXIT.refused,
  interrupted: EXIT.interrupted,
  terminated: EXIT.terminated,
};

export function exitCodeOf(error: unknown): number {
  if (error instanceof LosantError && isMisuse(error)) return EXIT.usage;
  return error instanceof AppError ? (EXIT_CODES[error.kind] ?? EXIT.failure) : EXIT.failure;
}

/** Returns whether the instance is unknown, or Losant does not take a change. */
function isMisuse({ action, kind }: LosantError): boolean {
  if (action === 'instance.get') return kind === 'not_found';
  const isChange = action === 'instanceOrg.patch' || action === 'instanceOrg.delete';
  return isChange && ['refused', 'not_found', 'not_supported'].includes(kind);
}

/** The exit codes from worst to best, for a command over several instances. */
const SEVERITY = [130, 143, EXIT.failure, EXIT.usage, EXIT.refused, EXIT.busy, EXIT.incomplete];

export function worstExitCode(codes: readonly number[]): number {
  return SEVERITY.find((code) => codes.includes(code)) ?? EXIT.ok;
}
