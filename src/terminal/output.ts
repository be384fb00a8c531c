import { escapeJson, escapeLines, type Line, renderLine, wrapLine } from './text.ts';

/** Where a command's result goes. Logs go to stderr, by the logger. */
export interface Output {
  /** Whether one JSON document is wanted instead of text. */
  readonly json: boolean;
  /** Whether a person watches: stdout and stderr are a terminal. */
  readonly isTerminal: boolean;
  /** Whether what is written to stdout is shown to a person. */
  readonly isShown: boolean;
  /** Writes lines of the result to stdout. */
  readonly print: (...lines: readonly Line[]) => void;
  /** Writes the one document of `--json` to stdout. */
  readonly printJson: (document: unknown) => void;
  /** Whether that was written. */
  readonly hasDocument: () => boolean;
  /**
   * Writes a part of a file to stdout, byte by byte as it is unless it is shown, and
   * resolves once it is written: to false if no more of it can be.
   */
  readonly writePart: (part: string | Uint8Array) => Promise<boolean>;
  /** Writes lines beside the result to stderr: progress, hints. */
  readonly remark: (...lines: readonly Line[]) => void;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly isTerminal: boolean;
  readonly isShown: boolean;
  /** Width of the terminal on stdout; null where it is none. */
  readonly columns: number | null;
  /** Whether colours are shown, on stdout and on stderr. */
  readonly color: { readonly out: boolean; readonly err: boolean };
}

/** The one boundary to the terminal: whatever passes here holds no control character but its line breaks. */
export function createOutput(
  { out, err }: { out: Sink; err: Sink },
  { json, isTerminal, isShown, columns, color }: OutputOptions,
): Output {
  let hasDocument = false;
  return {
    json,
    isTerminal,
    isShown,
    print: (...lines) => {
      const shown = columns === null ? lines : lines.flatMap((each) => wrapLine(each, columns));
      writeLines(out, shown, color.out);
    },
    printJson: (document) => {
      hasDocument = true;
      out.write(`${escapeJson(JSON.stringify(document))}\n`);
    },
    hasDocument: () => hasDocument,
    writePart: async (part) => {
      out.write(isShown && typeof part === 'string' ? escapeLines(part) : part);
      await out.drain();
      return !out.isOver;
    },
    remark: (...lines) => writeLines(err, lines, color.err),
  };
}

function writeLines(sink: Sink, lines: readonly Line[], color: boolean): void {
  if (lines.length > 0) sink.write(lines.map((each) => `${renderLine(each, { color })}\n`).join(''));
}

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
