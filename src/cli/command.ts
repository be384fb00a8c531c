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
  /** Aborts with an InterruptedError when the program is asked to end. */
  readonly signal: AbortSignal;
  /** Returns the time in ms by this host's clock. */
  readonly hostNow: () => number;
  readonly random: () => number;
  readonly newId: () => string;
  readonly host: string;
  readonly version: string;
}

/** The tools of a command. */
export interface CommandContext extends Io {
  readonly output: Output;
  readonly config: Config;
  readonly logger: Logger;
  readonly role: Role;
}

/** The end of a command: what it printed before is not part of it. */
export interface Ending {
  /** The document of `--json`; none if it was printed before. */
  readonly document?: unknown;
  /** The same for people. */
  readonly lines?: readonly string[];
  /** By default, 0. */
  readonly exitCode?: number;
}

/** A verb of the command line; its name and its summary are beside the list of commands. */
export interface Command<O extends Options = Options> {
  /** The settings that it cannot do without. Null: it gets the defaults, so that no setting can be wrong. */
  readonly needs: readonly Need[] | null;
  readonly options: O;
  /** The database role that it takes; by default the reader's, which suffices to look. */
  readonly role?: Role;
  /** Whether its log is what it shows; a terminal shows only warnings of any other. */
  readonly isService?: boolean;
  run(context: CommandContext, options: OptionValues<O>): Promise<Ending>;
}

/** Returns the command, with its options checked against those that its `run` takes. */
export function defineCommand<O extends Options>(command: Command<O>): Command<O> {
  return command;
}
