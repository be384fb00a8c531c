import type { LosantError } from '../errors.ts';
import type { SliceResult } from './extract.ts';

/** So many organizations must reject a stream, and none respond, before its scope counts as missing. */
const REFUSING_ORGS = 3;

/** What Losant rejects in a run: the token, the scope of a stream, or a stream of single organizations. */
export class Refusals {
  /** The rejection that the run reports; null if there is none. */
  worst: LosantError | null = null;
  readonly #orgIdsByStream = new Map<string, Set<string>>();
  readonly #respondingStreams = new Set<string>();
  readonly #streams = new Map<string, LosantError>();

  /**
   * Takes the end of a request into account. `orgCount` is the number of organizations in the run so far: if these are
   * fewer than {@link REFUSING_ORGS}, all of them must reject.
   */
  record(
    { stream, orgId }: { readonly stream: string; readonly orgId: string },
    error: LosantError | null,
    orgCount: number,
  ): void {
    if (error === null) this.#respondingStreams.add(stream);
    if (error?.kind !== 'unauthorized' && error?.kind !== 'forbidden') return;
    if (error.kind === 'unauthorized') this.worst = error;
    this.worst ??= error;
    const orgIds = this.#orgIdsByStream.get(stream) ?? new Set();
    this.#orgIdsByStream.set(stream, orgIds.add(orgId));
    const isRejectedByAll =
      orgIds.size >= Math.min(REFUSING_ORGS, orgCount) && !this.#respondingStreams.has(stream);
    if (isRejectedByAll) this.#streams.set(stream, error);
  }

  /** Returns why the run no longer requests the stream; undefined if it does. */
  forStream(stream: string): LosantError | undefined {
    return this.isTokenRefused ? (this.worst ?? undefined) : this.#streams.get(stream);
  }

  /** Whether the token or the scope of a stream is rejected, and not just one organization's request. */
  isGlobal({ slice, error }: Pick<SliceResult, 'slice' | 'error'>): boolean {
    if (error?.kind === 'unauthorized') return true;
    return error?.kind === 'forbidden' && !this.#respondingStreams.has(slice.stream);
  }

  /** The streams that the run no longer requests. */
  get refusedStreams(): string[] {
    return [...this.#streams.keys()];
  }

  /** If so, the run requests nothing more. */
  get isTokenRefused(): boolean {
    return this.worst?.kind === 'unauthorized';
  }
}
