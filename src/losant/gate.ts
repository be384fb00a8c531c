import type { Question } from './attempt.ts';
import type { Rate } from './rate.ts';

export interface GateOptions {
  /** The most requests under way at once. */
  readonly concurrency: number;
  /** The rate of the token, which other gates may share. */
  readonly rate: Rate;
}

/** The only way out for the requests of an instance: it bounds how many are under way, at the rate of their token. */
export class Gate {
  readonly concurrency: number;
  readonly rate: Rate;
  #underWay = 0;

  constructor({ concurrency, rate }: GateOptions) {
    this.concurrency = concurrency;
    this.rate = rate;
  }

  /**
   * Runs `task` when its turn comes and passes it the time it waited. While it waits, the promise rejects as that of
   * {@link Rate.waitForTurn}. Once started, the task has to watch the signal itself.
   */
  async run<T>(task: (waitedMs: number) => Promise<T>, question: Question): Promise<T> {
    const sinceMs = performance.now();
    await this.rate.waitForTurn(question, {
      mayStart: () => this.#underWay < this.concurrency,
      start: () => {
        this.#underWay += 1;
      },
    });
    try {
      return await task(performance.now() - sinceMs);
    } finally {
      this.#underWay -= 1;
      this.rate.startWaiters();
    }
  }
}
