import { EXIT } from '../errors.ts';
import { defineCommand } from './command.ts';
import { commonOptions, findMeant } from './command-line.ts';
import { commands, things } from './commands.ts';
import { argument, choiceOption, flagName, type OptionSpec } from './options.ts';

/** The scripts by shell. Each calls `losant-usage complete -- WORD…`, and offers files without an answer. */
const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# bash completion for losant-usage
_losant_usage() {
  mapfile -t COMPREPLY < <(losant-usage complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)
}
complete -o default -F _losant_usage losant-usage`,
  zsh: `#compdef losant-usage
_losant_usage() {
  local line
  local -a found
  for line in "\${(@f)$(losant-usage complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && found+=("\${line/$'\\t'/:}")
  done
  if (( $#found )); then _describe value found; else _files; fi
}
if [[ "$funcstack[1]" == _losant_usage ]]; then _losant_usage "$@"; else compdef _losant_usage losant-usage; fi`,
  fish: `# fish completion for losant-usage
function __losant_usage
  losant-usage complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c losant-usage -f -n 'test -n "$(__losant_usage)"' -a '(__losant_usage)'
complete -c losant-usage -F -n 'test -z "$(__losant_usage)"'`,
};

const shells = Object.keys(SCRIPTS);

export const completion = defineCommand({
  needs: 'none',
  json: false,
  options: { shell: argument(choiceOption('shells', 'your shell', shells)) },
  examples: () => ({
    'completion bash > ~/.local/share/bash-completion/completions/losant-usage': 'bash',
    'completion zsh > ~/.zfunc/_losant-usage': 'zsh, with ~/.zfunc in its fpath',
    'completion fish > ~/.config/fish/completions/losant-usage.fish': 'fish',
  }),
  run({ output }, { shell }) {
    output.print(...(SCRIPTS[shell] ?? '').split('\n'));
    return Promise.resolve(EXIT.ok);
  },
});

type Offer = readonly [value: string, about: string];

const HELP: Offer = ['--help', 'show help'];

/**
 * `completeWords` returns what a shell may put in place of the last word, which is being typed: one line
 * each, the value and its description separated by a tab. Returns nothing where only the user knows the
 * value.
 */
export async function completeWords(words: readonly string[]): Promise<string> {
  const typed = words.at(-1) ?? '';
  const offers = await findOffers(words.slice(0, -1));
  const fitting = offers.filter(([value]) => value.startsWith(typed));
  return fitting.map(([value, about]) => `${value}\t${about}\n`).join('');
}

async function findOffers(before: readonly string[]): Promise<readonly Offer[]> {
  const words = before.filter((word) => !word.startsWith('-'));
  const listed = commands.find(({ name }) => name === findMeant(words));
  if (listed === undefined) return offerNames(words[0] ?? '');
  const command = await listed.load();
  const specs = Object.entries({ ...command.options, ...commonOptions(command) });
  const asked = specs.find(([name, { value }]) => value !== null && flagName(name) === before.at(-1));
  if (asked) return offerChoices(asked[1]);
  const byPlace = specs.flatMap(([, spec]) => (spec.isArgument ? offerChoices(spec) : []));
  const flags = specs.filter(([, { isArgument }]) => !isArgument);
  return [...byPlace, ...flags.map(([name, { summary }]): Offer => [flagName(name), summary]), HELP];
}

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
