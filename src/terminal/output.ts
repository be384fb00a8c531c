import { escapeControls, escapeJson, escapeLines } from './text.ts';

/** The destination of a command's result. Logs go to stderr, by the logger. */
export type Output = ReturnType<typeof createOutput>;

/** A standard stream of the process, or its substitute in a test. */
export interface OutStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
}

/** Creates the only boundary to the terminal. Of all control characters, only line breaks pass. */
export function createOutput({ out, err }: { out: Sink; err: Sink }, { json }: { json: boolean }) {
  return {
    json,
    /** Whether a person watches: both stdout and stderr are a terminal. */
    isTerminal: out.isTerminal && err.isTerminal,
    /** Writes lines of the result for people; nothing with `--json`. */
    print: (...lines: readonly string[]) => {
      if (!json) writeLines(out, lines);
    },
    /** Writes the document of the result; nothing without `--json`. */
    printJson: (document: unknown) => {
      if (json) out.write(`${escapeJson(JSON.stringify(document))}\n`);
    },
    /** Writes a part of the text of the document, which the last part ends; nothing without `--json`. */
    writeJson: async (part: string, isLast = false) => {
      if (!json) return;
      out.write(`${escapeJson(part)}${isLast ? '\n' : ''}`);
      await out.drain();
    },
    /** Writes a part of a file to stdout. Resolves to false if nothing more can be written. */
    writePart: async (part: string | Uint8Array) => {
      out.write(out.isTerminal && typeof part === 'string' ? escapeLines(part) : part);
      await out.drain();
      return !out.isClosed;
    },
    /** Writes lines that are not the result to stderr: progress, hints. */
    remark: (...lines: readonly string[]) => writeLines(err, lines),
  };
}

/** Writes a JSON array while its items are read; `before` and `after` are the text around it. */
export class JsonList {
  readonly #output: Output;
  #separator: string;

  constructor(output: Output, before = '') {
    this.#output = output;
    this.#separator = `${before}[`;
  }

  async add(items: readonly object[]): Promise<void> {
    if (!this.#output.json || items.length === 0) return;
    const text = `${this.#separator}${JSON.stringify(items).slice(1, -1)}`;
    this.#separator = ',';
    await this.#output.writeJson(text);
  }

  /** Ends the array, and with it the document. */
  async end(after = ''): Promise<void> {
    const isEmpty = this.#separator !== ',';
    await this.#output.writeJson(`${isEmpty ? this.#separator : ''}]${after}`, true);
  }
}

function writeLines(sink: Sink, lines: readonly string[]): void {
  if (lines.length > 0) sink.write(lines.map((each) => `${escapeControls(each)}\n`).join(''));
}

/**
 * Stdout or stderr. The reader may go away and the disk may be full, but nothing here throws. A closed pipe silently
 * ends the writing, because the reader has seen enough. Any other failure is recorded for the caller.
 */
export class Sink {
  /** Why the text could not be written; null if it could, or if the reader is gone. */
  failure: NodeJS.ErrnoException | null = null;
  isClosed = false;
  readonly isTerminal: boolean;
  readonly #stream: OutStream;
  /** Resolves after the last write, and so after all of them. */
  #lastWrite = Promise.resolve();

  constructor(stream: OutStream) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
    stream.on('error', (error: NodeJS.ErrnoException) => this.#end(error));
  }

  write(part: string | Uint8Array): void {
    if (this.isClosed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#lastWrite = promise;
    this.#stream.write(part, (error) => {
      if (error) this.#end(error);
      resolve();
    });
  }

  /** Resolves once everything is written, or nothing more can be. */
  async drain(): Promise<void> {
    if (!this.isClosed) await this.#lastWrite;
  }

  #end(error: NodeJS.ErrnoException): void {
    if (!this.isClosed && error.code !== 'EPIPE') this.failure = error;
    this.isClosed = true;
  }
}
