/** What ends when its time is over. */
export interface Expiring {
  expire(): void;
}

/**
 * Ends what takes longer than `timeoutMs`, by one timer for all: as the bound is
 * the same for everything, what began first is due first. May be late by the
 * lateness of a timer, never early.
 */
export class Deadlines {
  readonly #timeoutMs: number;
  /** In the order in which they began, each with the time when it is due. */
  readonly #due = new Map<Expiring, number>();
  #timer: NodeJS.Timeout | null = null;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  add(member: Expiring): void {
    this.#due.set(member, performance.now() + this.#timeoutMs);
    if (this.#timer === null) this.#arm(this.#timeoutMs);
    else if (this.#due.size === 1) this.#timer.ref();
  }

  delete(member: Expiring): void {
    this.#due.delete(member);
    // Set up anew for each single request, the timer would cost as much as one of its own.
    if (this.#due.size === 0) this.#timer?.unref();
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#expire(), ms);
  }

  #expire(): void {
    this.#timer = null;
    const now = performance.now();
    for (const [member, dueMs] of this.#due) {
      if (dueMs > now) {
        this.#arm(Math.ceil(dueMs - now));
        return;
      }
      this.#due.delete(member);
      member.expire();
    }
  }
}
