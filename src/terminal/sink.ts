/** The part of a stream that is used here. */
export interface WritableStream {
  write(part: string | Uint8Array, done: (error?: Error | null) => void): unknown;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * stdout or stderr, whose reader may go away and whose disk may be full: nothing
 * of that ever throws. A closed pipe ends the writing in silence, as the reader
 * has seen enough; any other failure is kept for whoever asks.
 */
export class Sink {
  /** Why the text could not be written; null if it could, or if nobody reads it any more. */
  failure: NodeJS.ErrnoException | null = null;
  readonly #stream: WritableStream;
  #isOver = false;
  #pending = 0;
  #waiting: (() => void)[] = [];

  constructor(stream: WritableStream) {
    this.#stream = stream;
    stream.on('error', (error) => this.#end(error));
  }

  write(part: string | Uint8Array): void {
    if (this.#isOver) return;
    this.#pending += 1;
    this.#stream.write(part, (error) => {
      this.#pending -= 1;
      if (error) this.#end(error);
      if (this.#pending === 0 || this.#isOver) for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  /** Whether nothing can be written any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves once everything is written, or cannot be. */
  async drain(): Promise<void> {
    if (this.#pending === 0 || this.#isOver) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #end(error: NodeJS.ErrnoException): void {
    if (!this.#isOver && error.code !== 'EPIPE') this.failure = error;
    this.#isOver = true;
  }
}
