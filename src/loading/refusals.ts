import type { LosantError } from '../errors.ts';
import type { SliceResult } from './extract.ts';

/**
 * The number of organizations that must refuse a stream, while none answers it, before the scope counts as missing;
 * with fewer, all of them.
 */
const REFUSING_ORGS = 3;

/** The refusals of a run: of everything, of streams, or of single organizations. */
export class Refusals {
  /** The refusal that the run reports; null if there was none. */
  worst: LosantError | null = null;
  readonly #orgs = new Map<string, Set<string>>();
  readonly #answered = new Set<string>();
  readonly #streams = new Map<string, LosantError>();

  /** Takes the end of a request into account. `orgCount` is the number of organizations that the run has met. */
  record(
    { stream, orgId }: { readonly stream: string; readonly orgId: string },
    error: LosantError | null,
    orgCount: number,
  ): void {
    if (error === null) this.#answered.add(stream);
    if (error?.kind !== 'unauthorized' && error?.kind !== 'forbidden') return;
    if (error.kind === 'unauthorized') this.worst = error;
    this.worst ??= error;
    const orgs = this.#orgs.get(stream) ?? new Set();
    this.#orgs.set(stream, orgs.add(orgId));
    const isRefusedByAll = orgs.size >= Math.min(REFUSING_ORGS, orgCount) && !this.#answered.has(stream);
    if (isRefusedByAll) this.#streams.set(stream, error);
  }

  /** Returns the reason why the stream is no longer asked for in this run; undefined if it is. */
  forStream(stream: string): LosantError | undefined {
    return this.isTokenRefused ? (this.worst ?? undefined) : this.#streams.get(stream);
  }

  /** Whether a result is a refusal of the token or of a stream, and not one organization's own. */
  isGlobal({ slice, error }: Pick<SliceResult, 'slice' | 'error'>): boolean {
    return (
      error?.kind === 'unauthorized' || (error?.kind === 'forbidden' && !this.#answered.has(slice.stream))
    );
  }

  /** The streams that are no longer asked for in this run. */
  get refusedStreams(): string[] {
    return [...this.#streams.keys()];
  }

  /** Whether the token is refused, so that nothing is asked for any more. */
  get isTokenRefused(): boolean {
    return this.worst?.kind === 'unauthorized';
  }
}
