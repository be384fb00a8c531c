import { isRejection, type LosantError } from '../errors.ts';
import type { SliceResult } from './extract.ts';

/** So many organizations must reject a stream, and none respond, before its scope counts as missing. */
const REJECTING_ORGS = 3;

/** So many requests for an organization that time out in one run, and it is not asked for more. */
const TIMEOUTS_MAX = 2;

/** What a run no longer requests: everything, a stream whose scope Losant rejects, or a silent organization. */
export class Rejections {
  /** The rejection that the run reports; null if there is none. */
  worst: LosantError | null = null;
  /** Losant asked to wait for longer than a run waits. */
  isPaused = false;
  readonly #orgIdsByStream = new Map<string, Set<string>>();
  readonly #respondingStreams = new Set<string>();
  readonly #streams = new Map<string, LosantError>();
  readonly #timeouts = new Map<string, number>();

  /** `orgCount` is that of the run so far: if these are fewer than {@link REJECTING_ORGS}, all of them must reject. */
  record({ slice, error }: Pick<SliceResult, 'slice' | 'error'>, orgCount: number): void {
    const { stream, orgId } = slice;
    if (error === null) this.#respondingStreams.add(stream);
    if (error?.kind === 'rate_limited') this.isPaused = true;
    if (error?.kind === 'timeout') this.#timeouts.set(orgId, (this.#timeouts.get(orgId) ?? 0) + 1);
    if (error === null || !isRejection(error.kind)) return;
    if (error.kind === 'unauthorized') this.worst = error;
    this.worst ??= error;
    const orgIds = this.#orgIdsByStream.get(stream) ?? new Set();
    this.#orgIdsByStream.set(stream, orgIds.add(orgId));
    const isRejectedByAll = orgIds.size >= Math.min(REJECTING_ORGS, orgCount) && !this.#respondingStreams.has(stream);
    if (isRejectedByAll) this.#streams.set(stream, error);
  }

  /** Returns why the run no longer requests the stream; undefined if it does. */
  findForStream(stream: string): LosantError | undefined {
    return (this.isTokenRejected && this.worst) || this.#streams.get(stream);
  }

  /** Whether the token or the scope of a stream is rejected, and not just one organization's request. */
  isGlobal({ slice, error }: Pick<SliceResult, 'slice' | 'error'>): boolean {
    if (error?.kind === 'unauthorized') return true;
    return error?.kind === 'forbidden' && !this.#respondingStreams.has(slice.stream);
  }

  get excludedStreams(): string[] {
    return [...this.#streams.keys()];
  }

  /** The organizations that did not respond in time, too often. */
  get excludedOrgIds(): string[] {
    return [...this.#timeouts].flatMap(([orgId, timeouts]) => (timeouts >= TIMEOUTS_MAX ? [orgId] : []));
  }

  get isTokenRejected(): boolean {
    return this.worst?.kind === 'unauthorized';
  }

  /** If so, the run requests nothing more. */
  get endsRun(): boolean {
    return this.isTokenRejected || this.isPaused;
  }
}
