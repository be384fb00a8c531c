import type { Logger } from '../logger.ts';
import type { Config } from '../settings/config.ts';
import type { Need } from '../settings/table.ts';
import type { Output } from '../terminal/output.ts';
import type { OptionSpecs, OptionValues } from './options.ts';

/** What every command is given; built in main. */
export interface BaseContext {
  readonly output: Output;
  /** Aborts with an InterruptedError on the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** This host's clock, ms. */
  readonly hostNow: () => number;
  readonly random: () => number;
  readonly newId: () => string;
  readonly host: string;
  readonly version: string;
}

/** What a command is given that reads the settings. */
export interface CommandContext extends BaseContext {
  readonly config: Config;
  readonly logger: Logger;
  /** Whether the result, printed to the same terminal, stands for what would be logged of it. */
  readonly isSummaryEnough: boolean;
}

/**
 * The settings a command reads. `losant`: what an export needs. `database`: Losant's may be missing,
 * and `database_if_set`: also the database's. `api`: those of Losant alone. `admin`: the same with the
 * token that can change things there, and `admin_export`: that and what an export needs. `none`: no
 * setting, so that none can be wrong.
 */
export type Needs = keyof typeof SETTINGS_NEEDED | 'database_if_set' | 'none';

export const SETTINGS_NEEDED = {
  losant: ['losant', 'database'],
  database: ['database'],
  api: ['losant'],
  admin: ['losant', 'admin'],
  admin_export: ['losant', 'database', 'admin'],
} as const satisfies Readonly<Record<string, readonly Need[]>>;

export interface Example {
  /** What follows `losant-usage`. */
  readonly args: string;
  readonly does: string;
}

/**
 * A verb of the command line. Its file declares it and is loaded at every start,
 * for help and completion: what it works with is imported when it runs.
 */
export interface Command<N extends Needs = Needs, O extends OptionSpecs = OptionSpecs> {
  /** Two words, such as `org show`, for what can be done to a thing. */
  readonly name: string;
  /** One sentence, in lower case and without a full stop. */
  readonly summary: string;
  /** The heading it stands under in the list of commands. */
  readonly group: 'Export' | 'Look' | 'Decide' | 'Set up' | 'Try out';
  readonly needs: N;
  readonly options: O;
  readonly examples: readonly Example[];
  /** `false`: it has no result that a document could hold, so it takes no `--json`. */
  readonly json?: boolean;
  /** Ends the process when it returns, whatever is still open. */
  readonly endsProcess?: boolean;
  /** Keeps what is below `warn` from a terminal unless asked, as its result tells the same. */
  readonly isQuiet?: boolean;
  /** Does the work and returns the exit code. */
  run(context: ContextOf<N>, options: OptionValues<O>): Promise<number>;
}

export type ContextOf<N extends Needs> = N extends 'none' ? BaseContext : CommandContext;

/** A command whose options are checked against what its `run` takes. */
export function defineCommand<N extends Needs, O extends OptionSpecs>(command: Command<N, O>): Command<N, O> {
  return command;
}
