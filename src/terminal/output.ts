import type { Sink } from './sink.ts';
import { escapeJson, type Line, renderLine } from './text.ts';

/** Where a command's result goes. Logs go to stderr, by the logger. */
export interface Output {
  /** Whether one JSON document is wanted instead of text. */
  readonly json: boolean;
  /** Whether a person watches: stdout and stderr are a terminal. */
  readonly isTerminal: boolean;
  /** Writes lines of the result to stdout. */
  readonly print: (...lines: readonly Line[]) => void;
  /** Writes the one document of `--json` to stdout. */
  readonly printJson: (document: unknown) => void;
  /** Writes lines beside the result to stderr: progress, hints. */
  readonly remark: (...lines: readonly Line[]) => void;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly isTerminal: boolean;
  /** Whether colours are shown, on stdout and on stderr. */
  readonly color: { readonly out: boolean; readonly err: boolean };
}

/** The one boundary to the terminal: whatever passes here holds no control character but its line breaks. */
export function createOutput(
  { out, err }: { out: Sink; err: Sink },
  { json, isTerminal, color }: OutputOptions,
): Output {
  return {
    json,
    isTerminal,
    print: (...lines) => writeLines(out, lines, color.out),
    printJson: (document) => out.write(`${escapeJson(JSON.stringify(document))}\n`),
    remark: (...lines) => writeLines(err, lines, color.err),
  };
}

function writeLines(sink: Sink, lines: readonly Line[], color: boolean): void {
  if (lines.length > 0) sink.write(lines.map((each) => `${renderLine(each, { color })}\n`).join(''));
}
