import { Argument, CommanderError, Option, Command as Program } from 'commander';
import { SettingsError } from '../errors.ts';
import { capitalize } from '../terminal/words.ts';
import { type Command, exampleDays } from './command.ts';
import { commands, type ListedCommand, things } from './commands.ts';
import {
  flagName,
  type OptionSpec,
  type OptionSpecs,
  type OptionValues,
  switchOption,
  textOption,
} from './options.ts';

export interface Invocation {
  readonly command: Command;
  readonly options: OptionValues<OptionSpecs>;
  readonly json: boolean;
  readonly configFile: string | null;
  readonly mayColor: boolean;
}

export interface HelpTerminal {
  readonly version: string;
  readonly write: (text: string) => void;
  readonly hasColors: boolean;
  readonly columns: number;
  readonly nowMs: number;
}

/** The options as given: the texts of each option by its name, `true` for a switch. */
type Given = Readonly<Record<string, readonly string[] | boolean | undefined>>;

const COMMON = {
  json: switchOption('print one JSON document instead of text'),
  config: textOption('FILE', 'settings file for several instances', 'LOSANT_USAGE_CONFIG'),
  noColor: switchOption('print without colours, as with NO_COLOR'),
};

const EXIT_CODES =
  'Exit codes: 0 nothing due is missing · 1 failure · 2 wrong usage or settings · 3 something due is missing · ' +
  '4 another process is at work · 5 Losant refused the token or a scope · 130/143 interrupted';

const HELP_WIDTH_MAX = 110;

/** `parseCommandLine` returns null once it has written help or the version. Throws SettingsError. */
export async function parseCommandLine(
  argv: readonly string[],
  terminal: HelpTerminal,
): Promise<Invocation | null> {
  // Help is asked for after a command, which declares its options for it.
  const asksHelp = argv.length > 1 && ['help', '--help', '-h'].includes(argv[0] ?? '');
  const args = asksHelp ? [...argv.slice(1), '--help'] : argv;
  const meant = findMeant(args);
  let invocation: Invocation | null = null;
  const program = declareProgram(terminal);
  for (const listed of commands) {
    const declared = declareCommand(program, listed, terminal);
    if (listed.name !== meant) continue;
    const command = await listed.load();
    declareOptions(declared, command, terminal, (given) => {
      invocation = readInvocation(meant, command, given);
    });
  }
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return null;
    throw describeMistake(error, meant);
  }
  return invocation;
}

function readInvocation(name: string, command: Command, given: Given): Invocation {
  const specs = Object.entries(command.options);
  const missing = specs.find(([key, spec]) => spec.isRequired && given[key] === undefined);
  if (missing) throw mistake(`required option '${termOf(...missing)}' not specified`, name);
  return {
    command,
    options: Object.fromEntries(specs.map(([key, spec]) => [key, readOption(key, spec, given[key])])),
    json: given['json'] === true,
    configFile: readOption('config', COMMON.config, given['config']),
    mayColor: given['color'] !== false,
  };
}

/** `findMeant` returns the name of the command or thing that the first words name, or empty text. */
export function findMeant([first = '', second = '']: readonly string[]): string {
  const listed = commands.find(({ name }) => name === first || name === `${first} ${second}`);
  return listed?.name ?? (first in things ? first : '');
}

function describeMistake({ code, message }: CommanderError, meant: string): SettingsError {
  if (code === 'commander.help') return mistake('No command was given', meant);
  // commander puts a guess on a second line, in parentheses.
  return mistake(message.replace(/^error: /, '').replace(/\n\((.*)\)$/, '. $1'), meant);
}

/** `mistake` returns the error for a mistake. `meant` is the command or thing that was meant, or empty. */
function mistake(message: string, meant: string): SettingsError {
  const lists = meant === '' || meant in things ? 'the commands' : 'its options';
  return new SettingsError(message, {
    hint: `${['losant-usage', meant, '--help'].filter((word) => word !== '').join(' ')} lists ${lists}`,
  });
}

