import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type DayRange, parseDay, type UsageDay } from './usage/day.ts';
import { SettingsError } from './errors.ts';
import { streamNames } from './usage/streams/catalog.ts';

/** What the command line asks for. */
export interface Invocation {
  readonly verb: Verb;
  /** The verb's own options, as commander names them, checked. */
  readonly options: CliOptions;
  readonly json: boolean;
  readonly configFile: string | null;
}

export type Verb =
  | 'run'
  | 'worker'
  | 'backfill'
  | 'check'
  | 'migrate'
  | 'simulator'
  | 'demo'
  | 'status'
  | 'gaps'
  | 'explain'
  | 'waive';

export interface CliOptions {
  readonly json?: boolean;
  readonly config?: string;
  readonly date?: UsageDay;
  readonly from?: UsageDay;
  readonly to?: UsageDay;
  readonly org?: string[];
  readonly stream?: string[];
  readonly force?: boolean;
  readonly pastHorizon?: boolean;
  readonly rate?: number;
  readonly dryRun?: boolean;
  readonly wait?: number;
  readonly allOrgs?: boolean;
  readonly all?: boolean;
  readonly day?: DayRange;
  readonly reason?: string;
  readonly probe?: boolean;
  readonly port?: number;
  readonly orgs?: number;
  readonly seed?: string;
  readonly token?: string;
}

export interface CliOptionsForParse {
  readonly version: string;
  /** Writes help and version texts. */
  readonly write: (text: string) => void;
}

/**
 * Reads the command line. Returns null where help or the version was asked for
 * and has been written. Throws SettingsError for anything it does not understand.
 */
export function parseCommandLine(argv: readonly string[], options: CliOptionsForParse): Invocation | null {
  let invocation: Invocation | null = null;
  const program = declare(options, (verb, given) => {
    invocation = { verb, options: given, json: given.json ?? false, configFile: given.config ?? null };
  });
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return null;
    if (error.code === 'commander.help') {
      throw new SettingsError('No command was given', { hint: 'losant-usage --help lists the commands' });
    }
    const message = error.message.replace(/^error: /, '');
    throw new SettingsError(message, {
      hint: 'losant-usage --help, or losant-usage COMMAND --help, tells what there is',
    });
  }
  return invocation;
}

function declare(
  { version, write }: CliOptionsForParse,
  onVerb: (verb: Verb, options: CliOptions) => void,
): Command {
  const program = new Command('losant-usage')
    .description('Copies Losant usage counters into Postgres, per organization and UTC day.')
    .version(version, '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => {} })
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing due is missing, 1 failure, 2 wrong usage or settings, 3 something due is missing,\n4 another process is at work, 5 Losant refused the token or a scope, 130/143 interrupted.',
    );
  const command = (verb: Verb, description: string): Command =>
    program
      .command(verb)
      .description(description)
      .exitOverride()
      .configureOutput({ writeOut: write, writeErr: () => {} })
      .option('--json', 'print one JSON document on stdout')
      .action((given: CliOptions) => onVerb(verb, given));
  const exporting = (verb: Verb, description: string): Command =>
    withConfig(command(verb, description))
      .option('--org <id...>', 'only these organizations', collectIds)
      .addOption(new Option('--stream <name...>', 'only these streams').choices(streamNames))
      .option('--dry-run', 'print the plan and touch nothing')
      .option('--wait <seconds>', 'wait so long for another process to finish', parseCount);

  exporting('run', 'export now all that is due, or one day again').option(
    '--date <day>',
    'this day, due or not',
    readDay,
  );
  withConfig(command('worker', 'the unattended service: exports by schedule, serves health and metrics'));
  exporting('backfill', 'read a range of days; skips what is held unless it is due')
    .requiredOption('--from <day>', 'first day', readDay)
    .requiredOption('--to <day>', 'last day', readDay)
    .option('--force', 'read held days again')
    .option('--past-horizon', 'ask for days that Losant should no longer keep')
    .option('--rate <n>', 'requests per second', parseRate);
  withConfig(command('check', 'check settings, database, clock, token and scopes; changes nothing'))
    .option('--all-orgs', 'ask for every organization, not only the first')
    .option('--probe', 'also find out what the documentation of the API leaves open');
  withConfig(command('migrate', 'bring the database to this version')).option(
    '--dry-run',
    'only tell what would be done',
  );
  declareReading(command);
  command('simulator', 'a Losant API on loopback, for trying out')
    .option('--port <port>', 'port; 0 takes a free one', parseCount)
    .option('--orgs <n>', 'organizations', parseCount)
    .option('--seed <text>', 'everything is computed from it')
    .option('--token <token>', 'the token that has access');
  command('demo', 'the whole product on the simulator, in a fresh folder');
  return program;
}

/** Commands that only look at the database, and `waive`, which marks in it. */
function declareReading(command: (verb: Verb, description: string) => Command): void {
  const streamOption = () => new Option('--stream <name...>', 'only these streams').choices(streamNames);
  withConfig(command('status', 'how far the numbers reach, the last runs; exits 3 if something is missing'));
  withConfig(command('gaps', 'every number that is missing; exits 3 if there is one')).option(
    '--all',
    'also what is unavailable or waived',
  );
  withConfig(command('explain', 'where a number comes from, and what became of it'))
    .requiredOption('--org <id>', 'the organization', readId)
    .requiredOption('--day <day>', 'the day', readOneDay)
    .addOption(streamOption());
  withConfig(command('waive', 'accept a missing number as known missing; a good read lifts it'))
    .requiredOption('--org <id>', 'the organization', readId)
    .requiredOption('--day <day>', 'the day, or FIRST..LAST', readDays)
    .addOption(new Option('--stream <name>', 'the stream').argParser(readStream).makeOptionMandatory())
    .requiredOption('--reason <text>', 'why, for whoever bills');
}

function withConfig(command: Command): Command {
  return command.option('--config <file>', 'settings file for several instances');
}

function readDay(text: string): UsageDay {
  const day = parseDay(text);
  if (day === null) throw new InvalidArgumentError('A day is written YYYY-MM-DD.');
  return day;
}

function readDays(text: string): DayRange {
  const [from = '', to = from, ...rest] = text.split('..').map((part) => parseDay(part));
  if (!from || !to || rest.length > 0 || from > to) {
    throw new InvalidArgumentError(
      'Days are written YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD, the earlier first.',
    );
  }
  return { from, to };
}

function readOneDay(text: string): DayRange {
  const day = readDay(text);
  return { from: day, to: day };
}

function readId(text: string): string[] {
  const ids = collectIds(text, undefined);
  if (ids.length !== 1) throw new InvalidArgumentError('One organization at a time.');
  return ids;
}

function readStream(text: string): string[] {
  if (!streamNames.includes(text))
    throw new InvalidArgumentError(`The streams are ${streamNames.join(', ')}.`);
  return [text];
}

function collectIds(text: string, previous: string[] | undefined): string[] {
  const ids = text.split(',').map((id) => id.trim().toLowerCase());
  if (ids.some((id) => !/^[0-9a-f]{24}$/.test(id))) {
    throw new InvalidArgumentError('An organization id has 24 hex characters.');
  }
  return [...new Set([...(previous ?? []), ...ids])];
}

function parseCount(text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError('Not a whole number.');
  return Number(text);
}

function parseRate(text: string): number {
  const rate = Number(text);
  if (!(rate > 0 && rate <= 10_000))
    throw new InvalidArgumentError('A rate is a number above 0, at most 10000.');
  return rate;
}
