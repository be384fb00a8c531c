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

export interface BaseContext extends Io {
  readonly output: Output;
}

/** The context of a command that reads the settings. */
export interface CommandContext extends BaseContext {
  readonly config: Config;
  readonly logger: Logger;
}

/**
 * The settings that a command cannot do without; others are read, but may be missing. `database_if_set`: not even
 * the database's. `none`: it reads no settings, so that none can be wrong.
 */
export type Needs = readonly Need[] | 'database_if_set' | 'none';

/** A verb of the command line; its name and its summary are beside the list of commands. */
export interface Command<N extends Needs = Needs, O extends Options = Options> {
  readonly needs: N;
  readonly options: O;
  /** Whether its log is what it shows; a terminal shows only warnings of any other. */
  readonly isService?: boolean;
  run(context: ContextOf<N>, options: OptionValues<O>): Promise<number>;
}

export type ContextOf<N extends Needs> = N extends 'none' ? BaseContext : CommandContext;

/** Returns the command, with its options checked against those that its `run` takes. */
export function defineCommand<const N extends Needs, O extends Options>(
  command: Command<N, O>,
): Command<N, O> {
  return command;
}
