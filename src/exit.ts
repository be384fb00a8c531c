import { ExportError, LosantError } from './errors.ts';

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
  held: 4,
  /** Losant refused the token or a scope. */
  refused: 5,
  interrupted: 130,
  terminated: 143,
} as const;

const BY_KIND: Readonly<Record<string, number>> = {
  settings: EXIT.usage,
  database_refused: EXIT.usage,
  database_too_old: EXIT.usage,
  database_too_new: EXIT.usage,
  database_mismatch: EXIT.usage,
  lease_held: EXIT.held,
  lease_lost: EXIT.held,
  folder_locked: EXIT.held,
  unauthorized: EXIT.refused,
  forbidden: EXIT.refused,
  interrupted: EXIT.interrupted,
  terminated: EXIT.terminated,
};

export function exitCodeOf(error: unknown): number {
  if (error instanceof LosantError && isMisuse(error)) return EXIT.usage;
  return error instanceof ExportError ? (BY_KIND[error.kind] ?? EXIT.failure) : EXIT.failure;
}

/** `isMisuse` returns whether the instance is unknown, or Losant does not take a change. */
function isMisuse({ action, kind }: LosantError): boolean {
  if (action === 'instance.get') return kind === 'not_found';
  const isChange = action === 'instanceOrg.patch' || action === 'instanceOrg.delete';
  return isChange && ['refused', 'not_found', 'not_supported'].includes(kind);
}

/** The exit codes from worst to best, for a command over several instances. */
const SEVERITY = [
  EXIT.interrupted,
  EXIT.terminated,
  EXIT.failure,
  EXIT.usage,
  EXIT.refused,
  EXIT.held,
  EXIT.incomplete,
];

export function worstExitCode(codes: readonly number[]): number {
  return SEVERITY.find((code) => codes.includes(code)) ?? EXIT.ok;
}
