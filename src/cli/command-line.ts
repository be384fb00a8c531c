import { SettingsError } from '../errors.ts';
import { nearestName } from '../terminal/spelling.ts';
import { capitalize } from '../terminal/words.ts';
import type { Command } from './command.ts';
import { commands, HELP } from './commands.ts';
import type { Options, OptionValues } from './options.ts';

/** A command with its options, or text to print in place of one: help, or the version. */
export type Invocation =
  | { readonly text: readonly string[] }
  | { readonly command: Command; readonly options: OptionValues<Options> };

const HELP_WORDS = ['help', '--help', '-h'];

/** Reads the command line. Throws SettingsError for a mistake in it. */
export async function parseCommandLine(argv: readonly string[], version: string): Promise<Invocation> {
  const isHelpFirst = HELP_WORDS.includes(argv[0] ?? '');
  const args = isHelpFirst ? argv.slice(1) : argv;
  const [first = '', second = ''] = args;
  if (['--version', '-V'].includes(first)) return { text: [version] };
  if (isHelpFirst && first === '') return { text: HELP.split('\n') };
  const name = commands.has(first) ? first : `${first} ${second}`;
  const command = await commands.get(name)?.();
  if (command === undefined) throw unknownCommand(first, second);
  const { commonOptions, readOptions, renderUsage } = await import('./options.ts');
  const shape = { ...commonOptions(command.needs !== 'none'), ...command.options };
  const rest = args.slice(name.split(' ').length);
  if (!isHelpFirst && !rest.some((each) => HELP_WORDS.slice(1).includes(each))) {
    return { command, options: readOptions(name, rest, shape) };
  }
  const [, summary = ''] = new RegExp(`^  ${name} +(.*)$`, 'm').exec(HELP) ?? [];
  return { text: renderUsage(name, `${capitalize(summary)}.`, shape) };
}

function unknownCommand(first: string, second: string): SettingsError {
  const hint = 'losant-usage --help lists the commands';
  if (first === '') return new SettingsError('No command was given', { hint });
  const names = [...commands.keys()];
  const given = names.some((name) => name.startsWith(`${first} `)) ? `${first} ${second}`.trim() : first;
  const near = nearestName(given, names);
  const meant = near === null ? '' : `. Did you mean ${near}?`;
  return new SettingsError(`unknown command '${given}'${meant}`, { hint });
}
