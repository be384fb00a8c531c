import type { Config } from '../settings/config.ts';
import type { Logger } from '../logger.ts';

/** Where a command's result goes. Logs go to stderr, by the logger. */
export interface Output {
  /** Writes to stdout. */
  readonly write: (text: string) => void;
  /** Writes passing remarks to stderr: progress, hints. */
  readonly remark: (text: string) => void;
  /** Whether a person watches stdout. */
  readonly isTerminal: boolean;
  /** Whether one JSON document is wanted instead of text. */
  readonly json: boolean;
}

/** What every command is given; built in main. */
export interface CommandContext {
  readonly config: Config;
  readonly logger: Logger;
  readonly output: Output;
  /** Aborts with an InterruptedError on the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** This host's clock, ms. */
  readonly hostNow: () => number;
  readonly random: () => number;
  readonly newId: () => string;
  readonly host: string;
  readonly version: string;
}

/** Prints the one document of `--json`. */
export function printJson(output: Output, document: unknown): void {
  output.write(`${JSON.stringify(document)}\n`);
}
