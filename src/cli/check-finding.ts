import { describeError, ExportError } from '../errors.ts';

/** The result of a check that went well. */
export interface Finding<T = unknown> {
  readonly message: string;
  /** Something to look at. */
  readonly hint?: string | null;
  /** The value for later checks. */
  readonly value?: T;
}

export interface Check {
  /** The thing checked. For a question to Losant it is the action, which is also the name of its scope. */
  readonly name: string;
  readonly message: string;
  /** The operator's next step; without an error, something to look at. */
  readonly hint: string | null;
  /** The reason why the check failed; null if it did not. */
  readonly error: unknown;
}

/** Something is wrong although no call failed. */
export class CheckError extends ExportError {
  override readonly name = 'CheckError';
  readonly kind: 'database_refused' | 'invalid';

  constructor(kind: CheckError['kind'], message: string, hint: string) {
    super(message, { hint });
    this.kind = kind;
  }
}

/** The checks that were made. */
export class Checks {
  readonly all: Check[] = [];
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add({ name, message, hint = null }: Finding & { readonly name: string }): void {
    this.all.push({ name, message, hint, error: null });
  }

  /** Adds the finding or the failure of `work`. Returns both; throws only the signal's reason, when interrupted. */
  async run<T>(
    name: string,
    work: () => Promise<Finding<T>> | Finding<T>,
  ): Promise<{ readonly value?: T | undefined; readonly error: unknown }> {
    try {
      const finding = await work();
      this.add({ ...finding, name });
      return { value: finding.value, error: null };
    } catch (error) {
      this.#signal.throwIfAborted();
      const { message, hint } = describeError(error);
      this.all.push({ name, message, hint, error });
      return { error };
    }
  }
}
