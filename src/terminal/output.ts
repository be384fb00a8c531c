import type { Sink } from './sink.ts';
import { escapeJson, escapeLines, type Line, renderLine } from './text.ts';

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
  /** Whether colours are shown, on stdout and on stderr. */
  readonly color: { readonly out: boolean; readonly err: boolean };
}

/** The one boundary to the terminal: whatever passes here holds no control character but its line breaks. */
export function createOutput(
  { out, err }: { out: Sink; err: Sink },
  { json, isTerminal, isShown, color }: OutputOptions,
): Output {
  return {
    json,
    isTerminal,
    isShown,
    print: (...lines) => writeLines(out, lines, color.out),
    printJson: (document) => out.write(`${escapeJson(JSON.stringify(document))}\n`),
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
