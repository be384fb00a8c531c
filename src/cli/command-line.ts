import { SettingsError } from '../errors.ts';
import { nearestName } from '../terminal/spelling.ts';
import { type Line, renderTable, styled } from '../terminal/text.ts';
import { capitalize } from '../terminal/words.ts';
import type { Command } from './command.ts';
import { commands, type ListedCommand } from './commands.ts';
import type { Options, OptionValues } from './options.ts';

/** A command with its options, or text to print in place of one: help, or the version. */
export type Invocation =
  | { readonly text: readonly Line[] }
  | { readonly command: Command; readonly options: OptionValues<Options> };

const EXIT_CODES = [
  'Exit codes: 0 nothing due is missing · 1 failure · 2 wrong usage or settings',
  '            3 something due is missing · 4 another process is at work',
  '            5 Losant refused the token or a scope · 130/143 interrupted',
];

const HELP = ['help', '--help', '-h'];

/** Reads the command line. Throws SettingsError for a mistake in it. */
export async function parseCommandLine(argv: readonly string[], version: string): Promise<Invocation> {
  const isHelpFirst = HELP.includes(argv[0] ?? '');
  const args = isHelpFirst ? argv.slice(1) : argv;
  const [first = '', second = ''] = args;
  if (['--version', '-V'].includes(first)) return { text: [version] };
  if (isHelpFirst && first === '') return { text: renderProgram() };
  const listed = commands.find(({ name }) => name === first || name === `${first} ${second}`);
  if (listed === undefined) throw unknownCommand(first, second);
  const command = await listed.load();
  const { commonOptions, readOptions } = await import('./options.ts');
  const shape = { ...command.options, ...commonOptions(command) };
  const rest = args.slice(listed.name.split(' ').length);
  if (isHelpFirst || rest.some((each) => HELP.slice(1).includes(each))) {
    return { text: await renderCommand(listed, shape) };
  }
  return { command, options: readOptions(listed.name, rest, shape) };
}

function unknownCommand(first: string, second: string): SettingsError {
  const hint = 'losant-usage --help lists the commands';
  if (first === '') return new SettingsError('No command was given', { hint });
  const names = commands.map(({ name }) => name);
  const given = names.some((name) => name.startsWith(`${first} `)) ? `${first} ${second}`.trim() : first;
  const near = nearestName(given, names);
  const meant = near === null ? '' : `. Did you mean ${near}?`;
  return new SettingsError(`unknown command '${given}'${meant}`, { hint });
}

function renderProgram(): Line[] {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const groups = [...Map.groupBy(commands, ({ group }) => group)].flatMap(([group, own]) => [
    styled('bold', `${group}:`),
    ...renderTable({ rows: own.map(({ name, summary }) => [name.padEnd(width), summary]) }),
    '',
  ]);
  return [
    'Usage: losant-usage <command> [options], or losant-usage help <command>',
    '',
    'Copies Losant usage counters into Postgres, per organization and UTC day.',
    '',
    ...groups,
    ...EXIT_CODES,
  ];
}

async function renderCommand({ name, summary }: ListedCommand, options: Options): Promise<Line[]> {
  const { renderOptions, renderUsage } = await import('./options.ts');
  return [
    renderUsage(name, options),
    '',
    `${capitalize(summary)}.`,
    '',
    styled('bold', 'Options:'),
    ...renderOptions(options),
  ];
}
