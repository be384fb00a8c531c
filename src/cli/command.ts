import type { Logger } from '../logger.ts';
import type { Config } from '../settings/config.ts';
import type { Need } from '../settings/table.ts';
import type { Output } from '../terminal/output.ts';
import type { UsageDay } from '../usage/day.ts';
import type { Month } from '../usage/period.ts';
import type { OptionSpecs, OptionValues } from './options.ts';

/** A standard stream of the process, or what stands for it in a test. */
export interface OutStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  /** Width of the terminal, in characters. */
  readonly columns?: number | undefined;
  readonly hasColors?: (env: object) => boolean;
}

export type InStream = NodeJS.ReadableStream & { readonly isTTY?: boolean };

/** Everything that the program takes from outside but its arguments. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Opened by the first who asks. */
  readonly stdin: () => InStream;
  readonly stdout: OutStream;
  readonly stderr: OutStream;
  /** Aborts with an InterruptedError when the program is asked to end. */
  readonly signal: AbortSignal;
  /** This host's clock, ms. */
  readonly hostNow: () => number;
  readonly random: () => number;
  readonly newId: () => string;
  readonly host: string;
  readonly version: string;
}

/** What every command is given. */
export interface BaseContext extends Io {
  readonly output: Output;
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

/** Days for examples, counted from the day on which they are shown: a day that is written out is soon past the horizon. */
export interface ExampleDays {
  readonly yesterday: UsageDay;
  readonly weekAgo: UsageDay;
  /** Far back, and still inside the horizon. */
  readonly twoMonthsAgo: UsageDay;
  /** The month before this one, with its first and last day. */
  readonly lastMonth: { readonly name: Month; readonly from: UsageDay; readonly to: UsageDay };
}

/** A verb of the command line; name and summary stand in the list of commands. */
export interface Command<N extends Needs = Needs, O extends OptionSpecs = OptionSpecs> {
  readonly needs: N;
  readonly options: O;
  readonly examples: (days: ExampleDays) => readonly Example[];
  /** `false`: it has no result that a document could hold, so it takes no `--json`. */
  readonly json?: boolean;
  /** Keeps what is below `warn` from a terminal unless asked, as its result says the same. */
  readonly isQuiet?: boolean;
  /** What an interruption leaves behind, as the hint beside it; left out: nothing that anybody has to know. */
  readonly whenInterrupted?: string;
  /** Does the work and returns the exit code. */
  run(context: ContextOf<N>, options: OptionValues<O>): Promise<number>;
}

export type ContextOf<N extends Needs> = N extends 'none' ? BaseContext : CommandContext;

/** A command whose options are checked against what its `run` takes. */
export function defineCommand<N extends Needs, O extends OptionSpecs>(command: Command<N, O>): Command<N, O> {
  return command;
}
