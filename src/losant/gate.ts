import type { ApiRequest } from './attempt.ts';
import type { Rate } from './rate.ts';

export interface GateOptions {
  /** The most requests at the same time. */
  readonly concurrency: number;
  /** The rate of the token, which other gates may share. */
  readonly rate: Rate;
}

/** All requests of an instance go through its gate. It limits how many run at once, at the rate of the token. */
export class Gate {
  readonly concurrency: number;
  readonly rate: Rate;
  #running = 0;

  constructor({ concurrency, rate }: GateOptions) {
    this.concurrency = concurrency;
    this.rate = rate;
  }

  /**
   * Runs `task` when its turn comes, with the time that it waited. The next request starts when the task calls
   * `release`, or else when it ends. Rejects while it waits as {@link Rate.waitForTurn} does. A running task must watch
   * the signal itself.
   */
  async run<T>(task: (waitedMs: number, release: () => void) => Promise<T>, request: ApiRequest): Promise<T> {
    const arrivedAtMs = performance.now();
    await this.rate.waitForTurn(request, {
      canStart: () => this.#running < this.concurrency,
      start: () => {
        this.#running += 1;
      },
    });
    let isRunning = true;
    const release = () => {
      if (!isRunning) return;
      isRunning = false;
      this.#running -= 1;
      this.rate.startWaiters();
    };
    try {
      return await task(performance.now() - arrivedAtMs, release);
    } finally {
      release();
    }
  }
}
