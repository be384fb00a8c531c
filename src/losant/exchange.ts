import type { Dispatcher } from 'undici';

/** What came of one request. */
export interface Reply {
  /** Null: nothing came at all. */
  readonly status: number | null;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** As received, up to the bound and the chunk that went beyond it. */
  readonly body: Buffer;
  /** How the body ended. */
  readonly end: 'complete' | 'too_large' | 'timeout' | 'broken';
  /** Of a broken one. */
  readonly cause: unknown;
}

/** Most bytes of a body, as they come over the wire. */
export interface BodyBounds {
  readonly ofAnswer: number;
  /** Of a status other than 200. */
  readonly ofError: number;
}

/** Handed to the connection if the rest of an answer is of no use. */
const ENDED = new Error('the request was ended');

/** One request under way: gathers its answer, and ends with it, with its time, or with an abort. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly reply: Promise<Reply>;
  readonly #bounds: BodyBounds;
  readonly #resolve: (reply: Reply) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #onEnd: (exchange: Exchange) => void;
  #controller: Dispatcher.DispatchController | null = null;
  #isEnded = false;
  #status: number | null = null;
  #headers: Reply['headers'] = {};
  readonly #chunks: Buffer[] = [];
  #size = 0;

  /** `onEnd` is told once, before the reply is there. */
  constructor(bounds: BodyBounds, onEnd: (exchange: Exchange) => void) {
    this.#bounds = bounds;
    this.#onEnd = onEnd;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.reply = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** The reply ends here: what has come until now is all of it. */
  expire(): void {
    this.#finish('timeout');
    this.#controller?.abort(ENDED);
  }

  /** There is no reply: the promise rejects with `reason`. */
  abort(reason: unknown): void {
    if (!this.#end()) return;
    this.#reject(reason);
    this.#controller?.abort(ENDED);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It may have ended while it waited for a connection.
    if (this.#isEnded) controller.abort(ENDED);
  }

  onResponseStart(_: unknown, status: number, headers: Reply['headers']): void {
    // An interim answer, e.g. 103: the real one follows.
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const { ofAnswer, ofError } = this.#bounds;
    if (this.#size <= (this.#status === 200 ? ofAnswer : ofError)) return;
    this.#finish('too_large');
    controller.abort(ENDED);
  }

  onResponseEnd(): void {
    this.#finish('complete');
  }

  onResponseError(_: unknown, error: Error): void {
    this.#finish('broken', error);
  }

  #finish(end: Reply['end'], cause: unknown = null): void {
    if (!this.#end()) return;
    const [only = EMPTY, ...more] = this.#chunks;
    const body = more.length === 0 ? only : Buffer.concat(this.#chunks, this.#size);
    this.#resolve({ status: this.#status, headers: this.#headers, body, end, cause });
  }

  /** False if it has ended before. */
  #end(): boolean {
    if (this.#isEnded) return false;
    this.#isEnded = true;
    this.#onEnd(this);
    return true;
  }
}

const EMPTY = Buffer.alloc(0);
