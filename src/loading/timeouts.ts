import type { Slice } from '../usage/plan.ts';
import type { SliceResult } from './extract.ts';

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
 * after the other until one does not time out, and then in parallel. After half a window, or two slices in a row, that
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
    const queue = this.#queues.get(key) ?? {
      slices: 0,
      turn: Promise.resolve(),
      isResponding: false,
      timeouts: 0,
    };
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
  // A window that timed out has a result for each half.
  queue.timeouts = queue.isResponding ? 0 : queue.timeouts + results.length;
}
