import { commonOptions } from './command-line.ts';
import { commands, things } from './commands.ts';
import { flagName, type OptionSpec } from './options.ts';

/** A word that may come next, with a description. */
type Offer = readonly [value: string, about: string];

const HELP: Offer = ['--help', 'show help'];

/**
 * Returns what a shell may put in place of the last word, which is being typed: one line each, the
 * value and its description separated by a tab. Returns nothing where only the user knows the value.
 */
export async function completeWords(words: readonly string[]): Promise<string> {
  const typed = words.at(-1) ?? '';
  const offers = await findOffers(words.slice(0, -1));
  const fitting = offers.filter(([value]) => value.startsWith(typed));
  return fitting.map(([value, about]) => `${value}\t${about}\n`).join('');
}

async function findOffers(before: readonly string[]): Promise<readonly Offer[]> {
  const [first = '', second = ''] = before.filter((word) => !word.startsWith('-'));
  const listed = commands.find(({ name }) => name === first || name === `${first} ${second}`);
  if (listed === undefined) return offerNames(first);
  const command = await listed.load();
  const specs = Object.entries({ ...command.options, ...commonOptions(command) });
  const asked = specs.find(([name, { value }]) => value !== null && flagName(name) === before.at(-1));
  if (asked) return offerChoices(asked[1]);
  const byPlace = specs.flatMap(([, spec]) => (spec.isArgument ? offerChoices(spec) : []));
  const flags = specs.filter(([, { isArgument }]) => !isArgument);
  return [...byPlace, ...flags.map(([name, { summary }]): Offer => [flagName(name), summary]), HELP];
}

/** Returns the words that may follow the program's name, or the name of a thing. */
function offerNames(thing: string): readonly Offer[] {
  if (thing in things) {
    const own = commands.filter(({ name }) => name.startsWith(`${thing} `));
    return [...own.map(({ name, summary }): Offer => [name.slice(thing.length + 1), summary]), HELP];
  }
  if (thing !== '') return [];
  const single = commands.filter(({ name }) => !name.includes(' '));
  const version: Offer = ['--version', 'print the version'];
  return [
    ...single.map(({ name, summary }): Offer => [name, summary]),
    ...Object.entries(things),
    HELP,
    version,
  ];
}

function offerChoices({ choices = [] }: OptionSpec<unknown>): readonly Offer[] {
  return choices.map((choice): Offer => [choice, '']);
}
