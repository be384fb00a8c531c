import { isRejection, type LosantError } from '../errors.ts';
import type { Slice } from '../usage/plan.ts';
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

  /** `orgCount` is that of the run so far: if these are fewer than {@link REFUSING_ORGS}, all of them must reject. */
  record({ stream, orgId }: { stream: string; orgId: string }, error: LosantError | null, orgCount: number): void {
    if (error === null) this.#respondingStreams.add(stream);
    if (error === null || !isRejection(error.kind)) return;
    if (error.kind === 'unauthorized') this.worst = error;
    this.worst ??= error;
    const orgIds = this.#orgIdsByStream.get(stream) ?? new Set();
    this.#orgIdsByStream.set(stream, orgIds.add(orgId));
    const isRejectedByAll = orgIds.size >= Math.min(REFUSING_ORGS, orgCount) && !this.#respondingStreams.has(stream);
    if (isRejectedByAll) this.#streams.set(stream, error);
  }

  /** Returns why the run no longer requests the stream; undefined if it does. */
  forStream(stream: string): LosantError | undefined {
    return (this.isTokenRefused && this.worst) || this.#streams.get(stream);
  }

  /** Whether the token or the scope of a stream is rejected, and not just one organization's request. */
  isGlobal({ slice, error }: Pick<SliceResult, 'slice' | 'error'>): boolean {
    if (error?.kind === 'unauthorized') return true;
    return error?.kind === 'forbidden' && !this.#respondingStreams.has(slice.stream);
  }

  get refusedStreams(): string[] {
    return [...this.#streams.keys()];
  }

  /** If so, the run requests nothing more. */
  get isTokenRefused(): boolean {
    return this.worst?.kind === 'unauthorized';
  }
}

/** The slices of a stream of an organization that are in progress. */
interface Queue {
  slices: number;
  /** Resolves when the next slice may start. */
  turn: Promise<void>;
  /** Whether the last slice that ended did not time out. */
  isResponding: boolean;
  timeouts: number;
}

const MAX_TIMEOUTS = 2;

/**
 * Bounds the requests for an organization that does not respond. The slices of one of its streams are extracted one
 * after the other until one does not time out, and then in parallel. After half a slice, or two slices in a row, that
 * timed out, the run gives up the stream of the organization.
 */
export class Timeouts {
  readonly #queues = new Map<string, Queue>();

  /** Calls `extract` once the slice may start, with whether its stream is given up: it must not be requested then. */
  async extractInTurn(
    { orgId, stream }: Pick<Slice, 'orgId' | 'stream'>,
    extract: (isGivenUp: boolean) => Promise<SliceResult[]>,
  ): Promise<SliceResult[]> {
    const key = `${orgId} ${stream}`;
    const { promise: nextTurn, resolve: startNext } = Promise.withResolvers<void>();
    const queue = this.#queues.get(key) ?? { slices: 0, turn: Promise.resolve(), isResponding: false, timeouts: 0 };
    this.#queues.set(key, queue);
    const { turn } = queue;
    queue.turn = nextTurn;
    queue.slices += 1;
    await turn;
    try {
      if (queue.isResponding) startNext();
      const results = await extract(queue.timeouts >= MAX_TIMEOUTS);
      if (results.length > 0) recordEnd(queue, results);
      return results;
    } finally {
      startNext();
      queue.slices -= 1;
      if (queue.slices === 0 && queue.timeouts === 0) this.#queues.delete(key);
    }
  }
}

function recordEnd(queue: Queue, results: readonly SliceResult[]): void {
  queue.isResponding = !results.some(({ error }) => error?.kind === 'timeout');
  if (queue.timeouts >= MAX_TIMEOUTS) return;
  // A slice that timed out has a result for each half.
  queue.timeouts = queue.isResponding ? 0 : queue.timeouts + results.length;
}
