/** The progress of a plan's requests, for anyone who watches a run. */
export interface RequestProgress {
  /** The number of requests in the plan, or more if more proved necessary. */
  readonly total: number;
  readonly done: number;
}

/**
 * The number of requests at the expected rate that are mixed into the measured one, so that a few slow
 * or fast answers at the start hardly move the estimate.
 */
const PRIOR = 50;

/**
 * PlannedRequests counts the requests of a plan. A request is done when no further attempt of it
 * follows. Requests found due after the plan was made are not in its total.
 */
export class PlannedRequests {
  #planned: number | null = null;
  #done = 0;

  /** Returns the progress; null before there is a plan, because earlier requests belong to discovery. */
  get progress(): RequestProgress | null {
    if (this.#planned === null) return null;
    return { total: Math.max(this.#planned, this.#done), done: this.#done };
  }

  plan({ requests }: { readonly requests: number }): void {
    this.#planned = requests;
    this.#done = 0;
  }

  count({ outcome, retryReason }: { readonly outcome: string; readonly retryReason: string | null }): void {
    if (retryReason === null && outcome !== 'aborted') this.#done += 1;
  }
}

/**
 * `estimateLeftMs` returns the time that the rest takes, in ms. `rate` is the expected number of steps per
 * second. Pure.
 */
export function estimateLeftMs({
  done,
  total,
  elapsedMs,
  rate,
}: RequestProgress & { readonly elapsedMs: number; readonly rate: number }): number {
  const prior = Math.min(PRIOR, total);
  const eachMs = (elapsedMs + (prior * 1_000) / rate) / (done + prior);
  return Math.max(0, total - done) * eachMs;
}
