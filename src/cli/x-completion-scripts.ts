import type { Command } from './command.ts';
import { flagName, type OptionSpec } from './options.ts';

/** A command as a shell completes it. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** Values of an argument that is given by its place. */
  readonly values: readonly string[];
}

interface CompletedOption {
  /** With its two dashes. */
  readonly flag: string;
  readonly summary: string;
  /** What its value is called; null: a switch. */
  readonly value: string | null;
  readonly choices: readonly string[];
  readonly isPath: boolean;
  readonly isList: boolean;
}

const NO_VALUE = { value: null, choices: [], isPath: false, isList: false };

export async function listForCompletion(commands: readonly Command[]): Promise<CompletedCommand[]> {
  return await Promise.all(
    commands.map(async ({ name, summary, options, json, needs }) => {
      const specs = Object.entries(options);
      const own = specs.filter(([, spec]) => !spec.isArgument).map(([key, spec]) => toOption(key, spec));
      const argument = specs.find(([, spec]) => spec.isArgument)?.[1];
      const common: CompletedOption[] = [{ flag: '--help', summary: 'show its help', ...NO_VALUE }];
      if (json !== false) common.push({ flag: '--json', summary: 'print one JSON document', ...NO_VALUE });
      if (needs !== 'none') {
        const config = { value: 'FILE', choices: [], isPath: true, isList: false };
        common.push({ flag: '--config', summary: 'settings file for several instances', ...config });
      }
      common.push({ flag: '--no-color', summary: 'print without colours', ...NO_VALUE });
      const values = (await argument?.choices?.()) ?? [];
      return { name, summary, values, options: [...(await Promise.all(own)), ...common] };
    }),
  );
}

async function toOption(name: string, spec: OptionSpec<unknown>): Promise<CompletedOption> {
  return {
    flag: flagName(name),
    summary: spec.summary,
    value: spec.value,
    choices: (await spec.choices?.()) ?? [],
    isPath: spec.isPath ?? false,
    isList: (spec.isList ?? false) || (spec.isRepeated ?? false),
  };
}

/** What commands of two words are about, e.g. `org`, with a summary. */
type Things = Readonly<Record<string, string>>;

/** The script's lines for `bash`, `zsh` or `fish`. */
export function renderCompletion(
  shell: string,
  commands: readonly CompletedCommand[],
  things: Things = {},
): string[] {
  if (shell === 'zsh') return renderZsh(commands, things);
  return shell === 'fish' ? renderFish(commands, things) : renderBash(commands, things);
}

/** What may follow the program's name: commands of one word, and the things of the others. */
function firstWords(commands: readonly CompletedCommand[], things: Things) {
  const single = commands.filter(({ name }) => !name.includes(' '));
  return [...single, ...Object.entries(things).map(([name, summary]) => ({ name, summary }))];
}

/** What may follow a thing. */
function secondWords(commands: readonly CompletedCommand[], thing: string) {
  const own = commands.filter(({ name }) => name.startsWith(`${thing} `));
  return own.map(({ name, summary }) => ({ name: name.slice(thing.length + 1), summary }));
}

function renderBash(commands: readonly CompletedCommand[], things: Things): string[] {
  const reply = (words: readonly string[]) => `COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$current"))`;
  const valueCases = commands.flatMap(({ name, options }) =>
    options
      .filter(({ value }) => value !== null)
      .map(({ flag, choices, isPath }) => {
        const files = 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current"))';
        return `    "${name} ${flag}") ${isPath ? files : reply(choices)}; return ;;`;
      }),
  );
  const namesOf = (words: readonly { name: string }[]) => words.map(({ name }) => name);
  const verbs = [...namesOf(firstWords(commands, things)), '--help', '--version'];
  const isThing = Object.keys(things).map((thing) => `${thing}) ;; `);
  return [
    '# bash completion for losant-usage',
    '_losant_usage() {',
    '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" verb="" word',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    '    case "$word" in -*) continue ;; esac',
    '    verb="${verb:+$verb }$word"',
    `    case "$verb" in ${isThing.join('')}*) break ;; esac`,
    '  done',
    '  case "$verb $previous" in',
    ...valueCases,
    '  esac',
    '  case "$verb" in',
    `    "") ${reply(verbs)} ;;`,
    ...Object.keys(things).map((thing) => {
      return `    ${thing}) ${reply([...namesOf(secondWords(commands, thing)), '--help'])} ;;`;
    }),
    ...commands.map(({ name, options, values }) => {
      return `    "${name}") ${reply([...values, ...options.map(({ flag }) => flag)])} ;;`;
    }),
    '  esac',
    '}',
    'complete -F _losant_usage losant-usage',
  ];
}

