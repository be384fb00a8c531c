import { Argument, CommanderError, Option, Command as Program } from 'commander';
import { SettingsError } from '../errors.ts';
import type { Command } from './command.ts';
import { commands, things } from './commands.ts';
import {
  flagName,
  type OptionSpec,
  type OptionSpecs,
  type OptionValues,
  pathOption,
  switchOption,
} from './options.ts';

/** What the command line asks for. */
export interface Invocation {
  readonly command: Command;
  /** The command's own options, checked. */
  readonly options: OptionValues<OptionSpecs>;
  readonly json: boolean;
  readonly configFile: string | null;
  /** False where colours are not wanted. */
  readonly mayColor: boolean;
}

export interface CliTerminal {
  readonly version: string;
  /** Writes help and version texts. */
  readonly write: (text: string) => void;
  readonly hasColors: boolean;
}

/** As given: the texts of each option by its name, `true` for a switch. */
type Given = Readonly<Record<string, readonly string[] | boolean | undefined>>;

interface Parsed {
  readonly command: Command;
  readonly given: Given;
}

const COMMON = {
  json: switchOption('print one JSON document instead of text'),
  config: pathOption('settings file for several instances', 'LOSANT_USAGE_CONFIG'),
} as const;

const EXIT_CODES = `
Exit codes: 0 nothing due is missing · 1 failure · 2 wrong usage or settings · 3 something due is missing ·
            4 another process is at work · 5 Losant refused the token or a scope · 130/143 interrupted`;

/**
 * Reads the command line. Returns null where help or the version was asked for
 * and has been written. Throws SettingsError for anything it does not understand.
 */
export async function parseCommandLine(
  argv: readonly string[],
  terminal: CliTerminal,
): Promise<Invocation | null> {
  const parsed = await parse(argv, terminal);
  if (parsed === null) return null;
  const { command, given } = parsed;
  const config = await readOption('config', COMMON.config, given['config']);
  const options: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(command.options)) {
    options[name] = await readOption(name, spec, given[name]);
  }
  return {
    command,
    options,
    json: given['json'] === true,
    configFile: config,
    mayColor: given['color'] !== false,
  };
}

async function parse(argv: readonly string[], terminal: CliTerminal): Promise<Parsed | null> {
  const parsed: Parsed[] = [];
  const program = declareProgram(terminal);
  for (const command of commands) {
    const { described, names } = await describeOptions(command, argv);
    declareCommand(program, command, { terminal, described }).action((...args: unknown[]) => {
      const byPlace = names.map((name, index): [string, string[]] => [name, [String(args[index])]]);
      const given: Given = Object.fromEntries(byPlace);
      parsed.push({ command, given: { ...(args[names.length] as Given), ...given } });
    });
  }
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return null;
    throw describeMistake(error, argv);
  }
  return parsed[0] ?? null;
}

/** Whether the words of the command's name are given. */
function isMeant({ name }: Command, argv: readonly string[]): boolean {
  const words = name.split(' ');
  return argv.some((_, place) => words.every((word, index) => argv[place + index] === word));
}

function describeMistake({ code, message }: CommanderError, argv: readonly string[]): SettingsError {
  if (code === 'commander.help') {
    const thing = Object.keys(things).find((name) => argv.includes(name));
    return new SettingsError('No command was given', {
      hint: `losant-usage ${thing === undefined ? '' : `${thing} `}--help lists the commands`,
    });
  }
  const command = commands.find((each) => isMeant(each, argv));
  // A guess stands on a second line, in parentheses.
  const text = message.replace(/^error: /, '').replace(/\n\((.*)\)$/, '. $1');
  return new SettingsError(text, {
    hint: command
      ? `losant-usage ${command.name} --help lists its options`
      : 'losant-usage --help lists the commands',
  });
}

function declareProgram(terminal: CliTerminal): Program {
  return configure(new Program('losant-usage'), terminal)
    .description('Copies Losant usage counters into Postgres, per organization and UTC day.')
    .version(terminal.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help; after a command, its options')
    .addHelpCommand(new Program('help').argument('[command]').description('show help').helpGroup('Set up:'))
    .addHelpText('after', EXIT_CODES);
}

/** The same for the program and each command: errors are thrown, help is written to `terminal`. */
function configure(program: Program, { write, hasColors }: CliTerminal): Program {
  return program
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => {}, getOutHasColors: () => hasColors })
    .configureHelp({
      styleTitle: bold,
      helpWidth: 110,
      subcommandTerm: (each) => [each.name(), ...each.registeredArguments.map((arg) => arg.name())].join(' '),
    });
}

