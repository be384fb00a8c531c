/** How far the requests of a plan are, for whoever watches a run. */
export interface RequestProgress {
  /** Of the plan, or more where more turned out to be needed. */
  readonly total: number;
  readonly done: number;
}

/** So many at the expected rate are mixed into the measured one: a few slow or fast answers at the start move the estimate little. */
const PRIOR = 50;

/**
 * Counts the requests of a plan: one is done when no further attempt of it follows.
 * What is found due after the plan was made is not in its total.
 */
export class PlannedRequests {
  #planned: number | null = null;
  #done = 0;

  /** Null before there is a plan: those before it belong to discovery. */
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

/** The time the rest takes, in ms. `rate`: steps per second that are expected. Pure. */
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