function renderZsh(commands: readonly CompletedCommand[], things: Things): string[] {
  const entryOf = ({ name, summary }: { name: string; summary: string }) =>
    `    ${quote(`${name}:${summary.replaceAll(':', '\\:')}`)}`;
  return [
    '#compdef losant-usage',
    '_losant_usage() {',
    '  local -a verbs',
    '  verbs=(',
    ...firstWords(commands, things).map(entryOf),
    '  )',
    '  if (( CURRENT == 2 )); then',
    "    _describe 'command' verbs",
    '    return',
    '  fi',
    '  local verb="$words[2]"',
    '  shift words; (( CURRENT-- ))',
    ...Object.keys(things).flatMap((thing) => [
      `  if [[ "$verb" == ${thing} ]]; then`,
      '    verbs=(',
      ...secondWords(commands, thing).map((word) => `  ${entryOf(word)}`),
      '    )',
      '    if (( CURRENT == 2 )); then',
      "      _describe 'command' verbs",
      '      return',
      '    fi',
      '    verb="$verb $words[2]"',
      '    shift words; (( CURRENT-- ))',
      '  fi',
    ]),
    '  case "$verb" in',
    ...commands.flatMap(({ name, options, values }) => [
      `    ${name.includes(' ') ? quote(name) : name})`,
      `      _arguments${values.length > 0 ? ` ${quote(`1:value:(${values.join(' ')})`)}` : ''} \\`,
      ...options.map((option, index) => {
        return `        ${quote(zshSpec(option))}${index === options.length - 1 ? ' ;;' : ' \\'}`;
      }),
    ]),
    '  esac',
    '}',
    '_losant_usage "$@"',
  ];
}

function zshSpec({ flag, summary, value, choices, isPath, isList }: CompletedOption): string {
  const text = summary.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  const spec = `${isList ? '*' : ''}${flag}[${text}]`;
  if (value === null) return spec;
  const action = isPath ? '_files' : choices.length > 0 ? `(${choices.join(' ')})` : ' ';
  return `${spec}:${value.replaceAll(':', '\\:')}:${action}`;
}

function renderFish(commands: readonly CompletedCommand[], things: Things): string[] {
  const complete = 'complete -c losant-usage';
  return [
    '# fish completion for losant-usage',
    `${complete} -f`,
    ...firstWords(commands, things).map(
      ({ name, summary }) => `${complete} -n __fish_use_subcommand -a ${name} -d ${fishQuote(summary)}`,
    ),
    ...Object.keys(things).flatMap((thing) => {
      const words = secondWords(commands, thing);
      const seen = `${seenWord(thing)}; and not ${seenWord(words.map(({ name }) => name).join(' '))}`;
      return words.map(
        ({ name, summary }) => `${complete} -n ${fishQuote(seen)} -a ${name} -d ${fishQuote(summary)}`,
      );
    }),
    ...commands.flatMap(({ name, options, values }) => {
      const when = `-n ${fishQuote(name.split(' ').map(seenWord).join('; and '))}`;
      const words = values.map((value) => `${complete} ${when} -a ${value}`);
      const flags = options.map(({ flag, summary, value, choices, isPath }) => {
        const takes = value === null ? '' : isPath ? ' -r -F' : ' -x';
        const from = choices.length > 0 ? ` -a ${fishQuote(choices.join(' '))}` : '';
        return `${complete} ${when} -l ${flag.slice(2)}${takes}${from} -d ${fishQuote(summary)}`;
      });
      return [...words, ...flags];
    }),
  ];
}

function seenWord(word: string): string {
  return `__fish_seen_subcommand_from ${word}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