function declareProgram(terminal: HelpTerminal): Program {
  const program = configure(new Program('losant-usage'), terminal);
  return program
    .description('Copies Losant usage counters into Postgres, per organization and UTC day.')
    .version(terminal.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help; after a command, its options')
    .addHelpCommand(new Program('help').argument('[command]').description('show help').helpGroup('Set up:'))
    .addHelpText('after', `\n${program.createHelp().boxWrap(EXIT_CODES, widthOf(terminal))}`);
}

function configure(program: Program, terminal: HelpTerminal): Program {
  return program
    .exitOverride()
    .configureOutput({
      writeOut: terminal.write,
      writeErr: () => {},
      getOutHasColors: () => terminal.hasColors,
    })
    .configureHelp({
      styleTitle: bold,
      helpWidth: widthOf(terminal),
      minWidthToWrap: 20,
      subcommandTerm: (each) => [each.name(), ...each.registeredArguments.map((arg) => arg.name())].join(' '),
    });
}

function widthOf({ columns }: HelpTerminal): number {
  return Math.min(columns, HELP_WIDTH_MAX);
}

function declareCommand(
  program: Program,
  { name, group, summary }: ListedCommand,
  terminal: HelpTerminal,
): Program {
  const declare = (parent: Program, word: string, about: string) =>
    configure(parent.command(word), terminal)
      .summary(about)
      .description(`${capitalize(about)}.`)
      .helpOption('-h, --help', 'show this help')
      .helpGroup(`${group}:`);
  const [first = '', second] = name.split(' ');
  if (second === undefined) return declare(program, first, summary);
  const known = program.commands.find((each) => each.name() === first);
  return declare(known ?? declare(program, first, things[first] ?? '').helpCommand(false), second, summary);
}

function declareOptions(
  declared: Program,
  command: Command,
  terminal: HelpTerminal,
  take: (given: Given) => void,
): void {
  const specs = { ...command.options, ...commonOptions(command) };
  const byPlace: string[] = [];
  for (const [key, spec] of Object.entries(specs)) {
    if (spec.isArgument) {
      byPlace.push(key);
      declared.addArgument(new Argument(`<${key}>`, describe(spec)));
    } else declared.addOption(toOption(key, spec));
  }
  declared.addHelpText('after', renderExamples(command, terminal)).action((...args: unknown[]) => {
    const given = byPlace.map((key, index): [string, string[]] => [key, [String(args[index])]]);
    take({ ...(args[byPlace.length] as Given), ...Object.fromEntries(given) });
  });
}

export function commonOptions({ json: hasJson, needs }: Pick<Command, 'json' | 'needs'>): OptionSpecs {
  const { json, config, noColor } = COMMON;
  return { ...(hasJson !== false && { json }), ...(needs !== 'none' && { config }), noColor };
}

function toOption(name: string, spec: OptionSpec<unknown>): Option {
  const option = new Option(termOf(name, spec), describe(spec));
  if (spec.value === null) return option;
  // The texts are kept as they come and are read once the command is known.
  return option.argParser((text: string, previous: string[] | undefined) => [...(previous ?? []), text]);
}

function termOf(name: string, { value, isList }: OptionSpec<unknown>): string {
  return `${flagName(name)}${value === null ? '' : ` <${value}${isList ? '...' : ''}>`}`;
}

function describe({ summary, choices, shownDefault, ...spec }: OptionSpec<unknown>): string {
  const facts = [
    spec.isRequired && !spec.isArgument ? 'required' : null,
    spec.isList ? 'several: repeat it, or separate by commas' : null,
    spec.isRepeated ? 'several: repeat it' : null,
    choices === undefined ? null : `one of: ${choices.join(', ')}`,
    shownDefault ? `default: ${shownDefault}` : null,
  ].filter((fact) => fact !== null);
  return facts.length === 0 ? summary : `${summary} (${facts.join('; ')})`;
}

function readOption<T>(name: string, spec: OptionSpec<T>, given: readonly string[] | boolean | undefined): T {
  if (given === undefined || typeof given === 'boolean') {
    return given === true ? spec.read('', spec.initial) : spec.initial;
  }
  const shown = spec.isArgument ? name : flagName(name);
  if (given.length > 1 && !spec.isList && !spec.isRepeated) {
    throw new SettingsError(`${shown} was given ${given.length} times`, { hint: 'give it once' });
  }
  let value = spec.initial;
  for (const text of given) {
    try {
      value = spec.read(text, value);
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      throw new SettingsError(`${shown} ${text}: ${error.message}`, { hint: error.hint, cause: error });
    }
  }
  return value;
}

function renderExamples({ examples }: Command, terminal: HelpTerminal): string {
  const width = widthOf(terminal);
  const lines = Object.entries(examples(exampleDays(terminal.nowMs))).map(([args, does]) => {
    return `  # ${does}\n${breakCommand(`  losant-usage ${args}`, width)}`;
  });
  return `\n${bold('Examples:')}\n${lines.join('\n')}`;
}

/** `breakCommand` breaks a long command before an option, as a shell reads it. */
function breakCommand(command: string, width: number): string {
  const [first = '', ...options] = command.split(/ (?=--|[|>])/);
  const lines = [first];
  for (const option of options) {
    const line = `${lines.at(-1)} ${option}`;
    if (line.length + ' \\'.length <= width) lines.splice(-1, 1, line);
    else lines.push(`      ${option}`);
  }
  return lines.join(' \\\n');
}

/** `bold` returns the text in bold; the library removes the style where colours are not shown. */
function bold(text: string): string {
  return `\x1b[1m${text}\x1b[22m`;
}
