import { describeError, ExportError } from '../errors.ts';
import { EXIT, exitCodeOf, worstExitCode } from '../exit.ts';

export interface Check {
  /** The thing checked. For a question to Losant it is the action, which is also the name of its scope. */
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  /** The operator's next step; with `ok`, something to look at. */
  readonly hint: string | null;
}

/** The finding of a check: a message, perhaps something to look at, and the value for later checks. */
export interface Finding<T> {
  readonly message: string;
  readonly hint?: string | null;
  readonly value: T;
}

/** Something is wrong although no call failed. */
export class CheckError extends ExportError {
  override readonly name = 'CheckError';
  readonly kind: 'settings' | 'database_refused' | 'invalid';

  constructor(kind: CheckError['kind'], message: string, hint: string) {
    super(message, { hint });
    this.kind = kind;
  }
}

/** CheckList runs checks and keeps their results. One that fails does not stop those after it. */
export class CheckList {
  readonly checks: Check[] = [];
  readonly #exitCodes: number[] = [];
  readonly #signal: AbortSignal;
  readonly #onCheck: (check: Check) => void;

  constructor({ signal, onCheck }: { signal: AbortSignal; onCheck: (check: Check) => void }) {
    this.#signal = signal;
    this.#onCheck = onCheck;
  }

  get exitCode(): number {
    return worstExitCode(this.#exitCodes);
  }

  /** `run` adds the finding or the failure of `work`. Throws only when interrupted. */
  async run<T>(name: string, work: () => Promise<Finding<T>>): Promise<Outcome<T>> {
    const outcome = await outcomeOf(this.#signal, work);
    this.add(name, outcome);
    return outcome.ok ? { ok: true, value: outcome.value.value } : outcome;
  }

  add(name: string, outcome: Outcome<Finding<unknown>>): void {
    if (outcome.ok) this.note(name, outcome.value);
    else this.fail(name, outcome.error);
  }

  note(name: string, { message, hint = null }: Pick<Finding<unknown>, 'message' | 'hint'>): void {
    this.#add({ name, ok: true, message, hint }, EXIT.ok);
  }

  /** `fail` adds a failure; `exitCode` is for one that sums up, or follows from, another. */
  fail(name: string, error: unknown, exitCode = exitCodeOf(error)): void {
    const { message, hint } = describeError(error);
    this.#add({ name, ok: false, message, hint }, exitCode);
  }

  #add(check: Check, exitCode: number): void {
    this.checks.push(check);
    this.#exitCodes.push(exitCode);
    this.#onCheck(check);
  }
}

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown };

/** `outcomeOf` returns the outcome of `work`. Throws only the signal's reason, when interrupted. */
export async function outcomeOf<T>(signal: AbortSignal, work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, error };
  }
}
