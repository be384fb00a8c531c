import type { Role } from '../database/handle.ts';
import type { Logger } from '../logger.ts';
import type { Config } from '../settings/config.ts';
import type { Need } from '../settings/settings.ts';
import type { Output, OutStream } from '../terminal/output.ts';
import type { Options, OptionValues } from './options.ts';

/** Everything that the program takes from outside, except its arguments. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: OutStream;
  readonly stderr: OutStream;
  /** Aborts with an InterruptedError when the process is asked to stop. */
  readonly signal: AbortSignal;
  /** Returns the time in ms by this host's clock. */
  readonly hostNow: () => number;
  readonly newId: () => string;
  readonly host: string;
  readonly version: string;
}

export interface CommandContext extends Io {
  readonly output: Output;
  readonly config: Config;
  readonly logger: Logger;
  readonly role: Role;
}

/** What a command returns, beyond what it has already printed. */
export interface CommandResult {
  /** The document of `--json`; absent if the command has printed it. */
  readonly document?: unknown;
  /** The same result for people. */
  readonly lines?: readonly string[];
  /** 0 by default. */
  readonly exitCode?: number;
}

/** A command. Its name and its summary are in commands.ts. */
export interface Command<O extends Options = Options> {
  /** The settings that must be set. Null: the command gets the defaults, and no setting can fail it. */
  readonly needs: readonly Need[] | null;
  readonly options: O;
  /** The database role that the command needs, by default losant_usage_reader. */
  readonly role?: Role;
  /** Whether its log is its result. Any other command logs only warnings to a terminal. */
  readonly isService?: boolean;
  run(context: CommandContext, options: OptionValues<O>): Promise<CommandResult>;
}

/** Returns the command; the compiler checks `run` against `options`. */
export function defineCommand<O extends Options>(command: Command<O>): Command<O> {
  return command;
}
