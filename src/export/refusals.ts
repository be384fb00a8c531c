import type { LosantError } from '../errors.ts';

/** Organizations that must refuse a stream, and none answer it, before the scope is taken to be missing. */
const REFUSING_ORGS = 3;

/** Whether Losant refuses to answer: nothing is said of the cell itself. */
export function isRefusal({ kind }: LosantError): boolean {
  return kind === 'unauthorized' || kind === 'forbidden';
}

/** What Losant refuses in a run: everything, streams, or single organizations. */
export class Refusals {
  /** The refusal that stands for the run; null if there was none. */
  worst: LosantError | null = null;
  readonly #orgs = new Map<string, Set<string>>();
  readonly #answered = new Set<string>();
  readonly #streams = new Map<string, LosantError>();

  addAnswer(stream: string): void {
    this.#answered.add(stream);
  }

  add({ stream, orgId }: { stream: string; orgId: string }, error: LosantError): void {
    if (error.kind === 'unauthorized') this.worst = error;
    this.worst ??= error;
    const orgs = this.#orgs.get(stream) ?? new Set();
    this.#orgs.set(stream, orgs.add(orgId));
    if (orgs.size >= REFUSING_ORGS && !this.#answered.has(stream)) this.#streams.set(stream, error);
  }

  /** Why the stream is not asked for any more in this run; undefined if it is. */
  of(stream: string): LosantError | undefined {
    return this.isTotal ? (this.worst ?? undefined) : this.#streams.get(stream);
  }

  get isTotal(): boolean {
    return this.worst?.kind === 'unauthorized';
  }
}
