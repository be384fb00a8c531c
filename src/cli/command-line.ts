import { SettingsError } from '../errors.ts';
import { nearestName } from '../terminal/spelling.ts';
import { type Line, renderLine, renderTable, styled, wrapLine } from '../terminal/text.ts';
import { capitalize } from '../terminal/words.ts';
import { type Command, exampleDays } from './command.ts';
import { commands, type ListedCommand, things } from './commands.ts';
import type { Options, OptionValues } from './options.ts';

export interface Invocation {
  readonly command: Command;
  readonly options: OptionValues<Options>;
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

const EXIT_CODES =
  'Exit codes: 0 nothing due is missing · 1 failure · 2 wrong usage or settings · 3 something due is missing · ' +
  '4 another process is at work · 5 Losant refused the token or a scope · 130/143 interrupted';

const HELP_WIDTH_MAX = 110;
const HELP = ['--help', '-h'];

/** Returns null once it has written help or the version. Throws SettingsError. */
export async function parseCommandLine(
  argv: readonly string[],
  terminal: HelpTerminal,
): Promise<Invocation | null> {
  // Help is asked for after a command, which declares its options for it.
  const asksHelp = argv.length > 1 && ['help', ...HELP].includes(argv[0] ?? '');
  const args = asksHelp ? [...argv.slice(1), '--help'] : argv;
  const [first = '', second = ''] = args;
  if (['--version', '-V'].includes(first)) {
    terminal.write(`${terminal.version}\n`);
    return null;
  }
  if (['help', ...HELP].includes(first)) return write(renderProgram(), terminal);
  const listed = commands.find(({ name }) => name === first || name === `${first} ${second}`);
  if (listed === undefined) {
    if (first in things && HELP.includes(second)) return write(renderThing(first), terminal);
    throw unknownCommand(first, second);
  }
  const command = await listed.load();
  const { commonOptions, readOptions, UsageError } = await import('./options.ts');
  const shape = { ...command.options, ...commonOptions(command) };
  const rest = args.slice(listed.name.split(' ').length);
  if (rest.some((each) => HELP.includes(each))) {
    return write(await renderCommand(listed, { ...command, options: shape }, terminal), terminal);
  }
  try {
    const options = readOptions(rest, shape);
    const { json, config, noColor } = options;
    const configFile = typeof config === 'string' ? config : null;
    return { command, options, json: json === true, configFile, mayColor: noColor !== true };
  } catch (error) {
    throw error instanceof UsageError ? mistake(error.message, listed.name) : error;
  }
}

function unknownCommand(first: string, second: string): SettingsError {
  const word = first in things ? second : first;
  const thing = first in things ? first : '';
  if (word === '') return mistake('No command was given', thing);
  if (word.startsWith('-')) return mistake(`unknown option '${word}'`, thing);
  const words = commands.map(({ name }) => name.split(' '));
  const known = words.flatMap(([one = '', two]) => (thing === '' ? one : one === thing && two ? two : []));
  const near = nearestName(word, known);
  return mistake(`unknown command '${word}'${near === null ? '' : `. Did you mean ${near}?`}`, thing);
}

/** Returns the error for a mistake. `meant` is the command or thing that was meant, or empty. */
function mistake(message: string, meant: string): SettingsError {
  const lists = meant === '' || meant in things ? 'the commands' : 'its options';
  const command = ['losant-usage', meant, '--help'].filter((word) => word !== '').join(' ');
  return new SettingsError(message, { hint: `${command} lists ${lists}` });
}

function write(lines: readonly Line[], terminal: HelpTerminal): null {
  const wrapped = lines.flatMap((each) => wrapLine(each, widthOf(terminal)));
  terminal.write(
    wrapped.map((each) => `${renderLine(each, { color: terminal.hasColors }).trimEnd()}\n`).join(''),
  );
  return null;
}

function widthOf({ columns }: HelpTerminal): number {
  return Math.min(columns, HELP_WIDTH_MAX);
}

/** Returns a sentence that wraps. */
function sentence(text: string): Line {
  return { pieces: [text], hang: 0 };
}

function renderProgram(): Line[] {
  const entries = [...new Set(commands.map(({ name }) => name.replace(/ .*/, '')))].map((word) => {
    const listed = commands.find(({ name }) => name.split(' ')[0] === word);
    return { word, group: listed?.group ?? '', summary: things[word] ?? listed?.summary ?? '' };
  });
  const all = [
    ...entries,
    { word: 'help', group: entries.at(-1)?.group ?? '', summary: 'show help, also of a command' },
  ];
  const width = Math.max(...all.map(({ word }) => word.length));
  const groups = [...Map.groupBy(all, ({ group }) => group)].flatMap(([group, own]) => [
    '',
    styled('bold', `${group}:`),
    ...renderTable({ rows: own.map(({ word, summary }) => [word.padEnd(width), summary]) }),
  ]);
  return [
    'Usage: losant-usage <command> [options]',
    '',
    sentence('Copies Losant usage counters into Postgres, per organization and UTC day.'),
    ...groups,
    '',
    sentence(EXIT_CODES),
  ];
}

function renderThing(thing: string): Line[] {
  const own = commands.filter(({ name }) => name.startsWith(`${thing} `));
  return [
    `Usage: losant-usage ${thing} <command> [options]`,
    '',
    sentence(`${capitalize(things[thing] ?? '')}.`),
    '',
    ...renderTable({ rows: own.map(({ name, summary }) => [name.slice(thing.length + 1), summary]) }),
  ];
}

async function renderCommand(
  { name, summary }: ListedCommand,
  { options, examples }: Pick<Command, 'options' | 'examples'>,
  terminal: HelpTerminal,
): Promise<Line[]> {
  const { renderOptions, renderUsage } = await import('./options.ts');
  const shown = Object.entries(examples(exampleDays(terminal.nowMs))).flatMap(([args, does]) => [
    sentence(`  # ${does}`),
    ...breakCommand(`  losant-usage ${args}`, widthOf(terminal)),
  ]);
  return [
    renderUsage(name, options),
    '',
    sentence(`${capitalize(summary)}.`),
    '',
    styled('bold', 'Options:'),
    ...renderOptions(options),
    '',
    styled('bold', 'Examples:'),
    ...shown,
  ];
}

/** Breaks a long command before an option, as a shell reads it. */
function breakCommand(command: string, width: number): string[] {
  const [first = '', ...options] = command.split(/ (?=--|[|>])/);
  const lines = [first];
  for (const option of options) {
    const line = `${lines.at(-1)} ${option}`;
    if (line.length + ' \\'.length <= width) lines.splice(-1, 1, line);
    else lines.push(`      ${option}`);
  }
  return lines.map((line, index) => (index < lines.length - 1 ? `${line} \\` : line));
}