function declareCommand(
  program: Program,
  command: Command,
  { terminal, described }: { terminal: CliTerminal; described: (Option | Argument)[] },
): Program {
  const [first = '', second] = command.name.split(' ');
  const parent = second === undefined ? program : thingOf(program, first, { terminal, command });
  const declared = configure(parent.command(second ?? first), terminal)
    .summary(command.summary)
    .description(`${command.summary.slice(0, 1).toUpperCase()}${command.summary.slice(1)}.`)
    .helpOption('-h, --help', 'show this help')
    .helpGroup(`${command.group}:`);
  for (const each of described) {
    if (each instanceof Option) declared.addOption(each);
    else declared.addArgument(each);
  }
  if (command.json !== false) declared.option('--json', COMMON.json.summary);
  if (command.needs !== 'none') declared.addOption(toOption('config', COMMON.config, []));
  declared.option('--no-color', 'print without colours, as with NO_COLOR');
  return declared.addHelpText('after', renderExamples(command));
}

/** The part of the program that holds all that can be done to a thing. */
function thingOf(
  program: Program,
  name: string,
  { terminal, command }: { terminal: CliTerminal; command: Command },
): Program {
  const known = program.commands.find((each) => each.name() === name);
  if (known) return known;
  const summary = things[name] ?? '';
  return configure(program.command(name), terminal)
    .summary(summary)
    .description(`${summary.slice(0, 1).toUpperCase()}${summary.slice(1)}.`)
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .helpGroup(`${command.group}:`);
}

/** The options and arguments of a command; their choices are only looked up for the command that is meant. */
async function describeOptions(command: Command, argv: readonly string[]) {
  const described: (Option | Argument)[] = [];
  const names: string[] = [];
  const needsChoices = isMeant(command, argv) && argv.some((each) => /^(-h|--help|help)$/.test(each));
  for (const [name, spec] of Object.entries(command.options)) {
    const choices = needsChoices ? ((await spec.choices?.()) ?? []) : [];
    if (spec.isArgument) {
      described.push(new Argument(`<${name}>`, describe(spec, choices)));
      names.push(name);
    } else described.push(toOption(name, spec, choices));
  }
  return { described, names };
}

function toOption(name: string, spec: OptionSpec<unknown>, choices: readonly string[]): Option {
  const value = spec.value === null ? '' : ` <${spec.value}${spec.isList ? '...' : ''}>`;
  const option = new Option(`${flagName(name)}${value}`, describe(spec, choices));
  if (spec.value === null) return option;
  option.makeOptionMandatory(spec.isRequired ?? false);
  // The texts as they come: what they mean is read once the command is known.
  return option.argParser((text: string, previous: string[] | undefined) => [...(previous ?? []), text]);
}

function describe(
  { summary, isRequired, isArgument, isList, isRepeated, shownDefault }: OptionSpec<unknown>,
  choices: readonly string[],
): string {
  const facts = [
    isRequired && !isArgument ? 'required' : null,
    isList ? 'several: repeat it, or separate by commas' : null,
    isRepeated ? 'several: repeat it' : null,
    choices.length > 0 ? `one of: ${choices.join(', ')}` : null,
    shownDefault === undefined ? null : `default: ${shownDefault}`,
  ].filter((fact) => fact !== null);
  return facts.length === 0 ? summary : `${summary} (${facts.join('; ')})`;
}

async function readOption<T>(
  name: string,
  spec: OptionSpec<T>,
  given: readonly string[] | boolean | undefined,
): Promise<T> {
  if (given === undefined || typeof given === 'boolean') {
    return given === true ? await spec.read('', spec.absent) : spec.absent;
  }
  const shown = spec.isArgument ? name : flagName(name);
  if (given.length > 1 && !spec.isList && !spec.isRepeated) {
    throw new SettingsError(`${shown} was given ${given.length} times`, { hint: 'give it once' });
  }
  let value = spec.absent;
  for (const text of given) {
    try {
      value = await spec.read(text, value);
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      throw new SettingsError(`${shown} ${text}: ${error.message}`, { hint: error.hint, cause: error });
    }
  }
  return value;
}

function renderExamples({ examples }: Command): string {
  if (examples.length === 0) return '';
  const lines = examples.map(({ args, does }) => `  # ${does}\n  losant-usage ${args}`);
  return `\n${bold('Examples:')}\n${lines.join('\n')}`;
}

/** Taken out again by the library where colours are not shown. */
function bold(text: string): string {
  return `\x1b[1m${text}\x1b[22m`;
}
